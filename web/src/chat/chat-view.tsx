import { MessagesSquare } from 'lucide-react';
import styles from './chat-view.module.css';
import { Conversation } from './conversation.tsx';
import { PlaceList } from './place-list.tsx';
import type { Place } from './places.ts';
import { usePlaces } from './use-places.ts';

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
  return (
    <div className={styles.chat} data-open={place ? true : undefined}>
      <PlaceList places={places} chosen={target} />
      {place ? (
        <Conversation key={place.target} place={place} message={message} />
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
