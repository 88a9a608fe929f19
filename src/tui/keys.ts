/** What each key does. */
import type { Key } from 'ink';
import type { Screen } from './screen.ts';

/** For `?`, in the order in which they are wanted. */
export const KEYS: readonly (readonly [string, string])[] = [
  ['Enter', 'send; Alt-Enter begins a new line'],
  ['Tab, Shift-Tab', 'next and previous conversation; behind a / complete the word'],
  ['Ctrl-N, Ctrl-P', 'the same, also while something is written'],
  ['Ctrl-G', 'the next conversation with something unread'],
  ['Up, Down', 'what I wrote before'],
  ['PgUp, PgDn', 'older and newer messages; End: the newest'],
  ['Ctrl-E', 'change my last message; with nothing left of it, take it back'],
  ['Esc', 'mark a message; then Up, Down, and'],
  ['   r e d', 'answer it, change it, take it back'],
  ['   a x', 'accept or decline the file that it offers'],
  ['Ctrl-Y, Ctrl-X', 'yes or no: to the newest offer, or to who asks me into this room'],
  ['Ctrl-T', 'files that come and go'],
  ['/command', 'any netapp command: /rooms create team --members bob'],
  ['?', 'this page'],
  ['Ctrl-C, /quit', 'leave; what waits goes on by itself'],
];

/** What one read of the terminal gave. Keys that come faster than they are taken arrive together. */
export function press(screen: Screen, input: string, key: Key): void {
  if (!/[\u0000-\u001f\u007f]/.test(input)) return pressOne(screen, input, key);
  for (const part of input.match(/[\u0000-\u001f\u007f]|[^\u0000-\u001f\u007f]+/g) ?? []) {
    const code = part.charCodeAt(0);
    const control = code < 32 && code !== 9 && code !== 13;
    const letter = control ? String.fromCharCode(code + 96) : part;
    const alone = { ...key, return: code === 13, tab: code === 9, backspace: code === 127, ctrl: control };
    pressOne(screen, code === 13 || code === 9 || code === 127 ? '' : letter, alone);
  }
}

function pressOne(screen: Screen, input: string, key: Key): void {
  const { mode, line } = screen;
  if (key.ctrl && control(screen, input)) return;
  if (key.pageUp) return over(screen, -screen.page);
  if (key.pageDown) return over(screen, screen.page);
  if (mode.of === 'help' || mode.of === 'files') return screen.to({ of: 'write' });
  if (mode.of === 'output') {
    if (key.upArrow || key.downArrow) return over(screen, key.upArrow ? -1 : 1);
    return screen.to({ of: 'write' });
  }
  if (mode.of === 'mark') return marked(screen, input, key);
  if (key.escape) {
    if (mode.of === 'edit') line.set('');
    return mode.of === 'write' ? screen.mark(0) : screen.to({ of: 'write' });
  }
  if (key.tab) {
    if (line.text.startsWith('/')) return void screen.complete();
    return screen.move(key.shift ? -1 : 1);
  }
  if (key.return && !key.meta) return screen.send();
  if (input === '?' && line.text === '') return screen.to({ of: 'help' });
  if (key.end && line.text === '') return screen.scroll(Number.MAX_SAFE_INTEGER);
  write(screen, input, key);
}

function control(screen: Screen, input: string): boolean {
  const { ownLast } = screen;
  const deeds: Record<string, () => void> = {
    c: () => screen.exit(),
    n: () => screen.move(1),
    p: () => screen.move(-1),
    g: () => screen.nextUnread(),
    e: () => screen.edit(ownLast),
    y: () => screen.answerNext(true),
    x: () => screen.answerNext(false),
    t: () => screen.to({ of: screen.mode.of === 'files' ? 'write' : 'files' }),
  };
  const deed = deeds[input];
  deed?.();
  return deed !== undefined;
}

/** Moves what is on top: the page of a command, or the messages. */
function over(screen: Screen, by: number): void {
  const { mode } = screen;
  if (mode.of !== 'output') return screen.scroll(by);
  const last = Math.max(0, mode.output.lines.length - 1);
  screen.mode = { ...mode, from: Math.min(last, Math.max(0, mode.from + by)) };
  screen.model.changed();
}

function marked(screen: Screen, input: string, key: Key): void {
  const { marked: message } = screen;
  if (key.upArrow || key.downArrow) return screen.mark(key.upArrow ? -1 : 1);
  if (!message || key.escape || key.return) return screen.to({ of: 'write' });
  if (input === 'r') return screen.reply(message);
  if (input === 'e') return screen.edit(message);
  if (input === 'd') return screen.remove(message);
  if (input === 'a' || input === 'x') return screen.answer(screen.offerOf(message), input === 'a');
}

function write(screen: Screen, input: string, key: Key): void {
  const { line } = screen;
  if (key.upArrow) line.older();
  else if (key.downArrow) line.newer();
  else if (key.leftArrow) line.left();
  else if (key.rightArrow) line.right();
  else if (key.home) line.home();
  else if (key.end) line.end();
  else if (key.backspace) line.backspace();
  else if (key.delete) line.delete();
  else if (key.ctrl && input === 'w') line.deleteWord();
  else if (key.ctrl && input === 'u') line.deleteToStart();
  else if (key.ctrl && input === 'a') line.home();
  else if (key.return) line.insert('\n');
  else if (!key.ctrl && !key.meta && input !== '') {
    line.insert(input);
    screen.typed();
  }
  screen.model.changed();
}
