/** Addresses that a user names by hand: IPv4, IPv6, names; and a name that comes to mean another address. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Running, start } from './program.ts';
import { Switch, within } from './switch.ts';
import { eventOf, until } from './testnet.ts';

const net = Switch.create('names');
const opened: AsyncDisposable[] = [];
let folder: string;
let space: string;
/** What the machine of this test takes for its `/etc/hosts`: "ip netns exec" puts it there. */
let own: string;

const means = (names: Record<string, string>): Promise<void> =>
  writeFile(
    join(own, 'hosts'),
    Object.entries(names)
      .map(([name, ip]) => `${ip} ${name}\n`)
      .join(''),
  );

const run = async (name: string, host: string, args: string[], port = '0'): Promise<Running> => {
  const program = await start(join(folder, name), [...args, '--port', port], { host, within: within(space) });
  opened.push(program);
  return program;
};
const up = (name: string, host: string, args: string[] = [], port?: string): Promise<Running> =>
  run(name, host, ['up', '--name', name, '--tracker-port', '0', ...args], port);

beforeAll(async () => {
  if (!net) return;
  folder = await mkdtemp(join(tmpdir(), 'netapp-names-'));
  space = net.machine('names', '10.215.0.1/24', 'fd43::1/64');
  own = join('/etc/netns', space);
  await mkdir(own, { recursive: true });
  await means({});
});

afterAll(async () => {
  for (const each of opened.reverse()) await each[Symbol.asyncDispose]();
  net?.[Symbol.dispose]();
  if (own !== undefined) await rm(own, { recursive: true, force: true });
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

test('a node is met by an IPv4 address, an IPv6 address or a name, without a tracker, and by the name where that has moved to [N-57] [N-59]', async ({
  skip,
}) => {
  if (!net) return skip('no network can be made here: "ip netns add" failed');
  await means({ 'bob.test': '127.0.0.2' });
  const alice = await up('alice', '127.0.0.1');
  const bob = await up('bob', '127.0.0.2');
  const port = String(bob.says.port);
  const handle = `bob@${bob.text('id').slice(0, 16)}.local`;
  const link = await alice.client.links.connect({ target: `bob.test:${port}` });
  expect(link).toMatchObject({ handle, address: `bob.test:${port}`, peer: bob.text('node') });
  const first = await alice.client.messages.say({ handle: 'bob@local', text: 'by name' });
  const { data } = await eventOf(bob.client, 'message.received', (message) => message.id === first.id);
  // Whoever is written to knows the writer by their key, and can answer.
  await bob.client.messages.say({ handle: String(data.from), text: 'to a key' });
  await eventOf(alice.client, 'message.received', ({ text, from }) => text === 'to a key' && from === handle);

  await bob.stop();
  const second = await alice.client.messages.say({ handle, text: 'after you have moved' });
  await means({ 'bob.test': '127.0.0.3' });
  const moved = await up('bob', '127.0.0.3', [], port);
  await eventOf(moved.client, 'message.received', (message) => message.id === second.id);

  for (const [name, host, target] of [
    ['carol', '10.215.0.1', (at: unknown) => `10.215.0.1:${at}`],
    ['dave', 'fd43::1', (at: unknown) => `[fd43::1]:${at}`],
  ] as const) {
    const other = await up(name, host);
    expect(await alice.client.links.connect({ target: target(other.says.port) })).toMatchObject({
      peer: other.text('node'),
    });
    const { id } = await alice.client.messages.say({ handle: `${name}@local`, text: 'by address' });
    await eventOf(other.client, 'message.received', (message) => message.id === id);
  }
});

test('a tracker named by a name is followed to where the name leads now [N-59]', async ({ skip }) => {
  if (!net) return skip('as above');
  await means({ 'tracker.test': '127.0.0.4' });
  const tracker = await run('tracker', '127.0.0.4', ['tracker']);
  const port = String(tracker.says.port);
  const erin = await up('erin', '127.0.0.1', ['--tracker', `${tracker.text('peer')}@tracker.test:${port}`]);
  const stands = (wanted: string) =>
    until(
      () => erin.client.status.show(),
      ({ trackers }) => trackers[0]?.state === wanted,
    );
  await stands('up');
  await tracker.stop();
  await means({ 'tracker.test': '127.0.0.5' });
  await run('tracker', '127.0.0.5', ['tracker'], port);
  await until(
    () => erin.client.links.list(),
    (links) => links.some(({ role }) => role === 'tracker'),
  );
  const { trackers } = await stands('up');
  expect(trackers[0]?.address).toBe(`tracker.test:${port}`);
});
