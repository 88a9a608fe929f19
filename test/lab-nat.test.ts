/** The lab’s routers do what their words say, as plain sockets see it: else the table of the lab would prove nothing. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { expectedRung } from './lab/expectation.ts';
import { Lab } from './lab/lab.ts';
import type { Machine } from './lab/machine.ts';
import { impossible } from './lab/space.ts';
import { build } from './lab/world.ts';
import { needs } from './needs.ts';

const PROGRAM = resolve(import.meta.dirname, 'lab/sight.py');
/** Seconds that two try to meet: several times what they need where they can. */
const PUNCH_S = '4';

const reason = impossible();
let lab: Lab;
let watchers: ChildProcess[];
let seats: string[];

/** Somebody on the internet with two addresses and two ports, who says where packets come from. */
async function watch(machine: Machine): Promise<string> {
  const [command = '', ...words] = [...machine.space.within, 'python3', PROGRAM, 'serve', '7000'];
  const child = spawn(command, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  watchers.push(child);
  await once(child.stdout, 'data');
  return `${machine.plug.ipv4}:7000`;
}

const sight = (machine: Machine, ...words: string[]): Promise<string> =>
  machine.space.run('python3', PROGRAM, ...words).then((said) => said.trim());

const outsides = async (name: string, kind: 'tcp' | 'udp', port: number): Promise<string[]> =>
  (await sight(lab.get(name), 'ask', kind, String(port), ...seats)).split('\n');

beforeAll(async () => {
  watchers = [];
  if (reason !== undefined) return;
  lab = await Lab.create();
  const middle = await lab.site('middle');
  const other = await lab.site('other');
  seats = [await watch(await lab.machine('first', middle)), await watch(await lab.machine('second', other))];
  await build(lab);
});

afterAll(async () => {
  for (const watcher of watchers) watcher.kill('SIGKILL');
  await lab?.[Symbol.asyncDispose]();
});

test.beforeEach(({ skip }) => {
  needs(reason === undefined, `there can be no lab here: ${reason}`, skip);
});

test.for(['tcp', 'udp'] as const)(
  'outside ports of %s: kept, another one, one for each, through two routers',
  async (kind) => {
    const at = (name: string): string => lab.get(name).site.outside;
    expect(await outsides('home', kind, 4001)).toEqual([`${at('home')}:4001`, `${at('home')}:4001`]);
    const [first, second] = await outsides('random', kind, 4001);
    expect(first).toMatch(at('random'));
    expect(first).not.toBe(`${at('random')}:4001`);
    expect(second).toBe(first);
    const [one, another] = await outsides('strict', kind, 4001);
    expect(one).toMatch(at('strict'));
    expect(another).not.toBe(one);
    const carrier = lab.sites.get('carrier')?.outside;
    expect(await outsides('double', kind, 4001)).toEqual([`${carrier}:4001`, `${carrier}:4001`]);
  },
);

test('who may send to a port that sent before', async () => {
  const stranger = lab.get('open');
  const from = async (name: string): Promise<string> => {
    const [, seen = ''] = await outsides(name, 'tcp', 4002);
    return seen;
  };
  // Nobody listens behind the port: where the packet is let in, the machine itself says so.
  expect(await sight(stranger, 'try', 'tcp', '5001', await from('cone'), '1')).toBe('reset');
  expect(await sight(stranger, 'try', 'tcp', '5001', await from('home'), '1')).toBe('nothing');
  expect(await sight(stranger, 'try', 'tcp', '5001', await from('reset'), '1')).toBe('reset');
});

test('a firewall, and a company that lets out only what looks like the web', async () => {
  expect(await sight(lab.get('open'), 'try', 'tcp', '5002', `${lab.get('wall').plug.ipv4}:7`, '1')).toBe('nothing');
  expect(await sight(lab.get('office'), 'try', 'tcp', '5002', seats[0] ?? '', '1')).toBe('nothing');
  expect(await sight(lab.get('office'), 'try', 'tcp', '5002', (seats[0] ?? '').replace(/\d+$/, '443'), '1')).toBe(
    'reset',
  );
});

/** Both send to the other’s outside port, from one moment on, until they meet. */
async function punch(kind: 'tcp' | 'udp', names: readonly [string, string], port: number): Promise<boolean> {
  const [one, other] = names;
  const [[its = ''], [others = '']] = await Promise.all([outsides(one, kind, port), outsides(other, kind, port)]);
  const [first, second] = [
    meeting(lab.get(one), kind, String(port), others),
    meeting(lab.get(other), kind, String(port), its),
  ];
  await Promise.all([first.lines.next(), second.lines.next()]);
  for (const { child } of [first, second]) child.stdin.write('now\n');
  const ends = await Promise.all([first.lines.next(), second.lines.next()]);
  return ends.some(({ value }) => value === 'open');
}

function meeting(machine: Machine, ...words: string[]) {
  const [command = '', ...within] = machine.space.within;
  const child = spawn(command, [...within, 'python3', PROGRAM, 'meet', ...words, PUNCH_S]);
  watchers.push(child);
  return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() };
}

test('punching is possible exactly where it is expected', async () => {
  const pairs = [
    ['home', 'random'],
    ['wall', 'double'],
    ['desk', 'reset'],
    ['guest', 'visitor'],
    ['lodger', 'roomer'],
    ['wall', 'strict'],
    ['cone', 'firm'],
  ] as const;
  const found: Record<string, boolean> = {};
  const expected: Record<string, boolean> = {};
  await Promise.all(
    pairs.flatMap((names, n) =>
      (['tcp', 'udp'] as const).map(async (kind) => {
        const pair = `${names.join(' and ')} by ${kind}`;
        found[pair] = await punch(kind, names, 4100 + n);
        expected[pair] = expectedRung(lab.get(names[0]), lab.get(names[1])) === 'punched';
      }),
    ),
  );
  expect(found).toEqual(expected);
});
