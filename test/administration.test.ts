/** Whom a zone takes in, and whose names are whose: as its admin, newcomers and those concerned see it, with real programs. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadOrCreateKey } from '../src/link/identity.ts';
import { homePaths } from '../src/node/home.ts';
import { type Ran, type Running, run, start } from './program.ts';
import { eventOf, until } from './testnet.ts';

let folder: string;
let undo: AsyncDisposableStack;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'netapp-administration-'));
  undo = new AsyncDisposableStack();
});
afterEach(async () => {
  await undo.disposeAsync();
  rmSync(folder, { recursive: true, force: true });
});

const home = (name: string): string => join(folder, name);

async function up(name: string, args: readonly string[]): Promise<Running> {
  return undo.use(await start(home(name), ['up', '--name', name, '--port', '0', ...args]));
}

const netapp = (who: string, ...args: string[]): Promise<Ran> => run([...args, '--home', home(who)]);

async function json(who: string, ...args: string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await netapp(who, ...args, '--json');
  expect([code, stderr]).toEqual([0, '']);
  return JSON.parse(stdout);
}

/** A zone with its tracker inside of root's node, who administers it by that. */
async function lab(): Promise<{ root: Running; invite: string }> {
  const root = await up('root', ['--tracker-port', '0']);
  return { root, invite: root.text('invite') };
}

const joining = (name: string, invite: string): Promise<Ran> =>
  run(['up', '--name', name, '--port', '0', '--host', '127.0.0.1', '--join', invite, '--home', home(name)]);

test('whoever runs the tracker inside administers it; a zone by invite lets in so many, and says why not others', async () => {
  const { invite } = await lab();
  expect(await json('root', 'zones', 'policy', 'lab')).toEqual({ zone: 'lab', policy: 'open' });
  await up('alice', ['--join', invite]);
  const refused = await netapp('alice', 'zones', 'policy', 'lab', 'closed');
  expect([refused.code, refused.stderr]).toEqual([31, expect.stringContaining('--admin ACCOUNT')]);
  expect((await netapp('root', 'zones', 'policy', 'lab', 'invite')).stdout).toMatch(/^policy +invite$/m);

  const uninvited = await joining('bob', invite);
  expect([uninvited.code, uninvited.stderr]).toEqual([38, expect.stringContaining('netapp zones invite')]);
  const { invite: personal, uses } = await json('root', 'zones', 'invite', '--ttl', '1h');
  expect(uses).toBe(1);
  const bob = await up('bob', ['--join', String(personal)]);
  const carol = await joining('carol', String(personal));
  expect([carol.code, carol.stderr]).toEqual([38, expect.stringContaining('as often as it may be')]);

  const { invite: lost } = await json('root', 'zones', 'invite', '--uses', '9');
  expect(await json('root', 'zones', 'uninvite', String(lost))).toMatchObject({ zone: 'lab' });
  const thief = await joining('thief', String(lost));
  expect([thief.code, thief.stderr]).toEqual([38, expect.stringContaining('was taken back')]);
  const [plain] = String(lost).split('&token=');
  expect((await netapp('root', 'zones', 'uninvite', String(plain))).code).toBe(2);

  // What let bob in is his: the invite that he gives to others has none.
  expect((await json('bob', 'invite')).invite).not.toContain('token');
  expect(await bob.stop()).toBe(0);
  await up('bob', []); // he has his name: nothing is asked of him

  await json('root', 'zones', 'policy', 'lab', 'closed');
  const fresh = await json('root', 'zones', 'invite');
  const dave = await joining('dave', String(fresh.invite));
  expect([dave.code, dave.stderr]).toEqual([38, expect.stringContaining('closed')]);
});

test('an admin is an account that the operator names; the use of an invite outlives a kill', async () => {
  const account = await loadOrCreateKey(homePaths(home('root')).accountKey);
  const args = ['tracker', '--port', '0', '--admin', account.id, '--policy', 'invite'];
  const first = undo.use(await start(home('tracker'), args));
  const again = ['tracker', '--port', String(first.says.port), '--admin', account.id, '--policy', 'invite'];
  const root = await up('root', ['--join', first.text('invite')]); // an admin needs no invite
  const settled = await netapp('root', 'zones', 'policy', 'lab', 'open');
  expect([settled.code, settled.stderr]).toEqual([22, expect.stringContaining('operator')]);
  const { invite } = await json('root', 'zones', 'invite', '--uses', '2', '--ttl', '7d');
  await up('alice', ['--join', String(invite)]);
  await first.kill();
  const second = undo.use(await start(home('tracker'), again));
  expect(second.text('peer')).toBe(first.text('peer'));
  await until(
    () => root.client.status.show(),
    ({ trackers }) => trackers[0]?.state === 'up',
  );
  await up('bob', ['--join', String(invite)]);
  await second.kill();
  undo.use(await start(home('tracker'), again));
  const carol = await joining('carol', String(invite));
  expect([carol.code, carol.stderr]).toEqual([38, expect.stringContaining('as often as it may be')]);
});

