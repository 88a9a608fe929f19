/** The doctor on homes that are well, and on such as are not. */
import { chmod, mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FAULTS, type FaultCode } from '../src/base/fault.ts';
import { Store } from '../src/base/sqlite.ts';
import { readVersion } from '../src/bin/version.ts';
import { formatInvite, parseInvite } from '../src/directory/invite.ts';
import type { Finding } from '../src/doctor/check.ts';
import { createIdentity } from '../src/link/certificate.ts';
import { homePaths } from '../src/node/home.ts';
import { run, start } from './program.ts';
import { until } from './testnet.ts';

let folder: string;
let home: string;
const open_: AsyncDisposable[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'netapp-doctor-'));
  home = join(folder, 'home');
  await mkdir(home, { mode: 0o700 });
});
afterEach(async () => {
  for (const each of open_.splice(0)) await each[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

async function examined(...words: string[]): Promise<{ code: number; findings: Finding[]; bad: (FaultCode | null)[] }> {
  const { code, stdout } = await run(['doctor', ...words, '--json', '--home', home]);
  const findings: Finding[] = JSON.parse(stdout);
  return { code, findings, bad: findings.filter(({ level }) => level === 'bad').map(({ code }) => code) };
}

const about = (findings: Finding[], what: string): string[] =>
  findings.filter((finding) => finding.about === what).map(({ says }) => says);

async function up() {
  const tracker = await start(join(folder, 'tracker'), ['tracker', '--port', '0']);
  open_.push(tracker);
  const node = await start(home, ['up', '--name', 'alice', '--port', '0', '--join', tracker.text('invite')]);
  open_.push(node);
  return { tracker, node };
}

const settings = (config: unknown) => writeFile(join(home, 'config.json'), JSON.stringify(config), { mode: 0o600 });

test('where all is well, it says so, and the exit code is 0', async () => {
  const { tracker, node } = await up();
  const { code, findings, bad } = await examined();
  expect({ code, bad }).toEqual({ code: 0, bad: [] });
  expect(about(findings, 'versions')).toEqual([`NetApp ${await readVersion()} on Node.js ${process.versions.node}`]);
  expect(about(findings, 'agent')[0]).toContain('alice@lab is up');
  expect(about(findings, 'port')[0]).toContain(`127.0.0.1:${node.says.port}`);
  const { peer, addresses } = parseInvite(tracker.text('invite'));
  const [address = ''] = addresses;
  expect(about(findings, 'tracker')[0]).toMatch(
    new RegExp(`^lab at ${address} answers in [\\d.]+ ms .*key ${peer.slice(0, 8)}`),
  );
  expect(about(findings, 'clock')).toHaveLength(1);
  expect(about(findings, 'reached')).toEqual([
    `the tracker of lab sees this node at 127.0.0.1, and reaches it on this machine at 127.0.0.1:${node.says.port}`,
  ]);
  expect(about(findings, 'network')).toHaveLength(1);
  expect(about(findings, 'store')).toEqual(['netapp.db is whole']);
  const { stdout } = await run(['doctor', '--home', home]);
  expect(stdout.trimEnd().split('\n')).toHaveLength(findings.length);
});

test('somebody: whether they are there, each way to them, and what waits [N-91]', async () => {
  const { tracker, node } = await up();
  const bob = await start(join(folder, 'bob'), [
    'up',
    '--name',
    'bob',
    '--port',
    '0',
    '--join',
    tracker.text('invite'),
  ]);
  open_.push(bob);
  const there = await examined('bob');
  expect(there).toMatchObject({ code: 0, bad: [] });
  expect(about(there.findings, 'who')).toEqual(['bob@lab is online']);
  expect(about(there.findings, 'local')).toEqual([expect.stringMatching(/^127\.0\.0\.1:\d+ works, within [\d.]+ ms$/)]);
  expect(about(there.findings, 'waiting')).toEqual(['nothing waits for them']);

  // No goodbye: the tracker goes on to say that bob is there, for a while.
  bob.child.kill('SIGSTOP');
  const hangs = await examined('bob');
  expect(hangs).toMatchObject({ code: FAULTS.peer_unreachable.exit, bad: ['peer_unreachable'] });
  expect(about(hangs.findings, 'local')).toEqual([
    expect.stringMatching(/failed after \d+(\.\d)? ms: .*no answer within/),
  ]);
  expect(about(hangs.findings, 'reach')).toEqual(['bob@lab is there, and no way leads to them now']);
  bob.child.kill('SIGCONT');
  await bob.stop();
  await node.client.messages.say({ handle: 'bob', text: 'for later' });
  await until(
    () => examined('bob'),
    ({ findings }) => about(findings, 'waiting')[0] === '1 messages are held for them by a mailbox',
  );
  const gone = await examined('bob');
  expect(gone).toMatchObject({ code: 0, bad: [] }); // nobody has to act
  expect(about(gone.findings, 'who')[0]).toMatch(/^bob@lab is offline, seen /);

  expect(await examined('nobody')).toMatchObject({ code: FAULTS.unknown_handle.exit, bad: ['unknown_handle'] });
  await node.stop();
  expect(await examined('bob')).toMatchObject({ code: FAULTS.agent_down.exit, bad: ['agent_down'] });
});

test('a tracker that is away, and an agent that is away, are told with what to do', async () => {
  const { tracker, node } = await up();
  await tracker.stop();
  const without = await examined();
  expect(new Set(without.bad)).toEqual(new Set(['tracker_down']));
  expect(without.code).toBe(FAULTS.tracker_down.exit);
  await node.stop();
  const { code, findings, bad } = await examined();
  expect(bad).toEqual(['agent_down', 'tracker_down']);
  expect(code).toBe(FAULTS.agent_down.exit);
  expect(about(findings, 'lock')).toEqual(['no program holds the home']);
});

test('an agent that holds the home and answers nothing is told from one that does not run', async () => {
  const { node } = await up();
  await rm(join(home, 'agent.sock'));
  const { findings } = await examined();
  expect(about(findings, 'lock')[0]).toContain('no agent answers');
  expect(node.child.exitCode).toBeNull();
});

test('a home that others may read is told, file by file', async () => {
  await writeFile(join(home, 'account.key'), 'x', { mode: 0o600 });
  await chmod(join(home, 'account.key'), 0o644);
  await chmod(home, 0o755);
  const { code, findings } = await examined();
  expect(code).toBe(FAULTS.forbidden.exit);
  const todo = findings.filter(({ about }) => about === 'home').map(({ todo }) => todo);
  expect(todo).toEqual([`chmod 700 "${home}"`, `chmod 600 "${join(home, 'account.key')}"`]);
});

test('a damaged store, damaged settings and a taken port are told', async () => {
  const path = homePaths(home).store;
  const store = new Store(path);
  store.migrate('test', ['CREATE TABLE things (text TEXT)']);
  store.prepare('INSERT INTO things (text) VALUES (?)').run('x'.repeat(100_000));
  store[Symbol.dispose]();
  const file = await open(path, 'r+');
  await file.write(Buffer.alloc(8192, 0xff), 0, 8192, 4096);
  await file.close();
  await settings({ port: 'many' });
  const { code, bad } = await examined();
  expect(bad).toEqual(['corrupt', 'corrupt', 'agent_down']);
  expect(code).toBe(FAULTS.corrupt.exit);

  const tracker = await start(join(folder, 'tracker'), ['tracker', '--port', '0']);
  open_.push(tracker);
  const [address = ''] = parseInvite(tracker.text('invite')).addresses;
  await settings({ port: Number(address.split(':').at(-1)) });
  expect((await examined()).bad).toContain('port_taken');
});

test('a tracker with another key, one with another clock, and one of two addresses', async () => {
  const [identity, other] = [await createIdentity(), await createIdentity()];
  const server = createServer({ key: identity.key.pem, cert: identity.cert, minVersion: 'TLSv1.3' }, (_, response) => {
    response.writeHead(200, { date: new Date(Date.now() + 3_600_000).toUTCString() }).end('{}');
  }).listen(0, '127.0.0.1');
  await new Promise((done) => server.once('listening', done));
  const bound = server.address();
  const address = `127.0.0.1:${typeof bound === 'object' ? bound?.port : 0}`;
  try {
    await settings({ trackers: [formatInvite({ peer: other.id, addresses: [address], zone: 'lab' })] });
    expect((await examined()).bad).toEqual(['agent_down', 'wrong_key']);
    await settings({
      trackers: [formatInvite({ peer: identity.id, addresses: ['127.0.0.1:1', address], zone: 'lab' })],
    });
    const { findings, bad } = await examined();
    expect(bad).toEqual(['agent_down', 'clock_ahead']);
    expect(findings.filter(({ level }) => level === 'note').map(({ says }) => says)).toContain(
      'dialling "127.0.0.1:1": nobody answers',
    );
    expect(about(findings, 'clock')[0]).toMatch(/differ by 3(599|600|601) s/);
  } finally {
    server.close();
  }
});
