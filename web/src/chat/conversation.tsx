import { ActionIcon, Button, Menu, Tooltip } from '@mantine/core';
import { ArrowLeft, EllipsisVertical, Info, Search, ShieldCheck } from 'lucide-react';
import { useCallback, useEffect, useRef, useState } from 'react';
import type { Message } from '../../../src/api/shapes.ts';
import { client } from '../agent/client.ts';
import { attempt, useAgent, useMe, useTyping } from '../shell/agent.tsx';
import { addressOf, leave } from '../shell/route.ts';
import { Avatar } from '../words/avatar.tsx';
import { cleanLine } from '../words/clean.ts';
import { plural, showAgo, showName } from '../words/show.ts';
import { Composer, type Draft } from './composer.tsx';
import styles from './conversation.module.css';
import { Evidence } from './evidence.tsx';
import { exportOf } from './export.ts';
import type { Place } from './places.ts';
import { RoomPanel } from './room-panel.tsx';
import { SearchHere } from './search-here.tsx';
import { TimelineView } from './timeline-view.tsx';

/** What stands at the right side. */
type Beside = 'room' | 'search' | { evidence: string } | undefined;

export function Conversation({ place, message }: { place: Place; message: string | undefined }) {
  const me = useMe();
  const timeline = useAgent().timeline(place.target);
  const [draft, setDraft] = useState<Draft>({ kind: 'new' });
  const [beside, setBeside] = useState<Beside>();
  const composer = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    if (message === undefined) void timeline.open();
    else void timeline.around(message);
  }, [timeline, message]);

  // The same ones each time: entries that have not changed are not drawn again.
  const answer = useCallback((about: Message) => {
    setDraft({ kind: 'reply', about });
    composer.current?.focus();
  }, []);
  const change = useCallback((about: Message) => {
    setDraft({ kind: 'edit', about });
    composer.current?.focus();
  }, []);
  const prove = useCallback(({ id }: Message) => setBeside({ evidence: id }), []);
  const { room } = place;
  const invited = room?.standing === 'invited';
  const writable =
    !place.isRoom || (room !== undefined && !room.closed && ['owner', 'moderator', 'member'].includes(room.standing));
  return (
    <section className={styles.conversation} aria-label={`Conversation with ${cleanLine(place.name)}`}>
      <Head place={place} toggle={(side) => setBeside(side === beside ? undefined : side)} />
      <div className={styles.body}>
        <div className={styles.talk}>
          <TimelineView
            timeline={timeline}
            place={place}
            goal={message}
            onReply={answer}
            onEdit={change}
            onEvidence={prove}
          />
          <Typing conversation={place.conversation} />
          {invited && room && (
            <div className={styles.invited}>
              <p>
                <strong>{room.invitedBy === null ? 'Somebody' : showName(room.invitedBy, me)}</strong> invites you to{' '}
                <bdi>#{cleanLine(room.name)}</bdi>, with {plural(room.members.length, 'member')}.
              </p>
              <Button onClick={() => attempt(() => client.rooms.join({ room: room.id }))}>Join</Button>
              <Button
                variant="default"
                onClick={() =>
                  attempt(async () => {
                    await client.rooms.decline({ room: room.id });
                    leave(room.id);
                  })
                }
              >
                Decline
              </Button>
            </div>
          )}
          {writable && <Composer ref={composer} place={place} timeline={timeline} draft={draft} setDraft={setDraft} />}
          {!writable && !invited && <p className={styles.over}>You can read what was said here, and write no more.</p>}
        </div>
        {beside === 'room' && room && <RoomPanel room={room} onClose={() => setBeside(undefined)} />}
        {beside === 'search' && <SearchHere place={place} onClose={() => setBeside(undefined)} />}
        {typeof beside === 'object' && <Evidence id={beside.evidence} onClose={() => setBeside(undefined)} />}
      </div>
    </section>
  );
}

function Head({ place, toggle }: { place: Place; toggle: (side: 'room' | 'search') => void }) {
  const me = useMe();
  const { isRoom, name, room, person, status, target } = place;
  return (
    <header className={styles.head}>
      <a className={styles.back} href={addressOf('chat')} aria-label="Back to the list">
        <ArrowLeft size={22} aria-hidden="true" />
      </a>
      <a
        className={styles.whom}
        href={isRoom ? addressOf('chat', target) : addressOf('people', target)}
        onClick={(event) => {
          if (!isRoom) return;
          event.preventDefault();
          toggle('room');
        }}
      >
        <Avatar name={name} room={isRoom} status={status} />
        <span className={styles.names}>
          <h2>
            <bdi>{isRoom ? cleanLine(name) : showName(name, me)}</bdi>
            {person?.verifiedAt && (
              <ShieldCheck size={16} className={styles.verified} aria-label="Verified" role="img" />
            )}
          </h2>
          <span className={styles.under}>
            {isRoom
              ? room && plural(room.members.length, 'member') + (room.closed ? ', closed' : '')
              : person
                ? person.status === 'offline'
                  ? `last seen ${showAgo(person.lastSeen)}`
                  : [person.status, cleanLine(person.text)].filter((part) => part !== '').join(' · ')
                : 'not on a list that is known here'}
          </span>
        </span>
      </a>
      <Tooltip label="Search here">
        <ActionIcon
          variant="subtle"
          size="lg"
          aria-label="Search in this conversation"
          onClick={() => toggle('search')}
        >
          <Search size={19} />
        </ActionIcon>
      </Tooltip>
      {isRoom && (
        <Tooltip label="About the room">
          <ActionIcon variant="subtle" size="lg" aria-label="About the room" onClick={() => toggle('room')}>
            <Info size={20} />
          </ActionIcon>
        </Tooltip>
      )}
      <Menu position="bottom-end">
        <Menu.Target>
          <ActionIcon variant="subtle" size="lg" aria-label="More of this conversation">
            <EllipsisVertical size={20} />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item onClick={() => attempt(() => exportOf(place, 'markdown'))}>Save it as Markdown</Menu.Item>
          <Menu.Item onClick={() => attempt(() => exportOf(place, 'ndjson'))}>Save the signed entries</Menu.Item>
        </Menu.Dropdown>
      </Menu>
    </header>
  );
}

function Typing({ conversation }: { conversation: string | undefined }) {
  const me = useMe();
  const names = useTyping(conversation).map((handle) => showName(handle, me));
  return (
    <div className={styles.typing} role="status">
      {names.length > 0 && (
        <>
          <span className={styles.dots} aria-hidden="true">
            <i />
            <i />
            <i />
          </span>
          {names.length > 3
            ? `${names.length} people are writing`
            : `${names.join(', ')} ${names.length === 1 ? 'is' : 'are'} writing`}
        </>
      )}
    </div>
  );
}
