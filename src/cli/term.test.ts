import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { outcome } from '../api/outcome.ts';
import type { FileInfo } from '../api/shapes.ts';
import { Bars } from './bars.ts';
import { progressLine } from './progress.ts';
import { Term } from './term.ts';

function terminal({ isTTY, env = {} }: { isTTY: boolean; env?: NodeJS.ProcessEnv }) {
  const stream = Object.assign(new PassThrough(), { isTTY, columns: 30 });
  const gone = new AbortController();
  const term = new Term(stream, { env, gone: gone.signal });
  const shown = async () => {
    stream.end();
    return text(stream);
  };
  return { term, gone, shown };
}

test('columns line up, and cells are cleaned before they are measured', async () => {
  const { term, shown } = terminal({ isTTY: false });
  await term.table(
    ['WHO', 'WORDS'],
    [
      ['bo\u001b[31mb', 'a\nb'],
      ['alexandra', { text: 'x', style: 'red' }],
    ],
  );
  expect(await shown()).toBe('WHO        WORDS\nbob        a b\nalexandra  x\n');
});

test.each([
  ['a terminal', { isTTY: true }, true],
  ['a terminal with NO_COLOR', { isTTY: true, env: { NO_COLOR: '1' } }, false],
  ['a terminal with an empty NO_COLOR', { isTTY: true, env: { NO_COLOR: '' } }, true],
  ['a pipe', { isTTY: false }, false],
])('%s has colours: %s', async (_name, options, colours) => {
  const { term, shown } = terminal(options);
  await term.line(term.style('done', 'green'));
  expect((await shown()).includes('\u001b[32m')).toBe(colours);
});

test('progress replaces itself within the width, goes before the next line, and is not for pipes', async () => {
  const onTerminal = terminal({ isTTY: true });
  onTerminal.term.transient('x'.repeat(50));
  await onTerminal.term.line('end');
  expect(await onTerminal.shown()).toBe(`\r\u001b[2K${'x'.repeat(29)}\r\u001b[2Kend\n`);
  const onPipe = terminal({ isTTY: false });
  onPipe.term.transient('x');
  expect(await onPipe.shown()).toBe('');
});

test('nothing is written, and nothing waits, when nobody reads any more', async () => {
  const { term, gone, shown } = terminal({ isTTY: false });
  const waiting = term.line('x'.repeat(100_000));
  gone.abort();
  await waiting;
  await term.line('more');
  expect(await shown()).not.toContain('more');
});

const moving: FileInfo = {
  id: 'f1',
  name: 'a\u001b[2Jb.bin',
  size: 10_000_000,
  hash: '',
  from: 'bob@lab',
  conversation: null,
  verified: false,
  eta: 15,
  links: [],
  paused: false,
  priority: 'normal',
  limit: null,
  conflict: 'rename',
  to: 'alice@lab',
  direction: 'in',
  state: 'fetching',
  progress: 2_500_000,
  rate: 500_000,
  path: '',
  at: '2026-03-01T10:00:00.000Z',
  error: null,
};

test('progress shows part, amount, speed and what is left', () => {
  expect(progressLine(moving)).toBe('ab.bin  [#####...............] 25%  2.5 MB of 10.0 MB  500 kB/s  ETA 0:15');
  expect(progressLine({ ...moving, rate: 0 })).not.toContain('ETA');
  expect(progressLine({ ...moving, size: 0, progress: 0 })).toContain('100%');
  expect(progressLine({ ...moving, state: 'accepted' })).toBe('ab.bin  waits for bob@lab');
  expect(progressLine({ ...moving, state: 'accepted', paused: true })).toBe('ab.bin  paused at 2.5 MB of 10.0 MB');
});

test('progress shows over which links it moves', () => {
  const over = (handle: string | null, rung: 'lan' | 'direct') => ({ handle, rung, address: '10.0.0.1:1', rate: 1 });
  const shown = (links: FileInfo['links']) => progressLine({ ...moving, links }).split('0:15')[1];
  expect(shown([over('bob@lab', 'lan')])).toBe('  from bob@lab (lan)');
  expect(shown([over(null, 'direct')])).toBe('  from a link (direct)');
  expect(shown([over('bob@lab', 'lan'), over('eve@lab', 'lan'), over('joe@lab', 'direct')])).toBe(
    '  from 3 (lan 2, direct 1)',
  );
});

test('a bar for each transfer is redrawn in place; what has ended stays as a line', async () => {
  const { term, shown } = terminal({ isTTY: true });
  const bars = new Bars(term);
  await bars.show({ ...moving, name: 'one' });
  await bars.show({ ...moving, id: 'f2', name: 'two' });
  await bars.show({ ...moving, name: 'one', state: 'done' });
  bars.end();
  const [, ...drawn] = (await shown()).split('\r');
  const plain = drawn.map((text) => text.replaceAll('\u001b', '^'));
  expect(plain[0]).toMatch(/^\^\[2Kone {2}.*\ntwo {2}\[#/); // one line was drawn before
  expect(plain[1]).toMatch(/^\^\[1A\^\[2K\^\[Jone {2}done\ntwo {2}\[#/); // two were
  expect(plain[2]).toBe('^[2K');
});

test('only done is no fault', () => {
  expect(outcome({ ...moving, state: 'done' })).toBeUndefined();
  expect(outcome({ ...moving, state: 'failed', error: { code: 'disk_full', message: 'no room' } })).toMatchObject({
    code: 'disk_full',
    message: 'no room',
  });
  expect(outcome({ ...moving, state: 'failed', error: { code: 'from_the_future', message: 'x' } })?.code).toBe(
    'internal',
  );
  expect(outcome({ ...moving, state: 'declined' })?.code).toBe('cancelled');
});
