/**
 * A conversation as rows: one for each message, with what stands above it. A row has the key of its message and nothing else
 * has one, so that what somebody reads keeps its place when older ones come in above.
 */
import type { Message } from '../../../src/api/shapes.ts';
import { dayOf as dayOfTime } from '../words/show.ts';

export type Row = {
  message: Message;
  /** There is nothing before it. */
  start: boolean;
  /** It is the first of its day. */
  newDay: boolean;
  /** The unread begin here. */
  unread: boolean;
  /** Of what one person wrote in a row. */
  first: boolean;
  last: boolean;
};

/** Milliseconds within which what one person writes stands together. */
const TOGETHER_MS = 5 * 60_000;

type Options = { complete: boolean; unreadFrom: string | undefined };

/** Rows that were worked out, and of what. */
export type Worked = { messages: readonly Message[]; options: Options; rows: readonly Row[] };

/**
 * The rows of `messages`. Where these are those of before with older ones above, only what is new is worked out: whoever scrolls
 * back through a hundred thousand is given a hundred at a time.
 */
export function rowsAfter(before: Worked | undefined, messages: readonly Message[], options: Options): Worked {
  const count = messages.length - (before?.messages.length ?? 0);
  const isLonger =
    before !== undefined &&
    count > 0 &&
    before.rows.length > 0 &&
    !before.options.complete &&
    before.options.unreadFrom === options.unreadFrom &&
    before.messages.every((message, at) => messages[count + at] === message);
  if (!isLonger) return { messages, options, rows: rowsOf(messages, options) };
  const [was, ...rest] = before.rows;
  const above = rowsOf(messages.slice(0, count + 1), options);
  const joint = above.at(-1);
  // Only the first of the old ones stands otherwise now; what follows it looks at it alone.
  if (joint && was) joint.last = was.last;
  return { messages, options, rows: above.concat(rest) };
}

export function rowsOf(messages: readonly Message[], options: Options): Row[] {
  const rows: Row[] = [];
  let before: Row | undefined;
  for (const message of messages) {
    const newDay = before === undefined || dayOf(before.message) !== dayOf(message);
    const unread = message.id === options.unreadFrom;
    const first = newDay || unread || before === undefined || !isTogether(before.message, message);
    if (first && before) before.last = true;
    before = { message, start: before === undefined && options.complete, newDay, unread, first, last: false };
    rows.push(before);
  }
  if (before) before.last = true;
  return rows;
}

/** Worked out once for each message: with each that comes all are gone through. */
const known = new WeakMap<Message, { day: string; ms: number }>();

function timeOf(message: Message): { day: string; ms: number } {
  const time = known.get(message) ?? { day: dayOfTime(message.at), ms: new Date(message.at).getTime() };
  known.set(message, time);
  return time;
}

const dayOf = (message: Message): string => timeOf(message).day;

const isTogether = (one: Message, next: Message): boolean =>
  one.from === next.from && timeOf(next).ms - timeOf(one).ms < TOGETHER_MS;

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
