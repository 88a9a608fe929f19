/**
 * Two laptops, as far as a network can tell: they begin where only a tracker reaches both, come to the same network, and change
 * their addresses, while one fetches a file of the other and both talk.
 */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { needs } from './needs.ts';
import { type Running, start } from './program.ts';
import { eventOf, until } from './testnet.ts';

const PATIENCE_MS = 60_000;
const MIB = 1024 * 1024;
const FILE_BYTES = 24 * MIB;
/** Slow enough that the file is on its way for longer than all that happens meanwhile. */
const LIMIT = 1_500_000;
/** A network that exists in the namespaces of this test alone. */
const SUBNET = '10.214.0';

const hub = `netapp-moves-${process.pid}`;
const NAMES = ['alice', 'bob'];
const spaceOf = (name: string): string => `${hub}-${name}`;
const portOf = (name: string): string => `to-${name}`;

const run = (...args: string[]): boolean => spawnSync(args[0] ?? '', args.slice(1), { stdio: 'ignore' }).status === 0;

function must(...args: string[]): void {
  const { status, stderr } = spawnSync(args[0] ?? '', args.slice(1));
  expect(status, `${args.join(' ')}: ${stderr}`).toBe(0);
}

const possible = run('ip', 'netns', 'add', hub);
let folder: string;
let tracker: Running | undefined;
const nodes = new Map<string, Running>();
const clientOf = (name: string) => (nodes.get(name) ?? expect.fail(`no node "${name}"`)).client;

/** Whether the two see the switch alone, as guests of a hotel do, or each other, too. */
function isolate(isOn: boolean): void {
  for (const name of NAMES)
    must('bridge', '-n', hub, 'link', 'set', 'dev', portOf(name), 'isolated', isOn ? 'on' : 'off');
}

beforeAll(async () => {
  if (!possible) return;
  must('ip', '-n', hub, 'link', 'set', 'lo', 'up');
  must('ip', '-n', hub, 'link', 'add', 'switch', 'type', 'bridge');
  must('ip', '-n', hub, 'address', 'add', `${SUBNET}.1/24`, 'dev', 'switch');
  must('ip', '-n', hub, 'link', 'set', 'switch', 'up');
  for (const [index, name] of NAMES.entries()) {
    const space = spaceOf(name);
    must('ip', 'netns', 'add', space);
    must('ip', '-n', space, 'link', 'set', 'lo', 'up');
    must('ip', '-n', hub, 'link', 'add', portOf(name), 'type', 'veth', 'peer', 'name', 'eth0', 'netns', space);
    must('ip', '-n', hub, 'link', 'set', portOf(name), 'master', 'switch', 'up');
    must('ip', '-n', space, 'address', 'add', `${SUBNET}.${index + 10}/24`, 'dev', 'eth0');
    must('ip', '-n', space, 'link', 'set', 'eth0', 'up');
  }
  isolate(true);
  folder = await mkdtemp(join(tmpdir(), 'netapp-moves-'));
  const inside = (space: string) => ({ within: ['ip', 'netns', 'exec', space] });
  tracker = await start(join(folder, 'tracker'), ['tracker', '--port', '0'], { host: `${SUBNET}.1`, ...inside(hub) });
  const invite = tracker.text('invite');
  for (const name of NAMES) {
    const args = ['up', '--name', name, '--port', '0', '--join', invite];
    nodes.set(name, await start(join(folder, name), args, { host: null, ...inside(spaceOf(name)) }));
  }
}, PATIENCE_MS);

