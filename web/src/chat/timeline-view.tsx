import { Button, Loader } from '@mantine/core';
import { useVirtualizer } from '@tanstack/react-virtual';
import { ArrowDown } from 'lucide-react';
import {
  type KeyboardEvent,
  useCallback,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
} from 'react';
import type { Message } from '../../../src/api/shapes.ts';
import { client, troubleOf } from '../agent/client.ts';
import type { Timeline } from '../agent/timeline.ts';
import { useMe } from '../shell/agent.tsx';
import { cleanLine } from '../words/clean.ts';
import { showDay, showName } from '../words/show.ts';
import { Entry } from './entry.tsx';
import type { Place } from './places.ts';
import { type Row, rowsAfter, unreadFrom, type Worked } from './rows.ts';
import styles from './timeline-view.module.css';

/** Pixels from an end of what is loaded at which more is asked for: a few screens ahead of the eye. */
const AHEAD_PX = 2_000;
/** Pixels from the end that still count as being at it. */
const AT_END_PX = 80;
/** Pixels of a short message, before it is measured. */
const ROW_PX = 46;
/** Milliseconds that a message which was looked for stands out. */
const FLASH_MS = 2_000;

/** Milliseconds between two words that all is read: where a hundred come in a second, not with each. */
const READ_EVERY_MS = 400;

type Props = {
  timeline: Timeline;
  place: Place;
  /** Id of a message to show. */
  goal: string | undefined;
  onReply: (message: Message) => void;
  onEdit: (message: Message) => void;
  onEvidence: (message: Message) => void;
};

export function TimelineView({ timeline, place, goal, ...actions }: Props) {
  const me = useMe();
  const messages = useSyncExternalStore(timeline.subscribe, () => timeline.messages);
  const scroll = useRef<HTMLDivElement>(null);
  const [mark, setMark] = useState<string | undefined>();
  const [flash, setFlash] = useState<string | undefined>();
  const [away, setAway] = useState(false);
  const worked = useRef<Worked | undefined>(undefined);
  const rows = useMemo(() => {
    worked.current = rowsAfter(worked.current, messages, { complete: timeline.complete, unreadFrom: mark });
    return worked.current.rows;
  }, [messages, timeline.complete, mark]);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroll.current,
    estimateSize: () => ROW_PX,
    getItemKey: useCallback((index: number) => rows[index]?.message.id ?? index, [rows]),
    anchorTo: 'end',
    followOnAppend: timeline.live,
    scrollEndThreshold: AT_END_PX,
    overscan: 12,
    paddingStart: 12,
    paddingEnd: 8,
  });

  // The first picture shows the end, or what was looked for.
  const loaded = timeline.loaded;
  const scrolledTo = useRef<string | undefined>(undefined);
  useLayoutEffect(() => {
    if (!loaded || rows.length === 0) return;
    const wanted = goal ?? 'end';
    if (scrolledTo.current === wanted) return;
    if (goal === undefined) {
      if (scrolledTo.current === undefined) virtual.scrollToEnd();
      scrolledTo.current = wanted;
      return;
    }
    const index = rows.findIndex(({ message }) => message.id === goal);
    if (index < 0) return;
    scrolledTo.current = wanted;
    virtual.scrollToIndex(index, { align: 'center' });
    setFlash(goal);
    setTimeout(() => setFlash(undefined), FLASH_MS);
  }, [loaded, rows, goal, virtual]);

  // Whoever is at the end stays there, also while a picture there comes to its size; whoever writes is brought there.
  const pinned = useRef(goal === undefined);
  useEffect(() => {
    timeline.isFollowed = pinned.current;
    return () => {
      timeline.isFollowed = true;
    };
  }, [timeline]);
  const total = virtual.getTotalSize();
  const newest = messages.at(-1);
  const own = newest?.from === me ? newest.id : undefined;
  const ownBefore = useRef(own);
  // biome-ignore lint/correctness/useExhaustiveDependencies: whenever the rows together are taller or lower
  useLayoutEffect(() => {
    const element = scroll.current;
    const wrote = own !== undefined && own !== ownBefore.current && ownBefore.current !== undefined;
    ownBefore.current = own ?? ownBefore.current;
    if (wrote) pinned.current = true;
    if (element && pinned.current && timeline.live) element.scrollTop = element.scrollHeight;
  }, [total, own, timeline]);

  // Where the unread began when it was opened stays marked while one reads.
  const unread = place.unread;
  const first = useRef(true);
  useEffect(() => {
    if (!loaded || !first.current || me === '') return;
    first.current = false;
    if (unread > 0) setMark(unreadFrom(timeline.messages, me, unread));
  }, [loaded, unread, me, timeline]);
  useReading(place, timeline, () => !away);

  const onScroll = () => {
    const element = scroll.current;
    if (!element) return;
    const fromEnd = element.scrollHeight - element.scrollTop - element.clientHeight;
    pinned.current = fromEnd < AT_END_PX && timeline.live;
    timeline.isFollowed = pinned.current;
    setAway(fromEnd > 4 * AT_END_PX || !timeline.live);
    if (element.scrollTop < AHEAD_PX) void timeline.older();
    if (fromEnd < AHEAD_PX) void timeline.newer();
  };
  // What does not fill the screen, or ends where one looks, is followed by more without a scroll.
  useEffect(() => {
    const element = scroll.current;
    if (loaded && rows.length > 0 && element && element.scrollTop < AHEAD_PX / 4) void timeline.older();
  }, [loaded, rows, timeline]);

  const toEnd = async () => {
    await timeline.toEnd();
    requestAnimationFrame(() => virtual.scrollToEnd());
  };

  const typeOf = new Map(place.room?.members.map(({ handle, role }) => [handle, role]));
  const mayModerate = ['owner', 'moderator'].includes(typeOf.get(me) ?? '');
  return (
    <div className={styles.around}>
      <div
        className={styles.scroll}
        ref={scroll}
        onScroll={onScroll}
        role="log"
        aria-label="Messages"
        aria-live="off"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard
        tabIndex={0}
        onKeyDown={walk}
      >
        <div className={styles.rows} style={{ height: total }}>
          {virtual.getVirtualItems().map(({ index, start, key }) => {
            const row = rows[index];
            return (
              row && (
                <div
                  key={key}
                  ref={virtual.measureElement}
                  data-index={index}
                  className={styles.row}
                  style={{ transform: `translateY(${start}px)` }}
                >
                  <RowView row={row} place={place} me={me} flash={flash} mayModerate={mayModerate} {...actions} />
                </div>
              )
            );
          })}
        </div>
        {!loaded && timeline.trouble === undefined && (
          <Loader className={styles.loader} aria-label="Loading messages" />
        )}
        {timeline.trouble !== undefined && (
          <div className={styles.trouble} role="alert">
            <p>{troubleOf(timeline.trouble).message}</p>
            <Button variant="default" onClick={() => (loaded ? timeline.older() : timeline.open())}>
              Try again
            </Button>
          </div>
        )}
        {loaded && messages.length === 0 && <Empty place={place} me={me} />}
      </div>
      {away && (
        <button type="button" className={styles.toEnd} onClick={toEnd} aria-label="To the newest message">
          <ArrowDown size={20} aria-hidden="true" />
          {unread > 0 && <span>{unread}</span>}
        </button>
      )}
    </div>
  );
}

