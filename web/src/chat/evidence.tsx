import { useQuery } from '@tanstack/react-query';
import { useEffect } from 'react';
import type { Message, MessageInFull } from '../../../src/api/shapes.ts';
import { client, troubleOf } from '../agent/client.ts';
import { useLive, useMe } from '../shell/agent.tsx';
import { showMoment, showName } from '../words/show.ts';
import styles from './evidence.module.css';
import { SidePanel } from './side-panel.tsx';
import { StateMark, wordsOf } from './state-mark.tsx';
import { Words } from './words.tsx';

/** Where a message is, and how one knows. */
export function Evidence({ id, onClose }: { id: string; onClose: () => void }) {
  const live = useLive();
  const me = useMe();
  const { data, error, refetch } = useQuery({
    queryKey: ['evidence', id],
    queryFn: () => client.messages.show({ id, history: true }),
    staleTime: 0,
  });
  const now = data && live.timeline(live.placeOf(data)).messages.find((message) => message.id === id);
  const standing = now && JSON.stringify([now.state, now.recipients, now.held, now.edited, now.deleted]);
  useEffect(() => {
    if (standing !== undefined) void refetch();
  }, [standing, refetch]);
  return (
    <SidePanel title={data && data.from !== me ? 'About this message' : 'Where it is'} onClose={onClose}>
      {error && <p role="alert">{troubleOf(error).message}</p>}
      {data && <Facts message={data} me={me} />}
    </SidePanel>
  );
}

function Facts({ message, me }: { message: MessageInFull; me: string }) {
  const { id, from, at, state, deliveredAt, recipients, held, error, history, edited } = message;
  return (
    <div className={styles.facts}>
      {state !== 'received' && (
        <p className={styles.state}>
          <StateMark message={message} /> {wordsOf(message)}
        </p>
      )}
      <dl>
        <dt>Written</dt>
        <dd>
          {showMoment(at)}, by {from === me ? 'your' : <bdi>{showName(from, me)}’s</bdi>} clock
        </dd>
        {deliveredAt !== null && (
          <>
            <dt>Delivered</dt>
            <dd>{showMoment(deliveredAt)}: the other side’s signed receipt says so.</dd>
          </>
        )}
        {error && (
          <>
            <dt>{state === 'failed' ? 'Why not' : 'Last try'}</dt>
            <dd className={styles.bad}>{error.message}</dd>
          </>
        )}
        {recipients && recipients.length > 0 && (
          <>
            <dt>With each</dt>
            <dd>
              <ul className={styles.each}>
                {recipients.map((each) => (
                  <li key={each.handle}>
                    <StateMark message={each} />
                    <bdi>{showName(each.handle, me)}</bdi>
                    <span>{momentOf(each)}</span>
                  </li>
                ))}
              </ul>
            </dd>
          </>
        )}
        {held?.map((each) => (
          <Held key={`${each.letter} ${each.to}`} held={each} me={me} />
        ))}
        {history && edited !== null && (
          <>
            <dt>All its words</dt>
            <dd>
              <ol className={styles.history}>
                {history.map((version) => (
                  <li key={version.id}>
                    <small>{showMoment(version.at)}</small>
                    <Words text={version.text} mentions={[]} me={me} />
                  </li>
                ))}
              </ol>
            </dd>
          </>
        )}
        <dt>Id</dt>
        <dd>
          <code>{id}</code>
          <small>The hash of the signed entry.</small>
        </dd>
      </dl>
    </div>
  );
}

type Recipient = NonNullable<Message['recipients']>[number];

function momentOf({ state, readAt, deliveredAt, reason }: Recipient): string {
  if (reason) return reason.message;
  const at = readAt ?? deliveredAt;
  return at === null ? wordsOf({ state }) : `${state} ${showMoment(at)}`;
}

function Held({ held, me }: { held: NonNullable<Message['held']>[number]; me: string }) {
  return (
    <>
      <dt>
        Held for <bdi>{showName(held.to, me)}</bdi>
      </dt>
      <dd>
        Since {showMoment(held.at)}, until {showMoment(held.until)} at the latest. Sealed to them; the tracker cannot
        read it.
        <dl className={styles.proof}>
          <dt>Tracker</dt>
          <dd>
            <code>{held.by}</code>
          </dd>
          <dt>Letter</dt>
          <dd>
            <code>{held.letter}</code>
          </dd>
          <dt>Its signature</dt>
          <dd>
            <code>{held.sig}</code>
          </dd>
        </dl>
      </dd>
    </>
  );
}
