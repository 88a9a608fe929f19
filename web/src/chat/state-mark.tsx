import { CheckCheck, CircleAlert, Clock3, Inbox } from 'lucide-react';
import type { Message } from '../../../src/api/shapes.ts';
import styles from './state-mark.module.css';

const MARKS = {
  queued: { Icon: Clock3, says: 'Waits here: not delivered yet' },
  held: { Icon: Inbox, says: 'Held, sealed, for who is away' },
  delivered: { Icon: CheckCheck, says: 'Delivered' },
  read: { Icon: CheckCheck, says: 'Read' },
  failed: { Icon: CircleAlert, says: 'Not delivered' },
} as const;

/** In words, how far my own message has come. */
export const wordsOf = ({ state }: Pick<Message, 'state'>): string => (state === 'received' ? '' : MARKS[state].says);

/** What is proven of my own message; nothing for one of somebody else. */
export function StateMark({ message: { state } }: { message: Pick<Message, 'state'> }) {
  if (state === 'received') return null;
  const { Icon, says } = MARKS[state];
  return <Icon size={16} strokeWidth={2} className={styles.mark} data-state={state} role="img" aria-label={says} />;
}