test('a revoked person is told so and keeps what was said; the name is nobody’s until it is freed', async () => {
  const { root, invite } = await lab();
  const mallory = await up('mallory', ['--join', invite]);
  await root.client.messages.say({ handle: 'mallory', text: 'last words' });
  await eventOf(mallory.client, 'message.received', () => true);
  const revoked = await netapp('root', 'handles', 'revoke', 'mallory');
  expect([revoked.code, revoked.stderr, revoked.stdout]).toEqual([0, '', expect.stringContaining('revoked')]);
  const { trackers } = await until(
    () => mallory.client.status.show(),
    (status) => status.trackers[0]?.code === 'revoked',
  );
  expect(trackers).toMatchObject([{ state: 'up', error: expect.stringContaining('has revoked this name') }]);
  await eventOf(mallory.client, 'tracker.changed', ({ error }) => String(error).includes('has revoked this name'));
  await eventOf(root.client, 'person.offline', ({ handle }) => handle === 'mallory@lab');

  expect(await mallory.stop()).toBe(0);
  const back = await up('mallory', []);
  expect(back.said()).toContain('has revoked this name');
  expect(back.said()).not.toContain('goes on trying');
  expect(await back.client.messages.list({ handle: 'root' })).toMatchObject([{ text: 'last words' }]);

  const other = (): Promise<Ran> =>
    run(['up', '--name', 'mallory', '--port', '0', '--host', '127.0.0.1', '--join', invite, '--home', home('other')]);
  expect((await other()).code).toBe(20);
  expect((await netapp('root', 'handles', 'free', 'mallory')).code).toBe(0);
  undo.use(await start(home('other'), ['up', '--name', 'mallory', '--port', '0', '--join', invite]));
  const list = (await netapp('root', 'handles', 'list')).stdout;
  expect(list).toMatch(/^mallory@lab +bound +online/m);
});

test('a renamed person goes by the new name at once and after a restart, and is the same to everybody', async () => {
  const { root, invite } = await lab();
  const alice = await up('alice', ['--join', invite]);
  const bob = await up('bob', ['--join', invite]);
  await bob.client.messages.say({ handle: 'alice', text: 'before' });
  await eventOf(alice.client, 'message.received', () => true);
  const renamed = await netapp('root', 'handles', 'rename', 'alice', 'alicia');
  expect([renamed.code, renamed.stdout]).toEqual([0, expect.stringContaining('alicia@lab')]);
  await until(
    () => bob.client.people.list(),
    (people) => people.some(({ handle, status }) => handle === 'alicia@lab' && status === 'online'),
  );
  expect((await alice.client.status.show()).handle).toBe('alicia@lab');
  await alice.client.messages.say({ handle: 'bob', text: 'after' });
  await eventOf(bob.client, 'message.received', ({ from, text }) => from === 'alicia@lab' && text === 'after');
  await bob.client.messages.say({ handle: 'alicia', text: 'the same' });
  await eventOf(alice.client, 'message.received', ({ text }) => text === 'the same');
  expect((await bob.client.messages.list({ handle: 'alicia' })).map(({ text }) => text)).toEqual([
    'before',
    'after',
    'the same',
  ]);
  expect(await root.client.handles.list({})).toMatchObject([
    { handle: 'alice@lab', state: 'renamed', renamedTo: 'alicia@lab' },
    { handle: 'alicia@lab', state: 'bound', online: true },
    { handle: 'bob@lab' },
    { handle: 'root@lab' },
  ]);

  await alice.stop();
  const back = await up('alice', []);
  expect(back.text('handle')).toBe('alicia@lab');
  expect(JSON.parse(readFileSync(join(home('alice'), 'config.json'), 'utf8'))).toMatchObject({ name: 'alicia' });
});
