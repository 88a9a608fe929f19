import { ActionIcon, TextInput, Tooltip } from '@mantine/core';
import { useHotkeys } from '@mantine/hooks';
import { useVirtualizer } from '@tanstack/react-virtual';
import { AtSign, Search, SquarePen, X } from 'lucide-react';
import { type KeyboardEvent, useRef, useState } from 'react';
import { useMe, useTyping } from '../shell/agent.tsx';
import { addressOf, go } from '../shell/route.ts';
import { Avatar } from '../words/avatar.tsx';
import { cleanLine } from '../words/clean.ts';
import { showName, showWhen } from '../words/show.ts';
import { FoundList } from './found-list.tsx';
import { NewChat } from './new-chat.tsx';
import styles from './place-list.module.css';
import { isInvitation, type Place } from './places.ts';
import { StateMark } from './state-mark.tsx';

const ROW_PX = 68;

export function PlaceList({ places, chosen }: { places: readonly Place[]; chosen: string | undefined }) {
  const me = useMe();
  const [words, setWords] = useState('');
  const [making, setMaking] = useState(false);
  const search = useRef<HTMLInputElement>(null);
  const list = useRef<HTMLDivElement>(null);
  useHotkeys([['mod+K', () => search.current?.focus()]], []);
  const wanted = words.trim().toLowerCase();
  const shown = wanted === '' ? places : places.filter(({ name }) => name.toLowerCase().includes(wanted));
  const virtual = useVirtualizer({
    count: shown.length,
    getScrollElement: () => list.current,
    estimateSize: () => ROW_PX,
    getItemKey: (index) => shown[index]?.target ?? index,
    overscan: 8,
  });

  /** Arrows walk from row to row, as in any list. */
  const walk = (event: KeyboardEvent) => {
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    if (step === 0) return;
    const rows = [...event.currentTarget.querySelectorAll<HTMLElement>('a')];
    const at = rows.indexOf(document.activeElement as HTMLElement); // -1 for what is none of them
    rows[at + step]?.focus();
    event.preventDefault();
  };

  return (
    <aside className={styles.side} aria-label="Conversations">
      <header className={styles.head}>
        <h1>Chats</h1>
        <Tooltip label="New conversation or room">
          <ActionIcon variant="subtle" size="lg" aria-label="New conversation or room" onClick={() => setMaking(true)}>
            <SquarePen size={20} />
          </ActionIcon>
        </Tooltip>
      </header>
      <div className={styles.search}>
        <TextInput
          ref={search}
          type="search"
          radius="xl"
          placeholder="Search"
          aria-label="Search people, rooms and words"
          leftSection={<Search size={16} />}
          rightSection={
            words !== '' && (
              <ActionIcon
                variant="subtle"
                radius="xl"
                size="sm"
                aria-label="Clear the search"
                onClick={() => setWords('')}
              >
                <X size={15} />
              </ActionIcon>
            )
          }
          value={words}
          onChange={(event) => setWords(event.currentTarget.value)}
          onKeyDown={(event) => {
            const [first] = shown;
            if (event.key === 'Escape') setWords('');
            else if (event.key === 'Enter' && first) go('chat', first.target);
            else if (event.key === 'ArrowDown') list.current?.querySelector('a')?.focus();
          }}
        />
      </div>
      <div className={styles.list} ref={list}>
        <ul className={styles.rows} style={{ height: virtual.getTotalSize() }} onKeyDown={walk}>
          {virtual.getVirtualItems().map(({ index, start, key }) => {
            const place = shown[index];
            return (
              place && (
                <li key={key} className={styles.row} style={{ transform: `translateY(${start}px)` }}>
                  <Row place={place} me={me} isChosen={place.target === chosen} />
                </li>
              )
            );
          })}
        </ul>
        {wanted !== '' && <FoundList words={words} />}
        {shown.length === 0 && wanted === '' && <p className={styles.empty}>Nobody is here yet. Invite somebody.</p>}
      </div>
      <NewChat opened={making} onClose={() => setMaking(false)} />
    </aside>
  );
}

function Row({ place, me, isChosen }: { place: Place; me: string; isChosen: boolean }) {
  const { target, name, isRoom, status, unread, mentions, last, at, conversation } = place;
  const typing = useTyping(conversation);
  return (
    <a className={styles.place} href={addressOf('chat', target)} aria-current={isChosen ? 'true' : undefined}>
      <Avatar name={name} room={isRoom} status={status} />
      <span className={styles.title}>
        <bdi>{isRoom ? cleanLine(name) : showName(name, me)}</bdi>
      </span>
      <span className={styles.when}>{at !== '' && showWhen(at)}</span>
      <span className={styles.last}>
        {isInvitation(place) ? (
          <em>{showName(place.room?.invitedBy ?? '', me)} invites you</em>
        ) : typing.length > 0 ? (
          <em>writing…</em>
        ) : last ? (
          <>
            {last.from === me && <StateMark message={last} />}
            <bdi>{lineOf(place, me)}</bdi>
          </>
        ) : (
          cleanLine(place.person?.text ?? '')
        )}
      </span>
      {(unread > 0 || isInvitation(place)) && (
        <span className={styles.unread} data-mention={mentions > 0 || undefined}>
          {mentions > 0 && <AtSign size={12} aria-hidden="true" />}
          {isInvitation(place) ? '!' : unread > 999 ? '999+' : unread}
          <span className="unseen">
            {isInvitation(place) ? 'invitation' : mentions > 0 ? 'unread, naming you' : 'unread'}
          </span>
        </span>
      )}
    </a>
  );
}

/** Most characters of a message that a row can show. */
const LINE = 120;

function lineOf({ last, isRoom }: Place, me: string): string {
  if (!last) return '';
  const text = last.deleted ? 'taken back' : cleanLine(last.text.slice(0, 4 * LINE)).slice(0, LINE);
  return isRoom && last.from !== me ? `${showName(last.from, me)}: ${text}` : text;
}
