/** The whole screen as rows, from what the model knows and where the user is. Only what is seen is made. */
import stringWidth from 'string-width';
import { cleanLine, cleanText } from '../cli/clean.ts';
import { showBytes } from '../cli/units.ts';
import { KEYS } from './keys.ts';
import type { Place } from './places.ts';
import { cut, fileRow, messageRows, nameOf, type Piece, padded, placeRow, type Row, widthOf, wrapped } from './rows.ts';
import type { Screen } from './screen.ts';

export type Frame = { rows: Row[]; cursor: { x: number; y: number } };

/** Columns from which there is room for the list beside the messages. */
const WIDE = 60;
/** Rows that a long text under way may take. */
const MOST_INPUT = 5;

export function frame(screen: Screen, columns: number, rows: number): Frame {
  const over = screen.mode.of === 'help' || screen.mode.of === 'files' || screen.mode.of === 'output';
  const side = columns >= WIDE && !over ? Math.min(32, Math.max(20, Math.floor(columns / 5))) : 0;
  const input = inputRows(screen, columns);
  const height = Math.max(1, rows - input.rows.length - 3);
  const body = bodyRows(screen, columns - (side > 0 ? side + 1 : 0), height);
  const list = side > 0 ? sideRows(screen, side, height) : [];
  const between: Piece = { text: '│', dim: true };
  const whole = [
    titleRow(screen, columns),
    ...body.map((row, at) => (side > 0 ? [...(list[at] ?? [{ text: ' '.repeat(side) }]), between, ...row] : row)),
    noticeRow(screen, columns),
    ...input.rows,
    hintRow(screen, columns),
  ].slice(0, rows);
  return { rows: whole, cursor: { x: input.cursor.x, y: height + 2 + input.cursor.y } };
}

function titleRow({ model, place, mode }: Screen, columns: number): Row {
  const me = model.me?.handle ?? '';
  const left = place ? placeTitle(place, me) : 'NetApp';
  const title =
    mode.of === 'help' ? 'Keys' : mode.of === 'files' ? 'Files' : mode.of === 'output' ? mode.output.title : left;
  const right = ` ${me} `;
  return [
    { text: padded(` ${cleanLine(title)}`, columns - stringWidth(right)), inverse: true, bold: true },
    { text: right, inverse: true },
  ];
}

function placeTitle({ title, room, status }: Place, me: string): string {
  if (!room) return status ? `${title} (${status})` : title;
  const who = room.members.map(({ handle }) => nameOf(handle, me)).join(', ');
  const standing = room.closed ? 'closed' : room.standing === 'invited' ? `asked in by ${room.invitedBy}` : who;
  return `${title}: ${standing}`;
}

function sideRows({ model, target }: Screen, columns: number, height: number): Row[] {
  const { places, me } = model;
  const at = Math.max(
    0,
    places.findIndex((place) => place.target === target),
  );
  const from = Math.max(0, Math.min(at - Math.floor(height / 2), places.length - height));
  return places.slice(from, from + height).map((place) => {
    const typing = model.typing(place.conversation).length > 0;
    return placeRow(place, { columns, me: me?.handle ?? '', open: place.target === target, typing });
  });
}

function bodyRows(screen: Screen, columns: number, height: number): Row[] {
  const { mode, model } = screen;
  const plain = (lines: readonly string[]): Row[] => lines.map((text) => [{ text: ` ${cut(text, columns - 1)}` }]);
  const page = (lines: Row[]): Row[] => [...lines.slice(0, height), ...blank(height - lines.length)];
  if (mode.of === 'help') {
    return page(plain(['', ...KEYS.map(([key, does]) => `${key.padEnd(16)} ${does}`)]));
  }
  if (mode.of === 'files') {
    const all = [...model.files.values()].sort((a, b) => b.at.localeCompare(a.at)).slice(0, height - 1);
    if (all.length === 0) return page(plain(['', 'no files yet']));
    return page([
      [{ text: ' ' }],
      ...all.map((file): Row => [{ text: ' ' }, ...fileRow(file, columns - 1, model.me?.handle ?? '')]),
    ]);
  }
  if (mode.of === 'output') {
    const lines = mode.output.lines.flatMap((line) => wrapped(cleanText(line), columns - 1));
    return page(plain(lines.slice(mode.from)));
  }
  return messagesIn(screen, columns, height);
}

const blank = (count: number): Row[] => Array.from({ length: Math.max(0, count) }, () => [{ text: ' ' }]);

