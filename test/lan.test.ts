/** Nodes and trackers that find each other on a network of the test's own, as programs on machines of their own. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { MAIN, type Running, run, start } from './program.ts';
import { runIn, Switch, within } from './switch.ts';
import { has, Terminal } from './terminal.ts';
import { eventOf, until } from './testnet.ts';

const lan = Switch.create('lan');
const ON = { NETAPP_LAN: 'on' };
let folder: string;
const opened: AsyncDisposable[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'netapp-lan-'));
});

// Each test has the network for itself.
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each[Symbol.asyncDispose]();
});

afterAll(async () => {
  lan?.[Symbol.dispose]();
  await rm(folder, { recursive: true, force: true });
});

const impossible = 'no network can be made here: "ip netns add" failed';

async function up(
  space: string,
  name: string,
  args: string[] = [],
  env: Record<string, string> = ON,
): Promise<Running> {
  const program = await start(
    join(folder, name),
    ['up', '--name', name, '--port', '0', '--tracker-port', '0', ...args],
    {
      host: null,
      within: within(space),
      env,
    },
  );
  opened.push(program);
  return program;
}

const heard = (who: Running, fits: (each: { handle: string | null; zone: string | null }) => boolean) =>
  until(
    () => who.client.network.lan(),
    (list) => list.some(fits),
  ).then((list) => list.find(fits) ?? expect.fail());

test('two nodes that share no tracker hear of each other, and talk [N-50] [N-57]', async ({ skip }) => {
  if (!lan) return skip(impossible);
  const alice = await up(lan.machine('alice', '10.214.0.2/24'), 'alice');
  const bob = await up(lan.machine('bob', '10.214.0.3/24'), 'bob');
  const account = bob.text('id');
  const found = await heard(alice, ({ handle }) => handle?.startsWith('bob@') === true);
  expect(found).toMatchObject({
    role: 'node',
    handle: `bob@${account.slice(0, 16)}.local`,
    account,
    id: bob.text('node'),
    known: false,
    addresses: expect.arrayContaining([`10.214.0.3:${bob.says.port}`]),
    networks: ['eth0'],
    invite: null,
  });
  expect((await alice.client.people.list()).map(({ handle }) => handle)).toEqual(['alice@lab']);

  const { id, to } = await alice.client.messages.say({ handle: 'bob@local', text: 'found you' });
  expect(to).toBe(found.handle);
  const { data } = await eventOf(bob.client, 'message.received', (message) => message.id === id);
  expect(data).toMatchObject({ text: 'found you', from: `alice@${alice.text('id').slice(0, 16)}.local` });
  await eventOf(alice.client, 'message.delivered', (message) => message.id === id);
  await bob.client.messages.reply({ id, text: 'and I you' });
  await eventOf(alice.client, 'message.received', ({ text, from }) => text === 'and I you' && from === found.handle);
  expect(await alice.client.people.list()).toMatchObject([
    { handle: 'alice@lab' },
    { handle: found.handle, id: account, status: 'online' },
  ]);
  expect(await heard(alice, ({ handle }) => handle === found.handle)).toMatchObject({ known: true });

  // Elsewhere, with another address: it is found there by itself, and what waited arrives.
  const at = bob.home;
  await bob.stop();
  await until(
    () => alice.client.network.lan(),
    (list) => list.every(({ account: each }) => each !== account),
  );
  const waiting = await alice.client.messages.say({ handle: found.handle ?? '', text: 'where are you?' });
  const again = await start(at, ['up', '--name', 'bob', '--port', '0', '--tracker-port', '0'], {
    host: null,
    within: within(lan.machine('elsewhere', '10.214.0.77/24')),
    env: ON,
  });
  opened.push(again);
  await eventOf(again.client, 'message.received', (message) => message.id === waiting.id);
});

test('over IPv6 alone, and with link-local addresses alone', async ({ skip }) => {
  if (!lan) return skip(impossible);
  const carol = await up(lan.machine('carol', 'fd42::c/64'), 'carol', ['--zone', 'six']);
  const dave = await up(lan.machine('dave'), 'dave', ['--zone', 'six']);
  const found = await heard(dave, ({ handle }) => handle?.startsWith('carol@') === true);
  expect(found.addresses.join()).toMatch(/^\[f/);
  const { id } = await dave.client.messages.say({ handle: 'carol@local', text: 'by cable' });
  await eventOf(carol.client, 'message.received', (message) => message.id === id);
});

test('a tracker is told of and joined by what was heard; its name on the network ends with it', async ({ skip }) => {
  if (!lan) return skip(impossible);
  const tracker = await start(join(folder, 'tracker'), ['tracker', '--zone', 'office', '--port', '0'], {
    host: null,
    within: within(lan.machine('tracker', '10.214.0.10/24')),
    env: ON,
  });
  opened.push(tracker);
  const erin = await up(lan.machine('erin', '10.214.0.11/24'), 'erin');
  const found = await heard(erin, ({ zone }) => zone === 'office');
  expect(found).toMatchObject({ role: 'tracker', id: tracker.text('peer'), known: false });
  expect(found.invite).not.toContain('token');
  await until(
    () => erin.said(),
    (said) => said.includes(`netapp trackers join '${found.invite}' --instead`),
  );
  const status = await erin.client.trackers.join({ invite: found.invite ?? '', instead: true });
  expect(status.handle).toBe('erin@office');
  expect(await heard(erin, ({ zone }) => zone === 'office')).toMatchObject({ known: true });
  const { stdout } = await run(['lan', '--home', erin.home]);
  expect(stdout).toMatch(/office +tracker +yes/);

  if (has('tmux')) {
    const at = within(lan.machine('frank', '10.214.0.12/24')).join(' ');
    const home = join(folder, 'frank');
    using terminal = new Terminal(
      `${at} ${process.execPath} ${MAIN} up --name frank --port 0 --no-open --home ${home}; sh`,
      { columns: 200, env: { ...ON, NETAPP_PORT_MAPPING: 'off' } },
    );
    const key = tracker.text('peer').slice(0, 16).replaceAll(/(.{4})(?=.)/g, '$1 ');
    await terminal.shows(`The tracker of "office" is on this network, at 10.214.0.10:${tracker.says.port}, with the key ${key}. Join it? [y/N]`);
    terminal.type('y');
    terminal.press('Enter');
    await terminal.shows('frank@office is up');
    terminal.press('C-c');
    await terminal.shows('$ ');
  }
  await tracker.stop();
  await until(
    () => erin.client.network.lan(),
    (list) => list.every(({ zone }) => zone !== 'office'),
  );
});

test('with --lan off nothing is said and nothing is heard [N-58]', async ({ skip }) => {
  if (!lan) return skip(impossible);
  const space = lan.machine('quiet', '10.214.0.20/24');
  const loud = await up(lan.machine('loud', '10.214.0.21/24'), 'loud');
  const quiet = await up(space, 'quiet', ['--lan', 'off']);
  const shy = await up(lan.machine('shy', '10.214.0.22/24'), 'shy', ['--presence', 'contacts']);
  await heard(shy, ({ handle }) => handle?.startsWith('loud@') === true);
  await expect(quiet.client.network.lan()).rejects.toMatchObject({ code: 'wrong_state' });
  // Whoever is heard of last comes after what the others would have said at their start.
  const last = await up(lan.machine('last', '10.214.0.23/24'), 'last');
  await heard(loud, ({ handle }) => handle?.startsWith('last@') === true);
  await heard(last, ({ handle }) => handle?.startsWith('loud@') === true);
  for (const each of [loud, last]) {
    const names = (await each.client.network.lan()).map(({ handle }) => handle?.split('@')[0]);
    expect(names).not.toContain('quiet');
    expect(names).not.toContain('shy');
  }
  expect(runIn(space, 'cat', '/proc/net/udp', '/proc/net/udp6')).not.toMatch(/:14E9 /);
});

test('an interface that comes later is used, and one that goes takes what was heard along [N-52]', async ({ skip }) => {
  if (!lan) return skip(impossible);
  const space = lan.machine('late');
  runIn(space, 'ip', 'link', 'set', 'eth0', 'down');
  const late = await up(space, 'late');
  expect(await late.client.network.lan()).toEqual([]);
  const host = await up(lan.machine('early', '10.214.0.31/24'), 'early');
  runIn(space, 'ip', 'link', 'set', 'eth0', 'up');
  runIn(space, 'ip', 'address', 'add', '10.214.0.30/24', 'dev', 'eth0');
  await heard(late, ({ handle }) => handle?.startsWith('early@') === true);
  await heard(host, ({ handle }) => handle?.startsWith('late@') === true);
  runIn(space, 'ip', 'link', 'set', 'eth0', 'down');
  await until(
    () => late.client.network.lan(),
    (list) => list.length === 0,
  );
});
