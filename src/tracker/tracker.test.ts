import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { silentLog } from '../base/log.ts';
import { Store } from '../base/sqlite.ts';
import { DirectoryClient, type PeopleChange } from '../directory/client.ts';
import { parseInvite } from '../directory/invite.ts';
import * as messages from '../directory/messages.ts';
import { signRecord } from '../directory/record.ts';
import { bind } from '../link/binding.ts';
import { createIdentity } from '../link/certificate.ts';
import { dialLink } from '../link/dial.ts';
import type { HelloInfo } from '../link/hello.ts';
import { Key } from '../link/identity.ts';
import { Listener } from '../link/listen.ts';
import { Router } from '../link/router.ts';
import { runTracker } from './main.ts';
import { Tracker, type TrackerOptions } from './tracker.ts';

let home = '';
let undo = new AsyncDisposableStack();
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'netapp-tracker-'));
  undo = new AsyncDisposableStack();
});
afterEach(async () => {
  await undo.disposeAsync();
  rmSync(home, { recursive: true });
});

async function tracker(over: Partial<TrackerOptions> = {}): Promise<Tracker> {
  const made = new Tracker({ home, host: '127.0.0.1', port: 0, zone: 'lab', log: silentLog(), ...over });
  await made.start();
  undo.use(made);
  return made;
}

/** A node that listens, announces where, and keeps its account over `again`. */
async function node(
  name: string,
  invite: string,
  account = Key.generate(),
): Promise<{ client: DirectoryClient; port: number; account: Key }> {
  const identity = await createIdentity();
  const router = new Router();
  const [clock, log] = [systemClock, silentLog()];
  const self = (): HelloInfo => ({
    protocol: { min: 1, max: 1 },
    software: 'test',
    role: 'node',
    account: bind(account, `${name}@lab`, identity.id, clock.now()),
  });
  const listener = new Listener({ host: '127.0.0.1', port: 0, identity, router, self, clock, log, onLink: () => {} });
  await listener.start();
  undo.use(listener);
  const client = new DirectoryClient({
    trackers: [parseInvite(invite)],
    dial: (address, expect, signal) => dialLink({ address, expect, signal, identity, router, self, clock, log }),
    account,
    handle: `${name}@lab`,
    node: identity.id,
    addresses: () => [`127.0.0.1:${listener.port}`],
    store: undo.use(new Store(':memory:')),
    clock,
    log,
  }).attach(router);
  client.start();
  undo.use(client);
  return { client, port: listener.port, account };
}

const nextOf = (client: DirectoryClient, type: PeopleChange['type']): Promise<PeopleChange> =>
  new Promise((resolve) => {
    const end = client.onChange((change) => {
      if (change.type !== type) return;
      end();
      resolve(change);
    });
  });

test('two nodes meet at a tracker, by its invite, and learn where the other was reached', async () => {
  const { invite } = await tracker();
  const [alice, bob] = await Promise.all([node('alice', invite), node('bob', invite)]);
  await Promise.all([alice.client.ready(), bob.client.ready()]);
  expect(await alice.client.find('bob')).toMatchObject({ status: 'online', addresses: [`127.0.0.1:${bob.port}`] });
  expect(alice.client.states()).toMatchObject([
    { announced: true, observed: '127.0.0.1', checked: [`127.0.0.1:${alice.port}`], error: null },
  ]);
  expect((await bob.client.refresh()).map(({ handle }) => handle)).toEqual(['bob@lab', 'alice@lab']);
});

test('a tracker that is stopped and started on its home knows names, people and its own key again', async () => {
  const first = await tracker();
  const { invite, port } = first;
  const alice = await node('alice', invite);
  const bob = await node('bob', invite);
  await Promise.all([alice.client.ready(), bob.client.ready()]);
  await alice.client.find('bob');
  const downs = nextOf(alice.client, 'offline');
  await bob.client[Symbol.asyncDispose]();
  await downs;
  await first[Symbol.asyncDispose]();
  const second = await tracker({ port });
  expect(second.invite).toBe(invite);
  await vi.waitFor(() => expect(alice.client.states()[0]).toMatchObject({ state: 'up', announced: true }), 10_000);
  expect(await alice.client.find('bob')).toMatchObject({ status: 'offline' });
  const thief = await node('bob', invite);
  await expect(thief.client.ready()).rejects.toMatchObject({ code: 'name_taken' });
  const comes = nextOf(alice.client, 'online');
  const back = await node('bob', invite, bob.account);
  await back.client.ready();
  expect(await comes).toMatchObject({ person: { handle: 'bob@lab', addresses: expect.anything() } });
});

