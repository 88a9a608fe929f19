import { Button, Modal, SegmentedControl, TagsInput, TextInput } from '@mantine/core';
import { useState } from 'react';
import { client } from '../agent/client.ts';
import { usePeople } from '../agent/queries.ts';
import { attempt } from '../shell/agent.tsx';
import { go } from '../shell/route.ts';
import styles from './new-chat.module.css';

type Kind = 'room' | 'person';
const HISTORIES = [
  { value: 'all', label: 'See all' },
  { value: '100', label: 'The last 100' },
  { value: 'none', label: 'Nothing before' },
];

export function NewChat({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  const [kind, setKind] = useState<Kind>('person');
  return (
    <Modal opened={opened} onClose={onClose} title="New conversation">
      <SegmentedControl
        fullWidth
        mb="md"
        aria-label="With one person, or in a room"
        value={kind}
        onChange={(value) => setKind(value === 'room' ? 'room' : 'person')}
        data={[
          { value: 'person', label: 'One person' },
          { value: 'room', label: 'A room' },
        ]}
      />
      {kind === 'room' ? <NewRoom done={onClose} /> : <NewTalk done={onClose} />}
    </Modal>
  );
}

function NewTalk({ done }: { done: () => void }) {
  const [handle, setHandle] = useState('');
  const people = (usePeople().data ?? []).filter(({ me, former }) => !me && !former);
  return (
    <form
      className={styles.form}
      onSubmit={(event) => {
        event.preventDefault();
        void attempt(async () => {
          const found = await client.people.find({ handle: handle.trim() });
          done();
          go('chat', found.handle);
        });
      }}
    >
      <TextInput
        data-autofocus
        required
        label="Handle"
        placeholder="bob, or bob@other.zone"
        value={handle}
        onChange={(event) => setHandle(event.currentTarget.value)}
        list="known-people"
      />
      <datalist id="known-people">
        {people.map((person) => (
          <option key={person.id} value={person.handle} />
        ))}
      </datalist>
      <Button type="submit">Start</Button>
    </form>
  );
}

function NewRoom({ done }: { done: () => void }) {
  const [name, setName] = useState('');
  const [members, setMembers] = useState<string[]>([]);
  const [history, setHistory] = useState('all');
  const people = (usePeople().data ?? []).filter(({ me, former, blocked }) => !me && !former && !blocked);
  return (
    <form
      className={styles.form}
      onSubmit={(event) => {
        event.preventDefault();
        void attempt(async () => {
          const room = await client.rooms.create({ name: name.trim(), members, history });
          done();
          go('chat', room.id);
        });
      }}
    >
      <TextInput
        data-autofocus
        required
        label="Name"
        placeholder="team"
        value={name}
        onChange={(event) => setName(event.currentTarget.value)}
      />
      <TagsInput
        label="Members"
        placeholder={members.length === 0 ? 'Whom to invite' : ''}
        data={[...new Set(people.map(({ handle }) => handle))]}
        value={members}
        onChange={setMembers}
      />
      <div>
        <p className={styles.label}>What new members see of what was said before</p>
        <SegmentedControl fullWidth aria-label="History" value={history} onChange={setHistory} data={HISTORIES} />
      </div>
      <Button type="submit">Make the room</Button>
    </form>
  );
}
