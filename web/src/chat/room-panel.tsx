import { Autocomplete, Badge, Button, Menu, UnstyledButton } from '@mantine/core';
import { useState } from 'react';
import type { Room } from '../../../src/api/shapes.ts';
import { client } from '../agent/client.ts';
import { usePeople } from '../agent/queries.ts';
import { attempt, useMe } from '../shell/agent.tsx';
import { go, leave } from '../shell/route.ts';
import { Avatar } from '../words/avatar.tsx';
import { cleanLine } from '../words/clean.ts';
import { showMoment, showName } from '../words/show.ts';
import styles from './room-panel.module.css';
import { SidePanel } from './side-panel.tsx';

type Member = Room['members'][number];

const HISTORY: Record<string, string> = {
  all: 'New members see all that was said.',
  none: 'New members see nothing of what was said before.',
};

export function RoomPanel({ room, onClose }: { room: Room; onClose: () => void }) {
  const me = useMe();
  const people = usePeople().data ?? [];
  const [handle, setHandle] = useState('');
  const { id, members, invited, standing, closed, error, waiting } = room;
  const leads = (standing === 'owner' || standing === 'moderator') && !closed;
  const inside = new Set([...members, ...invited].map((each) => each.handle));
  const others = people.filter((person) => !inside.has(person.handle) && !person.blocked && !person.former);
  return (
    <SidePanel title={`#${cleanLine(room.name)}`} onClose={onClose}>
      <p className={styles.facts}>
        Made by <bdi>{showName(room.creator, me)}</bdi>, {showMoment(room.at)}.{' '}
        {HISTORY[room.history] ?? `New members see the last ${room.history} entries.`}
      </p>
      {error && <p className={styles.bad}>{error.message}</p>}
      {waiting.length > 0 && (
        <p className={styles.facts}>
          Waits for its tracker:{' '}
          {waiting.map(({ type, target }) => (target === null ? type : `${type} ${showName(target, me)}`)).join(', ')}.
        </p>
      )}
      <h4 className={styles.title}>Members</h4>
      <ul className={styles.people}>
        {members.map((member) => (
          <MemberRow
            key={member.id}
            member={member}
            room={room}
            me={me}
            status={people.find(({ handle }) => handle === member.handle)?.status}
          />
        ))}
        {invited.map((each) => (
          <li key={each.id}>
            <Avatar name={each.handle} size="sm" />
            <bdi>{showName(each.handle, me)}</bdi>
            <Badge variant="default">invited</Badge>
          </li>
        ))}
      </ul>
      {leads && (
        <form
          className={styles.invite}
          onSubmit={(event) => {
            event.preventDefault();
            void attempt(() => client.rooms.invite({ room: id, handle: handle.trim() })).then(
              (went) => went && setHandle(''),
            );
          }}
        >
          <Autocomplete
            aria-label="Whom to invite"
            placeholder="Invite somebody"
            value={handle}
            onChange={setHandle}
            data={[...new Set(others.map((person) => person.handle))]}
          />
          <Button type="submit" disabled={handle.trim() === ''}>
            Invite
          </Button>
        </form>
      )}
      <div className={styles.ends}>
        {standing !== 'invited' && !closed && (
          <Button
            variant="default"
            onClick={() =>
              attempt(async () => {
                await client.rooms.leave({ room: id });
                leave(id);
              })
            }
          >
            Leave the room
          </Button>
        )}
        {standing === 'owner' && !closed && (
          <Button variant="subtle" color="red" onClick={() => attempt(() => client.rooms.close({ room: id }))}>
            Close it for all
          </Button>
        )}
      </div>
    </SidePanel>
  );
}

type RowProps = { member: Member; room: Room; me: string; status: 'online' | 'away' | 'busy' | 'offline' | undefined };

function MemberRow({ member, room, me, status }: RowProps) {
  const { handle, role } = member;
  const mine = handle === me;
  const owns = room.standing === 'owner' && !room.closed;
  const may =
    !mine && !room.closed && (room.standing === 'owner' || (room.standing === 'moderator' && role === 'member'));
  const face = (
    <>
      <Avatar name={handle} size="sm" status={status} />
      <bdi>{mine ? `${showName(handle, me)} (you)` : showName(handle, me)}</bdi>
      {role !== 'member' && <Badge variant="light">{role}</Badge>}
    </>
  );
  if (mine) return <li>{face}</li>;
  return (
    <li>
      <Menu position="bottom-end">
        <Menu.Target>
          <UnstyledButton className={styles.member}>{face}</UnstyledButton>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item onClick={() => go('chat', handle)}>Write to them</Menu.Item>
          <Menu.Item onClick={() => go('people', handle)}>About them</Menu.Item>
          {owns && role !== 'moderator' && (
            <Menu.Item onClick={() => attempt(() => client.rooms.role({ room: room.id, handle, role: 'moderator' }))}>
              Make moderator
            </Menu.Item>
          )}
          {owns && role === 'moderator' && (
            <Menu.Item onClick={() => attempt(() => client.rooms.role({ room: room.id, handle, role: 'member' }))}>
              Make an ordinary member
            </Menu.Item>
          )}
          {may && (
            <Menu.Item color="red" onClick={() => attempt(() => client.rooms.remove({ room: room.id, handle }))}>
              Remove from the room
            </Menu.Item>
          )}
        </Menu.Dropdown>
      </Menu>
    </li>
  );
}
