/** Backup and restore of a home, with real programs: it is taken while they run, and what came after it heals. */
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pack } from 'tar-stream';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FAULTS, type FaultCode } from '../src/base/fault.ts';
import { type Running, run, start } from './program.ts';
import { eventOf, until } from './testnet.ts';

let folder: string;
let running: Running[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'netapp-backup-'));
  running = [];
});

afterEach(async () => {
  await Promise.all(running.map((program) => program[Symbol.asyncDispose]()));
  await rm(folder, { recursive: true, force: true });
});

const at = (name: string): string => join(folder, name);
const exit = (code: FaultCode): number => FAULTS[code].exit;

async function begin(name: string, args: string[]): Promise<Running> {
  const program = await start(at(name), args);
  running.push(program);
  return program;
}

const tracker = (): Promise<Running> => begin('tracker', ['tracker', '--port', '0']);
const up = (name: string, invite: string, home = name): Promise<Running> =>
  begin(home, ['up', '--name', name, '--port', '0', '--join', invite]);

const texts = async ({ client }: Running, handle: string): Promise<string[]> =>
  (await client.messages.list({ handle, limit: 1000 })).map(({ text }) => text);

test('after a restore from an old backup everything that was lost comes back, and talk goes on [H-14]', async () => {
  const invite = (await tracker()).text('invite');
  const [alice, bob] = [await up('alice', invite), await up('bob', invite)];
  await alice.client.messages.say({ handle: 'bob', text: 'in the backup' });
  await eventOf(alice.client, 'message.delivered', () => true);
  const made = await run(['backup', at('a.backup'), '--home', alice.home]);
  expect(made).toMatchObject({ code: 0, stderr: '' });
  expect((await stat(at('a.backup'))).mode & 0o777).toBe(0o600);
  const { id } = await alice.client.messages.say({ handle: 'bob', text: 'after it' });
  await alice.client.messages.edit({ id, text: 'after it, edited' });
  await bob.client.messages.say({ handle: 'alice', text: 'after it, of bob' });
  await eventOf(alice.client, 'message.received', () => true);
  await eventOf(bob.client, 'message.edited', () => true);
  await until(
    () => alice.client.status.show(),
    ({ queue }) => queue.messages === 0,
  );
  const before = await texts(alice, 'bob');
  await alice.kill();
  await mkdir(join(alice.home, '.backup-killed')); // as a kill in the middle of a backup leaves it
  await begin('alice', ['up', '--port', '0']).then((tidied) => tidied.kill());
  expect((await readdir(alice.home)).filter((name) => name.startsWith('.'))).toEqual([]);

  expect(await run(['restore', at('a.backup'), '--home', at('again')])).toMatchObject({ code: 0 });
  const again = await begin('again', ['up', '--port', '0']); // its name and its tracker are in the backup
  expect(again.says).toMatchObject({ handle: 'alice@lab', id: alice.says.id });
  expect(
    await until(
      () => texts(again, 'bob'),
      (now) => now.length >= before.length,
    ),
  ).toEqual(before);
  expect(before).toContain('after it, edited');
  await again.client.messages.say({ handle: 'bob', text: 'and on' });
  await eventOf(bob.client, 'message.received', ({ text }) => text === 'and on');
  const search = await again.client.messages.search({ query: 'edited' });
  expect(search.map((message) => message.id)).toEqual([id]);
  await until(
    () => again.client.messages.list({ handle: 'bob' }),
    (list) => list.every(({ state }) => state === 'delivered' || state === 'received'),
  );
});

test('a backup with a tracker inside, under a passphrase, is a whole home again; without the passphrase it is nothing [H-12]', async () => {
  const alice = await begin('alice', ['up', '--name', 'alice', '--port', '0', '--tracker-port', '0']);
  await writeFile(at('words'), 'correct horse\n');
  const plain = await run(['backup', at('plain'), '--home', alice.home]);
  const sealed = await run(['backup', at('sealed'), '--passphrase-file', at('words'), '--home', alice.home]);
  expect([plain.code, sealed.code]).toEqual([0, 0]);
  expect((await readFile(at('plain'))).includes('PRIVATE KEY')).toBe(true);
  expect((await readFile(at('sealed'))).includes('PRIVATE KEY')).toBe(false);
  expect((await run(['backup', at('plain'), '--home', alice.home])).code).toBe(exit('exists'));
  expect((await run(['backup', at('no/such/folder/x'), '--home', alice.home])).code).not.toBe(0);
  const short = { NETAPP_PASSPHRASE: 'short' };
  expect((await run(['backup', at('short'), '--home', alice.home], { env: short })).code).toBe(
    exit('invalid_argument'),
  );
  expect((await readdir(alice.home)).filter((name) => name.startsWith('.'))).toEqual([]);
  await alice.stop();

  const home = ['--home', at('again')];
  expect((await run(['restore', at('sealed'), ...home])).code).toBe(exit('unauthenticated'));
  const wrong = { NETAPP_PASSPHRASE: 'correct house' };
  expect((await run(['restore', at('sealed'), ...home], { env: wrong })).code).toBe(exit('unauthenticated'));
  const right = { NETAPP_PASSPHRASE: 'correct horse' };
  const done = await run(['restore', at('sealed'), ...home, '--json'], { env: right });
  expect(JSON.parse(done.stdout)).toMatchObject({ handle: 'alice@lab', account: alice.says.id });
  const again = await begin('again', ['up', '--port', '0', '--tracker-port', '0']);
  const peer = (invite: string): string => new URL(invite).username;
  expect(peer(again.text('invite'))).toBe(peer(alice.text('invite')));
});

test('a restore replaces nothing, and leaves nothing of what it does not trust [H-14]', async () => {
  const alice = await begin('alice', ['up', '--name', 'alice', '--port', '0', '--tracker-port', '0']);
  expect((await run(['backup', at('good'), '--home', alice.home])).code).toBe(0);
  expect((await run(['restore', at('good'), '--home', alice.home])).code).toBe(exit('agent_running'));
  await alice.stop();
  expect((await run(['restore', at('good'), '--home', alice.home])).code).toBe(exit('exists'));

  const good = await readFile(at('good'));
  const flipped = Buffer.from(good);
  const inStore = good.indexOf('SQLite format 3') + 5000;
  flipped[inStore] = (flipped[inStore] ?? 0) ^ 1;
  const escaping = pack();
  const about = { backup: 1, account: 'x', handle: 'x', at: new Date().toISOString(), files: [] };
  escaping.entry({ name: 'netapp-backup.json' }, JSON.stringify(about));
  escaping.entry({ name: '../outside' }, 'x');
  escaping.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of escaping) if (chunk instanceof Uint8Array) chunks.push(chunk);
  const bad: Record<string, Buffer> = {
    flipped,
    short: good.subarray(0, good.length / 2),
    empty: Buffer.alloc(0),
    garbage: Buffer.from('no backup at all'.repeat(1000)),
    escaping: Buffer.concat(chunks),
  };
  await mkdir(at('place'));
  for (const [name, bytes] of Object.entries(bad)) {
    await writeFile(at(name), bytes);
    const { code, stderr } = await run(['restore', at(name), '--home', at('place/home')]);
    expect([name, code], stderr).toEqual([name, exit('corrupt')]);
    expect(await readdir(at('place'))).toEqual([]);
  }
  expect((await run(['restore', at('absent'), '--home', at('place/home')])).code).toBe(exit('unreadable'));
});