test('an invite to the same place with another key is wrong_key', async () => {
  const { port } = await tracker();
  const lost = await node('alice', `netapp://${Key.generate().id}@127.0.0.1:${port}/?zone=lab`);
  await expect(lost.client.ready()).rejects.toMatchObject({ code: 'wrong_key' });
});

test('one home has one tracker', async () => {
  await tracker();
  await expect(tracker()).rejects.toMatchObject({ code: 'agent_running', message: expect.stringContaining('tracker') });
});

test('its files are for its owner alone, and a truncated key is corrupt and stays as it is', async () => {
  const first = await tracker();
  expect(statSync(home).mode & 0o777).toBe(0o700);
  expect(statSync(join(home, 'tracker.key')).mode & 0o777).toBe(0o600);
  await first[Symbol.asyncDispose]();
  writeFileSync(join(home, 'tracker.key'), '-----BEGIN PRIVATE KEY-----\n');
  await expect(tracker()).rejects.toMatchObject({ code: 'corrupt' });
  writeFileSync(join(home, 'tracker.db'), 'not a database, but long enough to be taken for one'.repeat(100));
  rmSync(join(home, 'tracker.key'));
  await expect(tracker()).rejects.toMatchObject({ code: 'corrupt' });
});

test('it says that it is well, to anybody', async () => {
  const { port } = await tracker();
  const [response] = await once(
    get({ host: '127.0.0.1', port, path: '/healthz', rejectUnauthorized: false }),
    'response',
  );
  expect(response.statusCode).toBe(200);
  response.resume();
});

test('the program prints one JSON line, and ends when told', async () => {
  const stop = new AbortController();
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const running = runTracker({
    home,
    port: 0,
    zone: 'lab',
    signal: stop.signal,
    stdout,
    stderr,
    json: true,
    log: silentLog(),
  });
  const [line] = await once(stdout, 'data');
  const said = JSON.parse(String(line));
  expect(parseInvite(said.invite)).toMatchObject({ peer: said.peer, zone: 'lab', addresses: said.addresses });
  expect(said.address).toBe(said.addresses[0]);
  expect(said.address).toMatch(new RegExp(`:${said.port}$`));
  stop.abort();
  await running;
  await (await tracker())[Symbol.asyncDispose](); // the home is free again
});

test('killed with SIGKILL it leaves a home on which the next one starts, and names are kept', async () => {
  const program = `
    import { runTracker } from ${JSON.stringify(new URL('./main.ts', import.meta.url).href)};
    await runTracker({ home: ${JSON.stringify(home)}, host: '127.0.0.1', port: 0, zone: 'lab', json: true,
      signal: new AbortController().signal, stdout: process.stdout, stderr: process.stderr });
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  try {
    const said = JSON.parse(String((await once(child.stdout, 'data'))[0]));
    await expect(tracker()).rejects.toMatchObject({ code: 'agent_running' });
    await (await node('alice', said.invite)).client.ready();
  } finally {
    child.kill('SIGKILL');
  }
  await exited;
  const { invite } = await tracker();
  await expect((await node('alice', invite)).client.ready()).rejects.toMatchObject({ code: 'name_taken' });
});

test('the more nodes are linked, the longer they are told to spread when they come back [D-75]', async () => {
  const { peer, port } = await tracker();
  const clock = systemClock;
  const identity = await createIdentity();
  const told = async (name: string): Promise<number | undefined> => {
    const account = Key.generate();
    const handle = `${name}@lab`;
    const self = (): HelloInfo => ({
      protocol: { min: 1, max: 1 },
      software: 'test',
      role: 'node',
      account: bind(account, handle, identity.id, clock.now()),
    });
    const router = new Router();
    const link = await dialLink({
      address: `127.0.0.1:${port}`,
      expect: peer,
      ...{ identity, router, self, clock, log: silentLog() },
    });
    undo.defer(() => link.close());
    const [seq, until] = [clock.now(), clock.now() + 90_000];
    const claim = { handle, node: identity.id, addresses: [], status: 'online' as const, text: '', until };
    const first = await link.request(messages.announce, { record: signRecord(account, { ...claim, seq }) });
    const { sig } = signRecord(account, { ...claim, seq: seq + 1 });
    const { returnWithinMs } = await link.request(messages.renew, { seq: seq + 1, until, sig });
    expect(returnWithinMs).toBe(first.returnWithinMs);
    return returnWithinMs;
  };
  expect([await told('alice'), await told('bob')]).toEqual([4, 8]); // as many as one core takes back without haste
});
