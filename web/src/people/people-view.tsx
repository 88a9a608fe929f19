import { ActionIcon, TextInput } from '@mantine/core';
import { Search, ShieldCheck, UserSearch, Users } from 'lucide-react';
import { useState } from 'react';
import type { Person } from '../../../src/api/shapes.ts';
import { troubleOf } from '../agent/client.ts';
import { usePeople } from '../agent/queries.ts';
import { useMe } from '../shell/agent.tsx';
import { addressOf, go } from '../shell/route.ts';
import { Avatar } from '../words/avatar.tsx';
import { cleanLine } from '../words/clean.ts';
import { showAgo, showName } from '../words/show.ts';
import styles from './people-view.module.css';
import { PersonView } from './person-view.tsx';

const RANK = { online: 0, away: 1, busy: 2, offline: 3 };

export default function PeopleView({ handle }: { handle: string | undefined }) {
  const { data: people = [], error } = usePeople();
  const me = useMe();
  const [words, setWords] = useState('');
  const wanted = words.trim().toLowerCase();
  const shown = people
    .filter((person) => !person.me && person.handle.toLowerCase().includes(wanted))
    .sort((a, b) => RANK[a.status] - RANK[b.status] || a.handle.localeCompare(b.handle));
  const here = shown.filter(({ status }) => status !== 'offline');
  const away = shown.filter(({ status }) => status === 'offline');
  const find = () => {
    if (wanted === '') return;
    // What is no handle is said to be none where the person would stand.
    go('people', wanted.includes('@') ? wanted : `${wanted}@${me.split('@')[1] ?? ''}`);
  };
  return (
    <div className={styles.view} data-open={handle !== undefined || undefined}>
      <aside className={styles.side} aria-label="People">
        <header className={styles.head}>
          <h1>People</h1>
        </header>
        <form
          className={styles.search}
          onSubmit={(event) => {
            event.preventDefault();
            find();
          }}
        >
          <TextInput
            type="search"
            radius="xl"
            placeholder="Name, or name@zone"
            aria-label="Find somebody by name, also in another zone"
            leftSection={<Search size={16} />}
            rightSection={
              wanted !== '' && (
                <ActionIcon type="submit" variant="subtle" radius="xl" aria-label="Ask the trackers for this name">
                  <UserSearch size={17} />
                </ActionIcon>
              )
            }
            value={words}
            onChange={(event) => setWords(event.currentTarget.value)}
          />
        </form>
        <div className={styles.list}>
          {error && <p className={styles.none}>{troubleOf(error).message}</p>}
          {here.length > 0 && <Section title="Here" people={here} me={me} chosen={handle} />}
          {away.length > 0 && <Section title="Away from their machines" people={away} me={me} chosen={handle} />}
          {shown.length === 0 && wanted !== '' && (
            <p className={styles.none}>Enter asks the trackers for “{cleanLine(words)}”.</p>
          )}
          {people.length <= 1 && wanted === '' && (
            <p className={styles.none}>Nobody else is here yet. Invite somebody from the menu behind your picture.</p>
          )}
        </div>
      </aside>
      {handle === undefined ? (
        <div className={styles.empty}>
          <Users size={56} strokeWidth={1.2} aria-hidden="true" />
          <p>Choose somebody.</p>
        </div>
      ) : (
        <PersonView key={handle} handle={handle} />
      )}
    </div>
  );
}

type SectionProps = { title: string; people: readonly Person[]; me: string; chosen: string | undefined };

function Section({ title, people, me, chosen }: SectionProps) {
  return (
    <section>
      <h2 className={styles.title}>
        {title} <span>{people.length}</span>
      </h2>
      <ul>
        {people.map((person) => (
          <li key={person.id}>
            <a
              className={styles.person}
              href={addressOf('people', person.handle)}
              aria-current={person.handle === chosen ? 'true' : undefined}
            >
              <Avatar name={person.handle} status={person.status} />
              <span className={styles.name}>
                <bdi>{showName(person.handle, me)}</bdi>
                {person.verifiedAt !== null && (
                  <ShieldCheck size={15} className={styles.verified} role="img" aria-label="verified" />
                )}
              </span>
              <span className={styles.under}>
                {person.blocked
                  ? 'blocked'
                  : person.former
                    ? 'a former key'
                    : person.status === 'offline'
                      ? `last seen ${showAgo(person.lastSeen)}`
                      : [person.status, cleanLine(person.text)].filter((part) => part !== '').join(' · ')}
              </span>
            </a>
          </li>
        ))}
      </ul>
    </section>
  );
}