afterAll(async () => {
  await Promise.all([...nodes.values(), tracker].map((program) => program?.[Symbol.asyncDispose]()));
  for (const space of [hub, ...NAMES.map(spaceOf)]) run('ip', 'netns', 'delete', space);
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

test.beforeEach(({ skip }) => {
  needs(possible, 'no network can be made: "ip netns add" failed: run as root, with iproute2', skip);
});

test('from a relay to the same network, and on from one address to another [N-71] [N-74] [N-75] [N-78]', {
  timeout: 3 * PATIENCE_MS,
}, async () => {
  const [alice, bob] = [clientOf('alice'), clientOf('bob')];
  const linkOf = async (client: typeof alice) => (await client.links.list()).find(({ role }) => role === 'node');
  await until(
    () => alice.people.list(),
    (people) => people.length === 2,
  );

  // Only the tracker reaches both.
  await alice.messages.say({ handle: 'bob@lab', text: 'said by relay' });
  const far = await until(
    () => linkOf(alice),
    (link) => link !== undefined,
  );
  expect(far?.rung).toBe('relay');

  const path = join(folder, 'data');
  await writeFile(path, randomBytes(FILE_BYTES));
  await alice.files.send({ handle: 'bob@lab', path });
  const [offered] = await until(
    () => bob.files.list(),
    (files) => files.length === 1,
  );
  const id = offered?.id ?? '';
  await bob.files.limits({ down: LIMIT });
  await bob.files.accept({ id, to: folder });
  const moving = await until(
    () => bob.files.show({ id }),
    ({ progress }) => progress > 0,
  );
  expect(moving.links.map(({ rung }) => rung)).toEqual(['relay']);
  await until(
    () => linkOf(alice),
    (link) => (link?.missed.length ?? 0) > 0, // it says why not by their addresses
  );

  const said = new Set<string>();
  let talking = true;
  const talk = Promise.all(
    NAMES.map(async (name) => {
      const to = name === 'alice' ? 'bob@lab' : 'alice@lab';
      for (let n = 0; talking; n++) {
        await clientOf(name).messages.say({ handle: to, text: `${name} says ${n}` });
        said.add(`${name} says ${n}`);
        await new Promise((done) => setTimeout(done, 50));
      }
    }),
  );

  // They come to the same network: that bob has another address makes both look at once.
  isolate(false);
  must('ip', '-n', spaceOf('bob'), 'address', 'add', `${SUBNET}.77/24`, 'dev', 'eth0');
  for (const client of [alice, bob])
    await eventOf(client, 'link.rung', ({ rung, before }) => rung === 'lan' && before === 'relay');
  await until(
    () => bob.files.show({ id }),
    ({ links }) => links.length === 1 && links[0]?.rung === 'lan',
    PATIENCE_MS,
  );

  // And bob goes on to another address: the one that he had is gone, with all that stood on it.
  const since = (await alice.events.last()).last;
  must('ip', '-n', spaceOf('bob'), 'address', 'delete', `${SUBNET}.11/24`, 'dev', 'eth0');
  run('ip', '-n', spaceOf('bob'), 'address', 'add', `${SUBNET}.77/24`, 'dev', 'eth0'); // a secondary one may go with it
  const goneAt = performance.now();
  const hasMoved = ({ addresses }: { addresses: string[] }): boolean =>
    addresses.some((address) => address.startsWith(`${SUBNET}.77:`)) &&
    !addresses.some((address) => address.startsWith(`${SUBNET}.11:`));
  await until(() => alice.people.find({ handle: 'bob@lab' }), hasMoved);
  const knownMs = performance.now() - goneAt;
  const before = await bob.files.show({ id });
  expect(before.state).not.toBe('done');
  await until(
    () => bob.files.show({ id }),
    ({ progress }) => progress > before.progress + MIB,
    PATIENCE_MS,
  );
  await until(
    () => linkOf(alice),
    (link) => link?.rung === 'lan' && link.address.startsWith(`${SUBNET}.77:`),
    PATIENCE_MS,
  );
  expect(since).toBeGreaterThan(0);

  talking = false;
  await talk;
  await bob.files.limits({ down: null });
  const done = await until(
    () => bob.files.show({ id }),
    ({ state }) => state === 'done',
    PATIENCE_MS,
  );
  expect((await readFile(done.path)).equals(await readFile(path))).toBe(true);
  for (const [name, other] of [
    ['alice', 'bob@lab'],
    ['bob', 'alice@lab'],
  ] as const) {
    const texts = await until(
      async () =>
        (await clientOf(name).messages.list({ handle: other, limit: 1000 }))
          .map(({ text }) => text)
          .filter((text) => / says /.test(text)),
      (all) => all.length >= said.size,
    );
    expect(texts.toSorted()).toEqual([...said].toSorted()); // none lost, none twice
  }
  expect(knownMs).toBeLessThan(20_000); // two seconds on a machine that has nothing else to do
});
