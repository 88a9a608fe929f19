import { Alert, Button, Switch } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { ArrowLeft, MessageCircle, ShieldCheck, TriangleAlert } from 'lucide-react';
import { useState } from 'react';
import type { Person } from '../../../src/api/shapes.ts';
import { client } from '../agent/client.ts';
import { keys, useLinks, usePeople } from '../agent/queries.ts';
import { attempt, useMe } from '../shell/agent.tsx';
import { addressOf, go } from '../shell/route.ts';
import { Avatar } from '../words/avatar.tsx';
import { cleanLine } from '../words/clean.ts';
import { showAgo, showBytes, showMoment, showName } from '../words/show.ts';
import { Lookup, useLookup } from './lookup.tsx';
import styles from './person-view.module.css';
import { Verify } from './verify.tsx';
import { Ways } from './ways.tsx';

/** Files of somebody up to this many bytes are fetched unasked, where one wants that. */
const AUTO_BYTES = 100_000_000;

export function PersonView({ handle }: { handle: string }) {
  const listed = usePeople().data?.find((person) => person.handle === handle && !person.former);
  const isListed = usePeople().data !== undefined;
  // Whoever is on no list is looked for, and it shows how.
  const { data, isFetching } = useLookup(handle, 'iterative', isListed && listed === undefined);
  const person = listed ?? data;
  return (
    <section className={styles.view} aria-label={cleanLine(handle)}>
      <a className={styles.back} href={addressOf('people')} aria-label="Back to the list">
        <ArrowLeft size={22} aria-hidden="true" />
      </a>
      <div className={styles.card}>
        {person ? (
          <Known person={person} />
        ) : (
          <h2 className={styles.nobody}>
            {isFetching ? 'Looking for ' : 'Not found: '}
            <bdi>{cleanLine(handle)}</bdi>
          </h2>
        )}
        {person && !person.me && !person.blocked && <Ways key={handle} handle={handle} />}
        {isListed && !person?.me && <Lookup handle={handle} asked={listed === undefined} />}
      </div>
    </section>
  );
}

const RUNGS = {
  local: 'on this machine',
  lan: 'in this network, directly',
  direct: 'directly',
  punched: 'directly, through a punched hole',
  relay: 'through a relay, end to end encrypted',
};

function Known({ person }: { person: Person }) {
  const me = useMe();
  const queries = useQueryClient();
  const {
    handle,
    id,
    status,
    text,
    lastSeen,
    node,
    addresses,
    verifiedAt,
    verifiedBy,
    blocked,
    keyChanged,
    autoAccept,
  } = person;
  const link = useLinks().data?.find((each) => each.handle === handle);
  const [verifying, setVerifying] = useState(false);
  const change = (work: () => Promise<unknown>) =>
    attempt(async () => {
      await work();
      await queries.invalidateQueries({ queryKey: keys.people });
      await queries.invalidateQueries({ queryKey: ['lookup', handle] });
    });
  return (
    <>
      <header className={styles.head}>
        <Avatar name={handle} size="lg" status={status} />
        <div>
          <h2>
            <bdi>{showName(handle, me)}</bdi>
            {verifiedAt !== null && (
              <ShieldCheck size={20} className={styles.verified} role="img" aria-label="verified" />
            )}
          </h2>
          <p>
            {status === 'offline' ? `Away from their machine, last seen ${showAgo(lastSeen)}` : status}
            {text !== '' && <bdi> · {cleanLine(text)}</bdi>}
          </p>
        </div>
      </header>
      {keyChanged !== null && (
        <Alert color="red" icon={<TriangleAlert />} title="A tracker shows another key for this name">
          <p>
            Nothing is sent to it. Ask them by another way whether they have a new key: it may also be somebody else.
            The new one is <code>{keyChanged}</code>
          </p>
          <Button color="red" onClick={() => change(() => client.people.acceptKey({ handle, key: keyChanged }))}>
            They told me so: accept the new key
          </Button>
        </Alert>
      )}
      <div className={styles.acts}>
        <Button leftSection={<MessageCircle size={18} />} onClick={() => go('chat', handle)}>
          Write
        </Button>
        <Button variant="default" leftSection={<ShieldCheck size={18} />} onClick={() => setVerifying(true)}>
          {verifiedAt === null ? 'Verify' : 'Safety number'}
        </Button>
        <Button
          variant="default"
          onClick={() => change(() => (blocked ? client.people.unblock({ handle }) : client.people.block({ handle })))}
        >
          {blocked ? 'Let in again' : 'Block'}
        </Button>
      </div>
      <dl className={styles.facts}>
        <dt>How you reach them</dt>
        <dd>
          {link ? (
            <>
              Linked {RUNGS[link.rung]}
              {link.rttMs !== null && `, ${link.rttMs.toFixed(1)} ms away`}. {showBytes(link.receivedBytes)} came,{' '}
              {showBytes(link.sentBytes)} went.
            </>
          ) : status === 'offline' ? (
            'Not now. What you write waits here, and is held for them, sealed, where a tracker does that.'
          ) : (
            <>
              Not linked now: a link is made when there is something to carry.{' '}
              <button
                type="button"
                className={styles.link}
                onClick={() => change(() => client.links.connect({ target: handle }))}
              >
                Try it
              </button>
            </>
          )}
        </dd>
        <dt>Verified</dt>
        <dd>
          {verifiedAt === null
            ? 'Not yet. Compare the safety number face to face or by phone, and no tracker can fool you.'
            : `${showMoment(verifiedAt)}, by ${verifiedBy === 'uri' ? 'QR code' : verifiedBy}.`}
        </dd>
        <dt>Their files</dt>
        <dd>
          <Switch
            label={`Take files of up to ${showBytes(autoAccept ?? AUTO_BYTES)} without asking`}
            checked={autoAccept !== null}
            onChange={(event) => {
              const upTo = event.currentTarget.checked ? AUTO_BYTES : null;
              void change(() => client.people.set({ handle, autoAccept: upTo }));
            }}
          />
        </dd>
        <dt>Handle</dt>
        <dd>
          <bdi>{cleanLine(handle)}</bdi>
        </dd>
        <dt>Key</dt>
        <dd>
          <code>{id}</code>
        </dd>
        {node !== '' && (
          <>
            <dt>Machine</dt>
            <dd>
              <code>{node}</code>
              {addresses.length > 0 && ` at ${addresses.map(cleanLine).join(', ')}`}
            </dd>
          </>
        )}
      </dl>
      <Verify handle={handle} opened={verifying} onClose={() => setVerifying(false)} />
    </>
  );
}
