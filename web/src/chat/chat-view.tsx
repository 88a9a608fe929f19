import { MessagesSquare } from 'lucide-react';
import { usePeople } from '../agent/queries.ts';
import styles from './chat-view.module.css';
import { Conversation } from './conversation.tsx';
import { PlaceList } from './place-list.tsx';
import type { Place } from './places.ts';
import { usePlaces } from './use-places.ts';
import { Welcome } from './welcome.tsx';

/** Somebody whom no list names yet, such as one who was found in another zone. */
const stranger = (handle: string): Place => ({
  target: handle,
  name: handle,
  isRoom: false,
  room: undefined,
  person: undefined,
  status: undefined,
  conversation: undefined,
  unread: 0,
  mentions: 0,
  last: null,
  at: '',
});

export function ChatView({ target, message }: { target: string | undefined; message: string | undefined }) {
  const places = usePlaces();
  const place = target === undefined ? undefined : (places.find((each) => each.target === target) ?? stranger(target));
  // Known only once the list has come.
  const isAlone = usePeople().data?.every(({ me }) => me) === true && places.length === 0;
  return (
    <div className={styles.chat} data-open={place || isAlone ? true : undefined}>
      <PlaceList places={places} chosen={target} />
      {place ? (
        <Conversation key={place.target} place={place} message={message} />
      ) : isAlone ? (
        <Welcome />
      ) : (
        <div className={styles.none}>
          <MessagesSquare size={56} strokeWidth={1.2} aria-hidden="true" />
          <p>Choose a conversation, or start one.</p>
          <p className={styles.keys}>
            <kbd>Ctrl</kbd> <kbd>K</kbd> finds people, rooms and words
          </p>
        </div>
      )}
    </div>
  );
}
