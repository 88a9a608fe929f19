/** Rows of the screen: pieces of text with a look, never wider than asked for. What others wrote is cleaned here. */
import stringWidth from 'string-width';
import wrapAnsi from 'wrap-ansi';
import type { FileInfo, Message } from '../api/shapes.ts';
import { cleanLine, cleanText } from '../cli/clean.ts';
import { showBytes, showDuration, showTime } from '../cli/units.ts';
import type { Place } from './places.ts';

export type Piece = {
  text: string;
  color?: 'green' | 'yellow' | 'red' | 'cyan' | 'magenta' | undefined;
  bold?: boolean;
  dim?: boolean;
  inverse?: boolean;
};

export type Row = readonly Piece[];

const graphemes = new Intl.Segmenter();

/** As much of a line as fits; an ellipsis where something is missing. */
export function cut(text: string, columns: number): string {
  if (stringWidth(text) <= columns) return text;
  let kept = '';
  let width = 0;
  for (const { segment } of graphemes.segment(text)) {
    width += stringWidth(segment);
    if (width > columns - 1) break;
    kept += segment;
  }
  return columns > 0 ? `${kept}…` : '';
}

export const padded = (text: string, columns: number): string => {
  const fitting = cut(text, columns);
  return fitting + ' '.repeat(Math.max(0, columns - stringWidth(fitting)));
};

/** Lines of at most `columns`; long words are broken. */
export const wrapped = (text: string, columns: number): string[] =>
  wrapAnsi(text.replaceAll('\t', '  '), Math.max(1, columns), { hard: true, trim: false }).split('\n');

const COLORS = { queued: 'yellow', held: 'yellow', delivered: undefined, read: 'green', failed: 'red' } as const;
const BAR = 16;

function fileWords(file: FileInfo): string {
  const { state, size, progress, rate, error } = file;
  if (state === 'failed') return `failed: ${cleanLine(error?.message ?? '')}`;
  if (state !== 'fetching' && state !== 'serving') return state;
  const part = size === 0 ? 1 : Math.min(1, progress / size);
  const full = Math.round(part * BAR);
  const speed = rate > 0 ? ` ${showBytes(rate)}/s ${showDuration((size - progress) / rate)}` : '';
  return `[${'#'.repeat(full)}${'.'.repeat(BAR - full)}] ${Math.floor(part * 100)}%${speed}`;
}

type Look = {
  columns: number;
  me: string;
  file: FileInfo | undefined;
  /** What it answers, if that is loaded. */
  answered: Message | undefined;
};

type Kept = Look & { rows: Row[] };

// A message does not change: a changed one is another object.
const kept = new WeakMap<Message, Kept>();

/** One message, wrapped. What was made for the same look is used again, so that only what is new costs. */
export function messageRows(message: Message, look: Look): Row[] {
  const known = kept.get(message);
  const same = known?.columns === look.columns && known.file === look.file && known.answered === look.answered;
  if (known && same && known.me === look.me) return known.rows;
  const rows = make(message, look);
  kept.set(message, { ...look, rows });
  return rows;
}

const INDENT = '      ';

