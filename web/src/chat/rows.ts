/** A conversation as rows: days, the mark where the unread begins, and messages, grouped by who wrote them. */
import type { Message } from '../../../src/api/shapes.ts';
import { dayOf } from '../words/show.ts';

export type Row =
  | { kind: 'start'; key: string }
  | { kind: 'day'; key: string; at: string }
  | { kind: 'unread'; key: string }
  | { kind: 'message'; key: string; message: Message; first: boolean; last: boolean };

/** Milliseconds within which what one person writes stands together. */
const TOGETHER_MS = 5 * 60_000;

export function rowsOf(
  messages: readonly Message[],
  options: { complete: boolean; unreadFrom: string | undefined },
): Row[] {
  const rows: Row[] = options.complete ? [{ kind: 'start', key: 'start' }] : [];
  let before: Message | undefined;
  let group: Extract<Row, { kind: 'message' }> | undefined;
  for (const message of messages) {
    const newDay = before === undefined || dayOf(before.at) !== dayOf(message.at);
    const unread = message.id === options.unreadFrom;
    if (newDay) rows.push({ kind: 'day', key: `day ${message.id}`, at: message.at });
    if (unread) rows.push({ kind: 'unread', key: 'unread' });
    const first = newDay || unread || before === undefined || !isTogether(before, message);
    if (first && group) group.last = true;
    group = { kind: 'message', key: message.id, message, first, last: false };
    rows.push(group);
    before = message;
  }
  if (group) group.last = true;
  return rows;
}

const isTogether = (one: Message, next: Message): boolean =>
  one.from === next.from && new Date(next.at).getTime() - new Date(one.at).getTime() < TOGETHER_MS;

/** Id of the first message of others that I have not read, of `count` such. */
export function unreadFrom(messages: readonly Message[], me: string, count: number): string | undefined {
  let left = count;
  let first: string | undefined;
  for (let at = messages.length - 1; at >= 0 && left > 0; at--) {
    const message = messages[at];
    if (!message || message.from === me || message.deleted) continue;
    first = message.id;
    left -= 1;
  }
  return first;
}