type RowProps = Omit<Props, 'timeline' | 'goal'> & {
  row: Row;
  me: string;
  flash: string | undefined;
  mayModerate: boolean;
};

function RowView({ row, place, me, flash, mayModerate, ...actions }: RowProps) {
  const { message, start, newDay, unread, first, last } = row;
  return (
    <>
      {start && (
        <p className={styles.start}>
          {place.isRoom
            ? 'This is where your part of the room begins.'
            : `This is the beginning of what you and ${showName(place.name, me)} said.`}
        </p>
      )}
      {newDay && (
        <div className={styles.day}>
          <span>{showDay(message.at)}</span>
        </div>
      )}
      {unread && (
        <div className={styles.unread}>
          <span>New</span>
        </div>
      )}
      <Entry
        message={message}
        me={me}
        inRoom={place.isRoom}
        first={first}
        last={last}
        flashes={flash === message.id}
        mayDelete={message.from === me || mayModerate}
        {...actions}
      />
    </>
  );
}

function Empty({ place, me }: { place: Place; me: string }) {
  const name = place.isRoom ? `#${cleanLine(place.name)}` : showName(place.name, me);
  return (
    <p className={styles.empty}>
      Nothing was said here yet.
      <br />
      Say hello to <bdi>{name}</bdi>.
    </p>
  );
}

/** Marks what is on the screen as read, while somebody looks. */
function useReading({ target, unread }: Place, timeline: Timeline, isAtEnd: () => boolean): void {
  const atEnd = useRef(isAtEnd);
  atEnd.current = isAtEnd;
  const saidAt = useRef(0);
  const timer = useRef<number | undefined>(undefined);
  useEffect(() => {
    if (unread === 0 || timeline.messages.length === 0 || !timeline.live) return;
    const say = () => {
      timer.current = undefined;
      if (!document.hasFocus() || !atEnd.current()) return;
      saidAt.current = Date.now();
      client.messages.read({ target }).catch(() => {}); // tried again with the next one
    };
    const read = () => {
      timer.current ??= window.setTimeout(say, Math.max(0, saidAt.current + READ_EVERY_MS - Date.now()));
    };
    read();
    addEventListener('focus', read);
    return () => removeEventListener('focus', read);
  });
  useEffect(() => () => clearTimeout(timer.current), []);
}

/** Arrows go from message to message. */
function walk(event: KeyboardEvent<HTMLElement>): void {
  const { target, currentTarget } = event;
  const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
  if (step === 0 || !(target instanceof HTMLElement) || target.closest('button, input, textarea')) return;
  const entries = [...currentTarget.querySelectorAll<HTMLElement>('[data-entry]')].sort(
    (a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top,
  );
  const at = entries.indexOf(target);
  const next = at < 0 ? entries.at(-1) : entries[at + step];
  next?.focus();
  if (next) event.preventDefault();
}
