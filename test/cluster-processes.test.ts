/** Two tracker programs on a cluster of NATS, and real nodes, while one tracker and one machine of NATS are killed. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { formatInvite, parseInvite } from '../src/directory/invite.ts';
import { loadOrCreateKey } from '../src/link/identity.ts';
import { homePaths } from '../src/node/home.ts';
import { copyKey } from './doors.ts';
import { Nats, needsNats } from './nats.ts';
import { type Running, run, start } from './program.ts';
import { eventOf, until } from './testnet.ts';

const PATIENCE_MS = 180_000;

let undo: AsyncDisposableStack;
let folder: string;
let nats: Nats;
const trackers = new Map<string, Running>();

beforeEach(async ({ skip }) => {
  undo = new AsyncDisposableStack();
  needsNats(skip);
  folder = await mkdtemp(join(tmpdir(), 'netapp-cluster-'));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  nats = undo.use(await Nats.start(3));
  trackers.clear();
}, PATIENCE_MS);
afterEach(() => undo.disposeAsync(), PATIENCE_MS);

async function tracker(name: string, port = '0', more: readonly string[] = []): Promise<Running> {
  const program = await start(join(folder, name), ['tracker', '--port', port, ...more], {
    env: { NETAPP_ENGINE: nats.url },
  });
  undo.use(program);
  trackers.set(name, program);
  return program;
}

async function up(name: string, invite: string): Promise<Running> {
  return undo.use(await start(join(folder, name), ['up', '--name', name, '--port', '0', '--join', invite]));
}

const members = async (node: Running): Promise<number> =>
  (await node.client.rooms.show({ room: 'team' })).members.length;

test('people find each other, rooms change and mail is taken, whichever machine dies [K-2] [K-6]', {
  timeout: PATIENCE_MS,
}, async () => {
  const a = await tracker('a');
  await copyKey(join(folder, 'a', 'tracker'), join(folder, 'b', 'tracker'));
  const b = await tracker('b');
  expect(b.text('peer')).toBe(a.text('peer'));
  const { peer, zone } = parseInvite(a.text('invite'));
  const [atA, atB] = [a.text('address'), b.text('address')];
  const inviteTo = (...addresses: string[]): string => formatInvite({ peer, zone, addresses });

  // Alice is at a, Bob at b; each knows the other address too. Carol and Dave know one alone.
  const alice = await up('alice', inviteTo(atA, atB));
  const bob = await up('bob', inviteTo(atB, atA));
  const carol = await up('carol', inviteTo(atB));
  let dave = await up('dave', inviteTo(atA));
  await until(
    () => alice.client.people.find({ handle: 'bob' }).catch(() => undefined),
    (person) => person?.status === 'online',
  );
  await alice.client.messages.say({ handle: 'bob', text: 'found you' });
  await eventOf(bob.client, 'message.received', ({ text }) => text === 'found you');
  await alice.client.rooms.create({ name: 'team', members: ['bob'] });
  await eventOf(bob.client, 'room.invited', () => true);
  await bob.client.rooms.join({ room: 'team' });
  await until(
    () => members(alice),
    (count) => count === 2,
  );

  // Left at b, taken at a.
  await bob.client.messages.say({ handle: 'dave', text: 'before' });
  await eventOf(dave.client, 'message.received', ({ text }) => text === 'before');
  await dave.stop();
  await until(
    () => carol.client.people.find({ handle: 'dave' }),
    ({ status }) => status === 'offline',
  );
  const left = await carol.client.messages.say({ handle: 'dave', text: 'left at b' });
  await until(
    () => carol.client.messages.show({ id: left.id }),
    ({ state }) => state === 'held',
  );
  dave = await up('dave', inviteTo(atA));
  await eventOf(dave.client, 'message.received', ({ text }) => text === 'left at b');

  // One tracker dies: whoever was linked to it goes to the other, and the room goes on changing.
  await a.kill();
  await alice.client.rooms.invite({ room: 'team', handle: 'carol' });
  await eventOf(carol.client, 'room.invited', () => true);
  await carol.client.rooms.join({ room: 'team' });
  for (const node of [alice, bob, carol]) {
    await until(
      () => members(node),
      (count) => count === 3,
      PATIENCE_MS,
    );
  }
  // Dave's only tracker is gone: after a while he is, too, by the word of the other one.
  await until(
    () => bob.client.people.find({ handle: 'dave' }),
    ({ status }) => status === 'offline',
    PATIENCE_MS,
  );
  await dave.kill(); // else a direct link would do
  const held = await bob.client.messages.say({ handle: 'dave', text: 'while a was dead' });
  await until(
    () => bob.client.messages.show({ id: held.id }),
    ({ state }) => state === 'held',
    PATIENCE_MS,
  );

  // And a machine of NATS dies, while the first tracker comes back.
  await nats.kill(1);
  await tracker('a', a.text('port'));
  dave = await up('dave', inviteTo(atA));
  await eventOf(dave.client, 'message.received', ({ text }) => text === 'while a was dead');
  await alice.client.rooms.invite({ room: 'team', handle: 'dave' });
  await eventOf(dave.client, 'room.invited', () => true);
  await dave.client.rooms.join({ room: 'team' });
  await alice.client.messages.say({ handle: '#team', text: 'all here' });
  for (const node of [bob, carol, dave])
    await eventOf(node.client, 'message.received', ({ text }) => text === 'all here');
});

test('what an admin does at one tracker program holds at the other, after kills too [K-11] [K-12] [K-14]', {
  timeout: PATIENCE_MS,
}, async () => {
  const root = await loadOrCreateKey(homePaths(join(folder, 'root')).accountKey);
  const admins = ['--admin', root.id];
  let a = await tracker('a', '0', admins);
  await copyKey(join(folder, 'a', 'tracker'), join(folder, 'b', 'tracker'));
  const b = await tracker('b', '0', admins);
  const { peer, zone } = parseInvite(a.text('invite'));
  const at = (program: Running): string => formatInvite({ peer, zone, addresses: [program.text('address')] });
  const admin = await up('root', at(a));
  expect(await admin.client.zones.policy({ zone, policy: 'invite' })).toMatchObject({ policy: 'invite' });
  const { invite } = await admin.client.zones.invite({ zone, uses: 2, ttl: '1h' });
  const { token } = parseInvite(invite);
  // Four come to the other tracker and to this one at once: two get in.
  const names = ['p0', 'p1', 'p2', 'p3'];
  const came = await Promise.all(
    names.map(async (name, n) => {
      const addresses = [(n % 2 ? a : b).text('address')];
      const join = formatInvite({ peer, zone, addresses, token });
      return await up(name, join).catch(() => undefined);
    }),
  );
  const inside = came.filter((node) => node !== undefined);
  expect(inside).toHaveLength(2);
  const listed = await admin.client.handles.list({ zone });
  expect(listed).toHaveLength(3);
  const [victim] = inside;
  const handle = `${names[came.indexOf(victim)] ?? ''}@${zone}`;
  await admin.client.handles.revoke({ handle });
  await admin.client.zones.delegate({
    zone: `below.${zone}`,
    to: formatInvite({ peer: 'a'.repeat(52), zone: `below.${zone}`, addresses: ['127.0.0.1:9'] }),
  });
  // The tracker that took it dies without a word; it and the other one know.
  await a.kill();
  await admin.stop();
  const there = await up('root', at(b));
  const known = await there.client.handles.list({ zone });
  expect(known.find((row) => row.handle === handle)).toMatchObject({ state: 'revoked' });
  expect((await there.client.zones.list()).map((each) => each.zone)).toContain(`below.${zone}`);
  expect(await there.client.zones.policy({ zone })).toMatchObject({ policy: 'invite' });
  a = await tracker('a', a.text('port'), admins);
  await there.stop();
  const again = await up('root', at(a));
  expect(await again.client.handles.list({ zone })).toMatchObject(
    known.map(({ handle, state }) => ({ handle, state })),
  );
  await victim?.stop();
  // Come back at the tracker that was dead, it is not let onto the list.
  const back = await up(handle.split('@')[0] ?? '', at(a));
  await until(
    () => back.client.status.show(),
    (status) => JSON.stringify(status).includes('revoked'),
  );
});

test('the flag, the variable and the file say the same, secrets are shown to nobody, and what cannot be is refused', async () => {
  const home = join(folder, 'solo');
  const text = 'nats://tracker:s3cret@127.0.0.1:1,127.0.0.1:2';
  const shown = await run(['config', 'show', '--home', home, '--json'], { env: { NETAPP_ENGINE: text } });
  expect(shown.stdout).toContain('"engine"');
  expect(shown.stdout).toContain('nats://…@127.0.0.1:1,127.0.0.1:2');
  expect(shown.stdout).not.toContain('s3cret');
  const bad = await run(['tracker', '--home', home, '--engine', 'redis://s3cret@x', '--port', '0']);
  expect(bad.code).toBe(2);
  expect(bad.stderr).toContain('nats://HOST');
  expect(bad.stderr).not.toContain('s3cret');
  // A home whose key is its own is not let into the cluster of another one.
  await tracker('a');
  const stranger = await run(['tracker', '--home', home, '--engine', nats.url, '--port', '0']);
  expect(stranger.code).toBe(32);
  expect(stranger.stderr).toContain('copy tracker.key');
});
