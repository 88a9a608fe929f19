/** Nodes and trackers that find each other on a network of the test's own, as programs on machines of their own. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
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

  // Nobody vouches for the name: who is meant is said whole, or by the network's own word.
  await expect(alice.client.messages.say({ handle: 'bob', text: 'who?' })).rejects.toMatchObject({
    code: 'unknown_handle',
    message: expect.stringContaining(`"${found.handle}"`),
  });
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
  // His machine has just come: it may not dial from its address until nobody else has turned out to have it.
  const fresh = lan.machine('dave');
  runIn(fresh, 'ip', 'link', 'set', 'eth0', 'down');
  runIn(fresh, 'sysctl', '-w', 'net.ipv6.conf.eth0.dad_transmits=2');
  runIn(fresh, 'ip', 'link', 'set', 'eth0', 'up');
  const dave = await up(fresh, 'dave', ['--zone', 'six']);
  const found = await heard(dave, ({ handle }) => handle?.startsWith('carol@') === true);
  expect(found.addresses.join()).toMatch(/^\[f/);
  const { id } = await dave.client.messages.say({ handle: 'carol@local', text: 'by cable' });
  await eventOf(carol.client, 'message.received', (message) => message.id === id);
});

test('a tracker is told of and joined by what was heard; its name on the network ends with it', async ({ skip }) => {
  if (!lan) return skip(impossible);
  const tracker = await start(
    join(folder, 'tracker'),
    ['tracker', '--zone', 'office', '--port', '0', '--drain', 'off'],
    {
      host: null,
      within: within(lan.machine('tracker', '10.214.0.10/24')),
      env: ON,
    },
  );
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
      `${at} ${process.execPath} ${MAIN} up --name frank --port 0 --no-open --home ${home}; echo it has ended; sleep 60`,
      { columns: 200, env: { ...ON, NETAPP_PORT_MAPPING: 'off' } },
    );
    const key = tracker
      .text('peer')
      .slice(0, 16)
      .replaceAll(/(.{4})(?=.)/g, '$1 ');
    await terminal.shows(
      `The tracker of "office" is on this network, at 10.214.0.10:${tracker.says.port}, with the key ${key}. Join it? [y/N]`,
    );
    terminal.type('y');
    terminal.press('Enter');
    await terminal.shows('frank@office is up');
    terminal.press('C-c');
    await terminal.shows('it has ended');
  }
  await tracker.stop();
  await until(
    () => erin.client.network.lan(),
    (list) => list.every(({ zone }) => zone !== 'office'),
  );
});

test('a fake that claims somebody’s account is found out by the handshake, and gets nothing [N-54] [N-55]', async ({
  skip,
}) => {
  if (!lan) return skip(impossible);
  const space = lan.machine('mallory', '10.214.0.40/24');
  const mallory = await up(space, 'mallory', ['--lan', 'off']);
  const [at, bobs] = [lan.machine('victim', '10.214.0.41/24'), 'grace'];
  // Her keys, before anybody hears of them.
  const made = await up(at, bobs, ['--lan', 'off']);
  const account = made.text('id');
  const { home } = made;
  await made.stop();
  const advert = {
    id: mallory.text('node'),
    role: 'node',
    port: mallory.says.port,
    account,
    handle: `${bobs}@lab`,
    software: 'x',
  };
  const script = `import('${resolve(import.meta.dirname, '../src/reach/advert.ts')}').then(({ encodeAdverts }) => {
    const socket = require('node:dgram').createSocket({ type: 'udp4', reuseAddr: true });
    socket.bind(5353, '10.214.0.40', () => {
      setInterval(() => socket.send(encodeAdverts([${JSON.stringify(advert)}], []), 5353, '224.0.0.251'), 300);
    });
  })`;
  const [command = '', ...words] = within(space);
  const fake = spawn(command, [...words, process.execPath, '--eval', script], { stdio: 'ignore' });
  opened.push({ [Symbol.asyncDispose]: async () => void fake.kill() });

  const alice = await up(lan.machine('asker', '10.214.0.42/24'), 'asker');
  await heard(alice, ({ handle }) => handle?.startsWith(`${bobs}@`) === true);
  const handle = `${bobs}@${account.slice(0, 16)}.local`;
  await expect(alice.client.messages.say({ handle, text: 'alone with the fake' })).rejects.toMatchObject({
    code: 'wrong_key',
  });
  const grace = await start(home, ['up', '--name', bobs, '--port', '0', '--tracker-port', '0', '--lan', 'on'], {
    host: null,
    within: within(at),
  });
  opened.push(grace);
  await until(
    () => alice.client.network.lan(),
    (list) => list.filter((each) => each.account === account).length === 2,
  );
  const first = await alice.client.messages.say({ handle: `${bobs}@local`, text: 'for her alone' });
  await eventOf(grace.client, 'message.received', ({ id }) => id === first.id);
  await grace.stop();
  const second = await alice.client.messages.say({ handle, text: 'while she is away' });
  await eventOf(alice.client, 'message.sent', ({ id }) => id === second.id);
  await until(
    () => alice.client.network.lan(),
    (list) => list.filter((each) => each.account === account).length === 1,
  );
  const again = await start(home, ['up', '--name', bobs, '--port', '0', '--tracker-port', '0'], {
    host: null,
    within: within(at),
    env: ON,
  });
  opened.push(again);
  await eventOf(again.client, 'message.received', ({ id }) => id === second.id);
  expect(await mallory.client.messages.list({})).toEqual([]);
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

test('whoever stands in two networks is found in each at the right address, and passes nothing on [N-52] [N-53]', async ({
  skip,
}) => {
  if (!lan) return skip(impossible);
  using second = Switch.create('lan2') ?? expect.fail(impossible);
  const both = lan.machine('both', '10.214.0.50/24');
  second.plug(both, 'eth1', '10.216.0.50/24');
  const middle = await up(both, 'middle');
  const one = await up(lan.machine('one', '10.214.0.51/24'), 'one');
  const two = await up(second.machine('two', '10.216.0.51/24'), 'two');
  const named = (name: string) => (each: { handle: string | null }) => each.handle?.startsWith(`${name}@`) === true;
  const ipv4 = ({ addresses }: { addresses: string[] }) => addresses.filter((address) => !address.startsWith('['));
  const { port } = middle.says;
  expect(ipv4(await heard(one, named('middle')))).toEqual([`10.214.0.50:${port}`]);
  expect(ipv4(await heard(two, named('middle')))).toEqual([`10.216.0.50:${port}`]);
  expect(await heard(middle, named('one'))).toMatchObject({ networks: ['eth0'] });
  expect(await heard(middle, named('two'))).toMatchObject({ networks: ['eth1'] });
  for (const [who, other] of [
    [one, 'two'],
    [two, 'one'],
  ] as const) {
    expect((await who.client.network.lan()).filter(named(other))).toEqual([]);
  }
  for (const who of [one, two]) await who.stop();
});

test('an interface that comes later is used, and one that goes takes what was heard along [N-52]', async ({ skip }) => {
  if (!lan) return skip(impossible);
  const space = lan.machine('late');
  runIn(space, 'ip', 'link', 'set', 'eth0', 'down');
  const late = await up(space, 'late');
  expect(await late.client.network.lan()).toEqual([]);
  const two = lan.machine('early', '10.214.0.31/24');
  lan.plug(two, 'eth1', '10.214.0.32/24'); // by cable and by radio, as it were
  const host = await up(two, 'early');
  runIn(space, 'ip', 'link', 'set', 'eth0', 'up');
  runIn(space, 'ip', 'address', 'add', '10.214.0.30/24', 'dev', 'eth0');
  await heard(late, ({ handle }) => handle?.startsWith('early@') === true);
  await heard(host, ({ handle }) => handle?.startsWith('late@') === true);
  // What a machine says on one interface and hears on another is nobody else's word.
  const { networks, refused } = (await host.client.status.show()).reach.lan;
  expect([networks, refused]).toEqual([['eth0', 'eth1'], { too_many: 0, malformed: 0, queue_full: 0, forbidden: 0 }]);
  runIn(space, 'ip', 'link', 'set', 'eth0', 'down');
  await until(
    () => late.client.network.lan(),
    (list) => list.length === 0,
  );
});
