import { Button, SegmentedControl, TextInput } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { client } from '../agent/client.ts';
import { useStatus } from '../agent/queries.ts';
import { attempt } from '../shell/agent.tsx';
import { Invite } from '../shell/invite.tsx';
import { Join } from '../shell/join.tsx';
import { cleanLine } from '../words/clean.ts';
import styles from './welcome.module.css';

/** What somebody sees who is here alone: who they are, how they come to others, and how others come to them. */
export function Welcome() {
  const { data: status } = useStatus();
  const [way, setWay] = useState('join');
  if (!status) return null;
  const [name = ''] = status.handle.split('@');
  return (
    <div className={styles.welcome}>
      <div className={styles.card}>
        <img src="/icon.svg" alt="" width="56" height="56" />
        <h2>Hello, {cleanLine(name)}</h2>
        <p className={styles.under}>
          You are <bdi>{cleanLine(status.handle)}</bdi>, and nobody else is here yet.
        </p>
        <SegmentedControl
          fullWidth
          aria-label="How to begin"
          value={way}
          onChange={setWay}
          data={[
            { value: 'join', label: 'Join a network' },
            { value: 'here', label: 'Start one here' },
          ]}
        />
        {way === 'join' ? (
          <Join isFirst onJoined={() => setWay('here')} />
        ) : (
          <>
            <Rename handle={status.handle} />
            <Invite />
          </>
        )}
      </div>
    </div>
  );
}

/** Whoever runs a network may give names in it, their own too. */
function Rename({ handle }: { handle: string }) {
  const queries = useQueryClient();
  const [mine = '', zone = ''] = handle.split('@');
  const [name, setName] = useState(mine);
  const isNew = name.trim() !== '' && name.trim() !== mine;
  const rename = () =>
    attempt(async () => {
      await client.handles.rename({ handle, to: name.trim() });
      await queries.invalidateQueries();
    });
  return (
    <form
      className={styles.rename}
      onSubmit={(event) => {
        event.preventDefault();
        if (isNew) void rename();
      }}
    >
      <TextInput
        label="Your name"
        maxLength={64}
        rightSectionWidth={Math.min(140, 24 + 8 * zone.length)}
        rightSection={<span className={styles.zone}>@{cleanLine(zone)}</span>}
        value={name}
        onChange={(event) => setName(event.currentTarget.value)}
      />
      {isNew && <Button type="submit">Take this name</Button>}
    </form>
  );
}
