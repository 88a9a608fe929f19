/** Trackers that a running node joins and leaves, and what it knows of them when it starts again. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createClient } from '../src/api/client.ts';
import { parseInvite } from '../src/directory/invite.ts';
import { homePaths } from '../src/node/home.ts';
import type { Tracker } from '../src/tracker/tracker.ts';
import { run, start } from './program.ts';
import { type Member, TestNet, until } from './testnet.ts';

let net: TestNet;
let office: Tracker;
let bob: Member;

beforeAll(async () => {
  net = await TestNet.create();
  office = await net.tracker({ name: 'office', zone: 'office' });
  bob = await net.member('bob', office);
});
afterAll(() => net[Symbol.asyncDispose]());

const configOf = async (home: string): Promise<Record<string, unknown>> =>
  JSON.parse(await readFile(homePaths(home).config, 'utf8'));

test('somebody goes to another zone by another name, talks there, and starts there again', async () => {
  const lab = await net.tracker({ name: 'lab' });
  const dora = await net.member('dora', lab);
  const alice = await net.member('alice', lab);
  await expect(alice.client.trackers.join({ invite: office.invite })).rejects.toMatchObject({ code: 'wrong_state' });
  const status = await alice.client.trackers.join({ invite: office.invite, name: 'alicia', instead: true });
  expect(status.handle).toBe('alicia@office');
  await until(
    () => alice.client.status.show(),
    ({ trackers }) => trackers.length === 1 && trackers[0]?.state === 'up' && trackers[0].used,
  );
  await until(
    () => dora.client.people.find({ handle: 'alice' }),
    (person) => person.status === 'offline',
  );
  const { id } = await alice.client.messages.say({ handle: 'bob', text: 'here I am' });
  const heard = await bob.event('message.received', (data) => data.id === id);
  expect(heard.data).toMatchObject({ from: 'alicia@office', to: 'bob@office' });
  await bob.client.messages.say({ handle: 'alicia', text: 'welcome' });
  await alice.event('message.received', ({ text }) => text === 'welcome');
  const { name, trackers } = await configOf(alice.home);
  expect([name, trackers]).toEqual(['alicia', [office.invite]]);
});

test('where the tracker does not take the node, nothing changes', async () => {
  const lab = await net.tracker({ name: 'lab-2' });
  const carol = await net.member('carol', lab);
  const before = await carol.client.status.show();
  const join = (invite: string, name = 'carol') => carol.client.trackers.join({ invite, name, instead: true });
  await expect(join(office.invite, 'bob')).rejects.toMatchObject({ code: 'name_taken' });
  const nobody = office.invite.replace(`:${office.port}`, ':1');
  await expect(join(nobody)).rejects.toMatchObject({ code: 'tracker_down' });
  await expect(join(office.invite.replace('zone=office', 'zone=elsewhere'))).rejects.toMatchObject({
    code: 'unknown_zone',
  });
  const { peer } = parseInvite(lab.invite);
  await expect(carol.client.trackers.leave({ peer })).rejects.toMatchObject({ code: 'wrong_state' });
  const after = await carol.client.status.show();
  expect(after.handle).toBe('carol@lab');
  expect(after.trackers.map((tracker) => ({ ...tracker, rttMs: null }))).toEqual(
    before.trackers.map((tracker) => ({ ...tracker, rttMs: null })),
  );
  expect(await carol.client.people.announce()).toMatchObject({ handle: 'carol@lab' });
});

test('a second tracker of the zone is used beside the first, and takes over when that ends', async () => {
  const [one, two] = [await net.tracker({ name: 'one' }), await net.tracker({ name: 'two' })];
  const [erin, frank] = [await net.member('erin', one), await net.member('frank', two)];
  await erin.client.trackers.join({ invite: two.invite });
  const { peer } = one;
  await net.stop(one);
  const { id } = await erin.client.messages.say({ handle: 'frank', text: 'over there' });
  await frank.event('message.received', (data) => data.id === id);
  await erin.client.trackers.leave({ peer });
  expect((await configOf(erin.home)).trackers).toEqual([two.invite]);
});

test('netapp up leaves the tracker inside for another one, and starts there the next time', async () => {
  const home = join(net.folder, 'gina');
  const args = ['up', '--port', '0', '--host', '127.0.0.1', '--tracker-port', '0', '--name', 'gina'];
  const socketPath = homePaths(home).socket;
  let inside: string;
  {
    await using up = await start(home, args);
    inside = up.text('invite');
    const client = createClient({ socketPath });
    await expect(client.trackers.join({ invite: office.invite })).rejects.toMatchObject({ code: 'wrong_state' });
    const joined = await run(['trackers', 'join', office.invite, '--instead', '--home', home]);
    expect([joined.code, joined.stdout]).toEqual([0, expect.stringContaining('gina@office')]);
    expect((await client.status.invite()).invite).toBe(office.invite);
    const gone = await run(['trackers', 'join', inside, '--instead', '--home', home]);
    expect(gone.code).toBe(40); // it has ended;
    await client.messages.say({ handle: 'bob', text: 'from a new home' });
    await bob.event('message.received', ({ text }) => text === 'from a new home');
  }
  expect(await configOf(home)).toMatchObject({ name: 'gina', trackers: [office.invite] });
  await using again = await start(home, ['up', '--host', '127.0.0.1']);
  expect([again.text('handle'), again.text('invite')]).toEqual(['gina@office', office.invite]);
});