/** From the bottom up, until the height is full. */
function messagesIn(screen: Screen, columns: number, height: number): Row[] {
  const { messages, model, bottom, marked, place, target } = screen;
  const me = model.me?.handle ?? '';
  if (target !== undefined && place?.room?.standing === 'invited') return welcome(place, columns, height);
  const shown: Row[] = [];
  const last = bottom === undefined ? messages.length - 1 : messages.findIndex(({ id }) => id === bottom);
  let seen = 0;
  for (let at = last; at >= 0 && shown.length < height; at -= 1) {
    const message = messages[at];
    if (!message) break;
    const { replyTo } = message;
    const answered = replyTo === null ? undefined : messages.find(({ id }) => id === replyTo);
    const file = message.file === null ? undefined : model.files.get(message.file);
    const rows = messageRows(message, { columns, me, file, answered });
    const look = message === marked ? rows.map((row) => row.map((piece) => ({ ...piece, inverse: true }))) : rows;
    shown.unshift(...look);
    const day = message.at.slice(0, 10);
    if (day !== messages[at - 1]?.at.slice(0, 10)) shown.unshift([{ text: centred(day, columns), dim: true }]);
    seen += 1;
  }
  screen.page = Math.max(1, seen - 1);
  const fitting = shown.slice(-height);
  if (target === undefined) return empty('Tab opens the first conversation, ? shows the keys', columns, height);
  if (messages.length === 0 && model.timeline(target).loaded) return empty('nothing was said yet', columns, height);
  return [...blank(height - fitting.length), ...fitting];
}

const centred = (text: string, columns: number): string => ' '.repeat(Math.max(0, (columns - text.length) >> 1)) + text;

const empty = (text: string, columns: number, height: number): Row[] => [
  ...blank(height - 1),
  [{ text: ` ${cut(text, columns - 1)}`, dim: true }],
];

function welcome({ title, room }: Place, columns: number, height: number): Row[] {
  const text = `${cleanLine(room?.invitedBy ?? 'somebody')} asks me into ${cleanLine(title)}: Ctrl-Y joins, Ctrl-X declines`;
  return empty(text, columns, height);
}

/** The one thing that is worth a row just now. */
function noticeRow({ model, place, mode }: Screen, columns: number): Row {
  const me = model.me?.handle ?? '';
  const row = (text: string, color: Piece['color']): Row => [
    { text: cut(text, columns), color, dim: color === undefined },
  ];
  if (model.trouble !== undefined) return row(`! ${cleanLine(model.trouble)}`, 'red');
  if (model.note)
    return row(`${model.note.bad ? '! ' : ''}${cleanLine(model.note.text)}`, model.note.bad ? 'red' : 'green');
  if (mode.of === 'reply')
    return row(`answer to ${nameOf(mode.message.from, me)}: ${cleanLine(mode.message.text)}`, 'cyan');
  if (mode.of === 'edit') return row('new words for my message; none take it back; Esc leaves it as it is', 'cyan');
  const offer = model.offers.at(-1);
  if (offer && place?.room?.standing !== 'invited') {
    const what = `${nameOf(offer.from, me)} offers ${cleanLine(offer.name)} (${showBytes(offer.size)})`;
    return row(`${what}: Ctrl-Y accepts, Ctrl-X declines`, 'yellow');
  }
  const typing = model.typing(place?.conversation).map((handle) => nameOf(handle, me));
  if (typing.length > 0) return row(`${typing.join(', ')} ${typing.length === 1 ? 'is' : 'are'} writing`, undefined);
  const moving = [...model.files.values()].find(({ state }) => state === 'fetching' || state === 'serving');
  return moving ? fileRow(moving, columns, me) : [{ text: '─'.repeat(columns), dim: true }];
}

function inputRows({ line, mode }: Screen, columns: number): { rows: Row[]; cursor: { x: number; y: number } } {
  const prompt = mode.of === 'mark' ? '* ' : '> ';
  const room = columns - prompt.length - 1;
  const all = wrapped(line.text, room);
  const before = wrapped(line.text.slice(0, line.cursor), room);
  const at = before.length - 1;
  const from = Math.max(0, Math.min(at, all.length - 1) - MOST_INPUT + 1);
  const rows = all
    .slice(from, from + MOST_INPUT)
    .map(
      (text, index): Row => [
        { text: from + index === 0 ? prompt : '  ', bold: true },
        { text: text === '' ? ' ' : text },
      ],
    );
  return { rows, cursor: { x: prompt.length + stringWidth(before[at] ?? ''), y: at - from } };
}

function hintRow({ model, mode, bottom }: Screen, columns: number): Row {
  const hints: Record<typeof mode.of, string> = {
    write: '? keys  Tab next  Esc mark  /command',
    reply: 'Enter sends  Esc gives up',
    edit: 'Enter changes  Esc gives up',
    mark: 'Up Down  r answer  e change  d take back  a accept  x decline  Esc',
    help: 'any key goes back',
    files: 'any key goes back',
    output: 'Up Down PgUp PgDn  Esc goes back',
  };
  const unread = model.places.reduce((sum, place) => sum + place.unread, 0);
  const queue = model.me?.queue.messages ?? 0;
  const right = [
    bottom === undefined ? '' : 'older; End: newest',
    unread > 0 ? `${unread} unread` : '',
    queue > 0 ? `${queue} wait` : '',
  ]
    .filter((text) => text !== '')
    .join('  ');
  const left = cut(hints[mode.of], Math.max(0, columns - stringWidth(right) - 1));
  const gap = ' '.repeat(Math.max(1, columns - stringWidth(left) - stringWidth(right)));
  const row: Row = [
    { text: left, dim: true },
    { text: `${gap}${right}`, color: 'yellow' },
  ];
  return widthOf(row) > columns ? [{ text: left, dim: true }] : row;
}
