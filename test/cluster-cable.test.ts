/**
 * Three machines, as far as a network can tell, each with a nats-server, two of them with a tracker, of which one is cut off from the
 * others: what was answered as bound or held on whichever side still is after the cable is mended.
 */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { copyKey } from './doors.ts';
import { Nats, needsNats } from './nats.ts';
import { needs } from './needs.ts';
import { type Running, start } from './program.ts';
import { eventOf, until } from './testnet.ts';

const PATIENCE_MS = 240_000;
/** A network that exists in the namespaces of this test alone. */
const SUBNET = '10.214.0';
const hub = `netapp-cluster-${process.pid}`;
const spaceOf = (index: number): string => `${hub}-${index}`;
const hostOf = (index: number): string => `${SUBNET}.${index + 10}`;
const within = (index: number): string[] => ['ip', 'netns', 'exec', spaceOf(index)];

const ip = (...args: string[]): boolean => spawnSync('ip', args, { stdio: 'ignore' }).status === 0;

function mustIp(...args: string[]): void {
  const { status, stderr } = spawnSync('ip', args);
  expect(status, `ip ${args.join(' ')}: ${stderr}`).toBe(0);
}

/** A switch, and three machines with one cable to it each. */
function build(): void {
  mustIp('-n', hub, 'link', 'add', 'switch', 'type', 'bridge');
  mustIp('-n', hub, 'link', 'set', 'switch', 'up');
  for (const index of [0, 1, 2]) {
    mustIp('netns', 'add', spaceOf(index));
    mustIp('-n', spaceOf(index), 'link', 'set', 'lo', 'up');
    mustIp('-n', hub, 'link', 'add', `to-${index}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', spaceOf(index));
    mustIp('-n', hub, 'link', 'set', `to-${index}`, 'master', 'switch', 'up');
    mustIp('-n', spaceOf(index), 'address', 'add', `${hostOf(index)}/24`, 'dev', 'eth0');
    mustIp('-n', spaceOf(index), 'link', 'set', 'eth0', 'up');
  }
}

const cut = (index: number): void => mustIp('-n', hub, 'link', 'set', `to-${index}`, 'nomaster');
const mend = (index: number): void => mustIp('-n', hub, 'link', 'set', `to-${index}`, 'master', 'switch');

const undo = new AsyncDisposableStack();
afterEach(() => undo.disposeAsync(), PATIENCE_MS);

test('a tracker that is cut off binds and holds nothing, and what the others answered stays so [K-3] [K-9]', {
  timeout: PATIENCE_MS,
}, async ({ skip }) => {
  needsNats(skip);
  const possible = ip('netns', 'add', hub);
  needs(possible, 'no cable can be cut: "ip netns add" failed: run as root, with iproute2', skip);
  undo.defer(() => {
    for (const space of [hub, ...[0, 1, 2].map(spaceOf)]) ip('netns', 'delete', space);
  });
  build();
  const folder = await mkdtemp(join(tmpdir(), 'netapp-cluster-'));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  const nats = undo.use(
    await Nats.at([0, 1, 2].map((index) => ({ host: hostOf(index), port: 4222, route: 6222, within: within(index) }))),
  );
  const at = async (index: number, name: string, args: string[]): Promise<Running> =>
    undo.use(await start(join(folder, name), args, { host: hostOf(index), within: within(index) }));
  const engine = ['tracker', '--port', '0', '--engine', nats.url];
  const trackers = [await at(0, 't0', engine)];
  await copyKey(join(folder, 't0', 'tracker'), join(folder, 't1', 'tracker'));
  trackers.push(await at(1, 't1', engine));
  // Each machine's people know its own tracker alone: so nobody flees from the one that is cut off.
  const up = (index: number, name: string, home = name): Promise<Running> =>
    at(index, home, ['up', '--name', name, '--port', '0', '--join', trackers[index]?.text('invite') ?? '']);
  const [alice, bob, dave] = [await up(0, 'alice'), await up(1, 'bob'), await up(1, 'dave')];
  for (const node of [alice, bob]) {
    await node.client.messages.say({ handle: 'dave', text: 'hello' });
    await eventOf(dave.client, 'message.received', ({ from }) => from === `${node === alice ? 'alice' : 'bob'}@lab`);
  }
  await dave.stop();
  await until(
    () => alice.client.people.find({ handle: 'dave' }),
    ({ status }) => status === 'offline',
  );

  cut(0);
  // On both sides somebody new wants the same name: only where the majority is anybody can have it.
  const lonely = await up(0, 'wanted', 'lonely');
  const winner = await up(1, 'wanted', 'winner');
  await until(
    () => winner.client.status.show(),
    ({ trackers }) => trackers[0]?.state === 'up' && trackers[0].error === null,
    PATIENCE_MS,
  );
  const held = await bob.client.messages.say({ handle: 'dave', text: 'from the majority' });
  await until(
    () => bob.client.messages.show({ id: held.id }),
    ({ state }) => state === 'held',
    PATIENCE_MS,
  );
  const waits = await alice.client.messages.say({ handle: 'dave', text: 'from the one cut off' });
  await until(
    () => alice.client.messages.show({ id: waits.id }),
    ({ error }) => error !== null,
    PATIENCE_MS,
  );
  expect((await alice.client.messages.show({ id: waits.id })).state).toBe('queued');
  // What it knew it still tells.
  expect((await alice.client.people.find({ handle: 'bob' })).handle).toBe('bob@lab');

  mend(0);
  await until(
    () => alice.client.messages.show({ id: waits.id }),
    ({ state }) => state === 'held',
    PATIENCE_MS,
  );
  const found = await until(
    () => alice.client.people.find({ handle: 'wanted' }).catch(() => undefined),
    (person) => person !== undefined,
    PATIENCE_MS,
  );
  expect(found?.id).toBe(winner.text('id'));
  await until(
    () => lonely.client.status.show(),
    ({ trackers }) => trackers[0]?.error?.includes('belongs to another key') === true,
    PATIENCE_MS,
  );
  // Dave comes back on the machine that was cut off, and has what either side held.
  const again = await up(0, 'dave');
  for (const text of ['from the majority', 'from the one cut off'])
    await eventOf(again.client, 'message.received', (data) => data.text === text);
});