function make(message: Message, { columns, me, file, answered }: Look): Row[] {
  const mine = message.from === me;
  const time = showTime(message.at).slice(-5);
  const who = nameOf(message.from, me);
  const dim = { dim: true };
  const rows: Row[] = [];
  if (message.replyTo !== null) {
    const about = answered ? `${nameOf(answered.from, me)}: ${cleanLine(answered.text)}` : message.replyTo.slice(0, 8);
    rows.push([{ text: cut(`${INDENT}┌ ${about}`, columns), ...dim }]);
  }
  const mentioned = message.mentions.includes(me);
  const head: Piece[] = [
    { text: `${time} `, ...dim },
    { text: who, bold: true, color: mine ? 'cyan' : 'magenta' },
    { text: ' ' },
  ];
  const words = message.deleted
    ? '(deleted)'
    : file || message.file
      ? `${cleanLine(message.text)}`
      : cleanText(message.text);
  const [first = '', ...more] = wrapped(`${' '.repeat(stringWidth(who) + 1)}${words}`, columns - INDENT.length);
  const state = mine && !message.deleted ? message.state : undefined;
  const look = { dim: message.deleted, bold: mentioned };
  rows.push([...head, { text: first.slice(stringWidth(who) + 1), ...look }]);
  for (const line of more) rows.push([{ text: INDENT }, { text: line, ...look }]);
  const notes: Piece[] = [];
  if (file)
    notes.push({
      text: ` ${showBytes(file.size)} ${fileWords(file)}`,
      color: file.state === 'failed' ? 'red' : 'yellow',
    });
  if (message.edited !== null && !message.deleted) notes.push({ text: ' (edited)', ...dim });
  if (state && state !== 'received') notes.push({ text: ` · ${stateWords(message)}`, color: COLORS[state], dim: true });
  append(rows, notes, columns);
  const reactions = Object.entries(message.reactions).map(([emoji, by]) => `${cleanLine(emoji)} ${by.length}`);
  if (reactions.length > 0) rows.push([{ text: cut(`${INDENT}${reactions.join('  ')}`, columns), ...dim }]);
  return rows;
}

/** Behind the last row where there is room, else below it. */
function append(rows: Row[], notes: Piece[], columns: number): void {
  if (notes.length === 0) return;
  const last = rows.pop() ?? [];
  const width = widthOf(last);
  const more = widthOf(notes);
  if (width + more <= columns) rows.push([...last, ...notes]);
  else
    rows.push(last, [
      { text: `${INDENT}` },
      { ...notes[0], text: (notes[0]?.text ?? '').trimStart() },
      ...notes.slice(1),
    ]);
}

export const widthOf = (row: Row): number => row.reduce((sum, { text }) => sum + stringWidth(text), 0);

function stateWords({ state, recipients, error }: Message): string {
  if (state === 'failed') return `failed: ${cleanLine(error?.message ?? '')}`;
  if (!recipients || state === 'read') return state;
  const came = recipients.filter((each) => each.state === 'delivered' || each.state === 'read').length;
  return came > 0 && came < recipients.length ? `delivered to ${came} of ${recipients.length}` : state;
}

/** In the own zone the name alone is enough. */
export function nameOf(handle: string, me: string): string {
  const zone = me.slice(me.indexOf('@'));
  const clean = cleanLine(handle);
  return me !== '' && clean.endsWith(zone) ? clean.slice(0, -zone.length) : clean;
}

const DOTS = { online: 'green', away: 'yellow', busy: 'red', offline: undefined } as const;

export function placeRow(place: Place, options: { columns: number; me: string; open: boolean; typing: boolean }): Row {
  const { columns, me, open, typing } = options;
  const { room, status, unread, mentions } = place;
  const invited = room?.standing === 'invited';
  const mark = invited ? 'asked' : unread > 0 ? `${mentions > 0 ? '@' : ''}${unread}` : typing ? '…' : '';
  const dot = room || place.title.startsWith('#') ? ' ' : status && status !== 'offline' ? '●' : '○';
  const name = place.title.startsWith('#') ? cleanLine(place.title) : nameOf(place.title, me);
  const room_ = columns - 2 - (mark === '' ? 0 : stringWidth(mark) + 1);
  return [
    { text: `${dot} `, color: status && DOTS[status], dim: status === 'offline' },
    { text: padded(name, room_), bold: unread > 0, inverse: open, dim: status === 'offline' && unread === 0 && !open },
    ...(mark === '' ? [] : [{ text: ` ${mark}`, color: 'yellow', bold: true } satisfies Piece]),
  ];
}

export function fileRow(file: FileInfo, columns: number, me: string): Row {
  const arrow = file.direction === 'in' ? '←' : '→';
  const other = nameOf(file.direction === 'in' ? file.from : file.to, me);
  const words = ` ${showBytes(file.size)} ${fileWords(file)}`;
  const name = cut(`${arrow} ${other} ${cleanLine(file.name)}`, Math.max(12, columns - stringWidth(words)));
  return [
    { text: name },
    { text: cut(words, columns - stringWidth(name)), color: file.state === 'failed' ? 'red' : 'yellow' },
  ];
}
