/** A tracker as whoever looks after it sees it: its health and numbers, its limits, how it stops, and how it is told anew. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../src/base/clock.ts';
import { silentLog } from '../src/base/log.ts';
import * as wire from '../src/directory/admin-wire.ts';
import { parseInvite } from '../src/directory/invite.ts';
import * as messages from '../src/directory/messages.ts';
import { bind } from '../src/link/binding.ts';
import { createIdentity, type Identity } from '../src/link/certificate.ts';
import { dialLink } from '../src/link/dial.ts';
import { Key } from '../src/link/identity.ts';
import type { Link } from '../src/link/link.ts';
import { Router } from '../src/link/router.ts';
import { readExposition, type Sample } from './exposition.ts';
import { type Running, run, start } from './program.ts';
import { until } from './testnet.ts';

let folder: string;
let undo: AsyncDisposableStack;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'netapp-operations-'));
  undo = new AsyncDisposableStack();
});
afterEach(async () => {
  await undo.disposeAsync();
  rmSync(folder, { recursive: true, force: true });
});

const home = (): string => join(folder, 'tracker');
const configure = (config: object): void => writeFileSync(join(home(), 'config.json'), JSON.stringify(config));

async function tracker(args: string[] = [], env: Record<string, string> = {}): Promise<Running> {
  return undo.use(await start(home(), ['tracker', '--port', '0', '--metrics', '0', ...args], { env }));
}

type Answer = { status: number; headers: string; body: string };

/** As whoever stands at a shell asks. */
async function curl(url: string, args: string[] = []): Promise<Answer> {
  const { stdout } = await promisify(execFile)('curl', ['--silent', '--insecure', '--include', ...args, url], {
    maxBuffer: 1 << 24,
  });
  const end = stdout.indexOf('\r\n\r\n');
  const headers = stdout.slice(0, end).toLowerCase();
  return { status: Number(/^\S+ (\d+)/.exec(headers)?.[1]), headers, body: stdout.slice(end + 4) };
}

const at = (program: Running, path: string): string => `https://${program.text('address')}${path}`;
const monitor = (program: Running, path: string): string => `http://${program.text('metrics')}${path}`;

async function samples(program: Running): Promise<Sample[]> {
  return readExposition((await curl(monitor(program, '/metrics'))).body);
}

const sampleOf = (all: Sample[], name: string, labels: Record<string, string> = {}): number | undefined =>
  all.find((one) => one.name === name && Object.entries(labels).every(([key, value]) => one.labels[key] === value))
    ?.value;

/** A node of its own account, as far as a tracker can tell. */
async function linkTo(
  program: Running,
  {
    account = Key.generate(),
    identity,
    router = new Router(),
  }: { account?: Key; identity?: Identity; router?: Router } = {},
): Promise<Link> {
  const own = identity ?? (await createIdentity());
  const link = await dialLink({
    address: program.text('address'),
    expect: program.text('peer'),
    identity: own,
    router,
    self: () => ({
      protocol: { min: 1, max: 1 },
      software: 'test',
      role: 'node',
      account: bind(account, 'somebody@lab', own.id, Date.now()),
    }),
    clock: systemClock,
    log: silentLog(),
  });
  undo.defer(() => link.close());
  return link;
}

test('health and readiness are for everybody, the numbers for whoever has the token or this machine’s own door', async () => {
  const program = await tracker();
  for (const url of [at(program, ''), monitor(program, '')]) {
    expect(await curl(`${url}/healthz`)).toMatchObject({ status: 200, body: '{"status":"ok"}\n' });
    const { status, body } = await curl(`${url}/readyz`);
    expect([status, JSON.parse(body)]).toEqual([200, { status: 'ready', store: 'ok', draining: false }]);
    expect(await curl(`${url}/metrics`, ['--request', 'POST'])).toMatchObject({ status: 404 });
  }
  expect(await curl(monitor(program, '/directory/list'))).toMatchObject({ status: 404 });
  expect(await curl(at(program, '/metrics'))).toMatchObject({ status: 401 });
  const wrong = ['--header', `Authorization: Bearer ${'x'.repeat(43)}`];
  expect(await curl(at(program, '/metrics'), wrong)).toMatchObject({ status: 401 });
  const token = readFileSync(join(home(), 'tracker', 'metrics.token'), 'utf8').trim();
  const right = await curl(at(program, '/metrics'), ['--header', `Authorization: Bearer ${token}`]);
  expect(right).toMatchObject({ status: 200, headers: expect.stringContaining('text/plain; version=0.0.4') });
  expect(sampleOf(readExposition(right.body), 'netapp_tracker_ready')).toBe(1);
});

test('an address for metrics that others reach asks for the token, too', async () => {
  const program = await tracker(['--metrics', '0.0.0.0:0']);
  const url = monitor(program, '/metrics');
  expect(await curl(url)).toMatchObject({ status: 401 });
  const token = readFileSync(join(home(), 'tracker', 'metrics.token'), 'utf8').trim();
  expect(await curl(url, ['--header', `Authorization: Bearer ${token}`])).toMatchObject({ status: 200 });
  const wrong = await run(['tracker', '--port', '0', '--metrics', 'nonsense', '--home', join(folder, 'other')]);
  expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('expected PORT, or HOST:PORT')]);
});

test('the numbers say what happened: links, announces, lookups by outcome, zones, the event loop; few labels', async () => {
  const program = await tracker();
  const invite = program.text('invite');
  const bob = undo.use(await start(join(folder, 'bob'), ['up', '--name', 'bob', '--port', '0', '--join', invite]));
  await expect(bob.client.people.find({ handle: 'nobody' })).rejects.toMatchObject({ code: 'unknown_handle' });
  // One that a node asks for itself, and one for which it has its tracker walk.
  for (const [mode, zone] of [
    ['iterative', 'far.test'],
    ['recursive', 'away.test'],
  ] as const) {
    const asked = bob.client.people.find({ handle: `eve@${zone}`, mode });
    await expect(asked).rejects.toMatchObject({ code: 'unknown_zone' });
  }
  const link = await linkTo(program);
  for (let n = 0; n < 50; n++) {
    const made = { name: `made.up${n}`, params: messages.list.params, result: messages.list.result };
    await link.request({ ...made, maxBytes: 1000, answerBytes: 1000, timeoutMs: 5000 }, {}).catch(() => {});
    await curl(at(program, `/made/up/${n}`));
  }
  const all = await samples(program);
  expect(sampleOf(all, 'netapp_tracker_links', { role: 'node' })).toBe(2);
  expect(sampleOf(all, 'netapp_tracker_online')).toBe(1);
  expect(sampleOf(all, 'netapp_tracker_handles')).toBe(1);
  expect(sampleOf(all, 'netapp_tracker_announces_total', { kind: 'announce', outcome: 'ok' })).toBeGreaterThan(0);
  expect(sampleOf(all, 'netapp_tracker_lookups_total', { kind: 'find', outcome: 'unknown_handle' })).toBe(1);
  expect(sampleOf(all, 'netapp_tracker_lookups_total', { kind: 'list', outcome: 'ok' })).toBeGreaterThan(0);
  for (const kind of ['answer', 'walk']) {
    expect(sampleOf(all, 'netapp_tracker_zone_lookups_total', { kind, outcome: 'unknown_zone' })).toBe(1);
  }
  expect(sampleOf(all, 'netapp_tracker_requests_total', { method: 'unknown', outcome: 'unknown_operation' })).toBe(50);
  expect(sampleOf(all, 'netapp_tracker_zone', { zone: 'lab', policy: 'open' })).toBe(1);
  for (const name of ['watchers', 'dial_backs_waiting', 'unsent_bytes', 'mail_letters', 'mail_bytes']) {
    expect(sampleOf(all, `netapp_tracker_${name}`)).toBeGreaterThanOrEqual(0);
  }
  expect(sampleOf(all, 'nodejs_eventloop_lag_p99_seconds')).toBeGreaterThanOrEqual(0);
  expect(JSON.stringify(all)).not.toContain('made');
  expect(all.length).toBeLessThan(300);
});

test('told to end, it is not ready, takes no new links, and sends those that stand elsewhere, each at its time [A-30]', async () => {
  const program = await tracker(['--elsewhere', '192.0.2.8:22236', '--drain', '20s']);
  expect(parseInvite(program.text('invite')).addresses).toEqual([program.text('address'), '192.0.2.8:22236']);
  const heard: { afterMs: number; until: number; to: string[] }[] = [];
  const told = Promise.withResolvers<void>();
  const router = new Router().on(messages.moving, (notice) => {
    if (heard.push(notice) === 3) told.resolve();
  });
  const links = await Promise.all([1, 2, 3].map(() => linkTo(program, { router })));
  const began = Date.now();
  program.child.kill('SIGTERM');
  await told.promise;
  expect(new Set(heard.map(({ afterMs }) => afterMs)).size).toBe(3);
  for (const { afterMs, until, to } of heard) {
    expect(to).toEqual(['192.0.2.8:22236']);
    expect(began + afterMs).toBeLessThan(until);
  }
  const ready = await curl(monitor(program, '/readyz'));
  expect([ready.status, JSON.parse(ready.body)]).toEqual([503, { status: 'not ready', store: 'ok', draining: true }]);
  expect(await curl(monitor(program, '/healthz'))).toMatchObject({ status: 200 });
  await expect(linkTo(program)).rejects.toMatchObject({ code: 'tracker_down' });
  const [first] = links;
  expect(await first?.request(messages.list, {})).toMatchObject({ entries: [] }); // what stands is served
  const exited = once(program.child, 'exit');
  for (const link of links) link.close();
  expect((await exited)[0]).toBe(0); // long before the 20 s
});

test('a new link is told when to come again while the tracker goes [A-30]', async () => {
  const program = await tracker(['--drain', '20s']);
  await linkTo(program);
  const identity = await createIdentity();
  writeFileSync(join(folder, 'key.pem'), identity.key.pem);
  writeFileSync(join(folder, 'cert.pem'), identity.cert);
  program.child.kill('SIGTERM');
  const upgrade = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'];
  const rest = ['Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==', 'Sec-WebSocket-Protocol: netapp.1'];
  const keys = ['--key', join(folder, 'key.pem'), '--cert', join(folder, 'cert.pem'), '--http1.1', '--max-time', '5'];
  const headers = [...upgrade, ...rest].flatMap((header) => ['--header', header]);
  const refused = await until(
    () => curl(at(program, '/link'), [...keys, ...headers]).catch(() => ({ status: 101, headers: '' })),
    ({ status }) => status !== 101,
  );
  expect(refused).toMatchObject({ status: 503, headers: expect.stringMatching(/retry-after: [1-9]/) });
  expect(refused.headers).toContain('x-netapp-fault: tracker_down');
});

test('those who stay are let go in the end; told twice, it ends at once', async () => {
  const one = await tracker(['--drain', '1s']);
  const [staying] = await Promise.all([linkTo(one), linkTo(one)]);
  expect(await one.stop()).toBe(0);
  await staying.closed;

  const two = undo.use(await start(join(folder, 'two'), ['tracker', '--port', '0', '--drain', '10m']));
  const router = new Router();
  const told = new Promise<void>((resolve) => router.on(messages.moving, () => resolve()));
  for (let n = 0; n < 3; n++) await linkTo(two, { router });
  const exited = once(two.child, 'exit');
  two.child.kill('SIGTERM');
  await told;
  two.child.kill('SIGTERM');
  expect((await exited)[0]).toBe(130);
});

test('SIGHUP reads admins, policy, limits and log level again; a file that cannot be used changes nothing, and is told', async () => {
  const program = await tracker();
  const account = Key.generate();
  const link = await linkTo(program, { account });
  await expect(link.request(wire.policy, { zone: 'lab' })).rejects.toMatchObject({ code: 'forbidden' });

  configure({ admins: [account.id], policy: 'invite', limits: { requestsPerKey: 40 }, log: 'debug', zone: 'later' });
  program.child.kill('SIGHUP');
  await until(program.said, (said) => said.includes('the configuration was read again'));
  expect(program.said()).toContain('"changed":["admins","policy","limits","log"],"atNextStart":["zone"]');
  expect(await link.request(wire.policy, { zone: 'lab' })).toEqual({ zone: 'lab', policy: 'invite' });
  await until(program.said, (said) => /"level":20,.*"method":"zones\.policy"/.test(said)); // also of links that stood
  const asked = Array.from({ length: 60 }, () => link.request(wire.policy, { zone: 'lab' }));
  const refused = (await Promise.allSettled(asked)).filter(({ status }) => status === 'rejected');
  expect(refused.length).toBeGreaterThan(10);
  expect(refused[0]).toMatchObject({ reason: { code: 'too_many', data: { retryAfterMs: expect.any(Number) } } });

  for (const bad of ['{"admins": [], "limits": {"requestsPerKey": -1}}', '{"admins": ["x"]}', '{', '{"admin": []}']) {
    const before = program.said().length;
    writeFileSync(join(home(), 'config.json'), bad);
    program.child.kill('SIGHUP');
    await until(program.said, (said) => said.slice(before).includes('the old one is kept'));
  }
  expect(program.said()).toMatch(/"level":50,.*"code":"invalid_argument"/);
  const other = await linkTo(program, { account });
  expect(await other.request(wire.policy, { zone: 'lab' })).toEqual({ zone: 'lab', policy: 'invite' });
});

/** As many connections from one address of this machine as there are in `count`. */
async function flood(program: Running, from: string, count: number): Promise<{ open: Socket[]; cut: number }> {
  const [host = '', port = ''] = program.text('address').split(':');
  let cut = 0;
  const open: Socket[] = [];
  await Promise.all(
    Array.from({ length: count }, async () => {
      const socket = connect({ host, port: Number(port), localAddress: from });
      socket.on('error', () => {});
      socket.resume();
      socket.on('close', () => {
        cut += 1;
      });
      open.push(socket);
      await once(socket, 'connect').catch(() => {});
    }),
  );
  undo.defer(() => {
    for (const socket of open) socket.destroy();
  });
  return {
    open,
    get cut() {
      return cut;
    },
  };
}

test('a flood of connections from one address is cut before it costs anything, and others notice nothing [A-40]', async () => {
  const limits = ['loopback=true', 'connectionsPerAddress=50', 'handshakesPerAddress=200'];
  const program = await tracker(limits.flatMap((limit) => ['--limit', limit]));
  const flooded = await flood(program, '127.0.0.2', 400);
  await until(
    () => flooded.cut,
    (cut) => cut === 350,
  );
  const link = await linkTo(program); // from 127.0.0.1
  expect(await link.request(messages.list, {})).toMatchObject({ full: true });
  const all = await samples(program);
  expect(sampleOf(all, 'netapp_tracker_refused_total', { limit: 'connections' })).toBe(350);
  for (const socket of flooded.open) socket.destroy();
  // Those that are gone make room, until too many handshakes were begun.
  await until(
    async () => {
      for (const socket of (await flood(program, '127.0.0.2', 50)).open) socket.destroy();
      return sampleOf(await samples(program), 'netapp_tracker_refused_total', { limit: 'handshakes' });
    },
    (refused) => (refused ?? 0) > 0,
  );
});

test('too many requests over HTTP are 429 with Retry-After, for that address alone [A-41]', async () => {
  const program = await tracker(['--limit', 'loopback=true', '--limit', 'requestsPerAddress=5']);
  const ask = (from: string): Promise<Answer> => curl(at(program, '/healthz'), ['--interface', from]);
  const answers: Answer[] = [];
  for (let n = 0; n < 8; n++) answers.push(await ask('127.0.0.2'));
  const statuses = answers.map(({ status }) => status);
  expect(statuses.slice(0, 5)).toEqual([200, 200, 200, 200, 200]);
  expect(statuses).toContain(429);
  const refused = answers.find(({ status }) => status === 429);
  expect(refused?.headers).toMatch(/retry-after: ([1-9]|1[0-2])\b/);
  expect(JSON.parse(refused?.body ?? '')).toMatchObject({ code: 'too_many' });
  expect(await ask('127.0.0.3')).toMatchObject({ status: 200 });
});

test('one key that has too many links is refused, and one that asks too much is told to wait, then cut [A-42] [A-43]', async () => {
  const program = await tracker(['--limit', 'linksPerKey=2', '--limit', 'requestsPerKey=100']);
  const identity = await createIdentity();
  const link = await linkTo(program, { identity });
  await linkTo(program, { identity });
  await expect(linkTo(program, { identity })).rejects.toMatchObject({ code: 'too_many' });
  const other = await linkTo(program);
  const asks = Array.from({ length: 2000 }, () => link.request(messages.goodbye, {}));
  const ends = await Promise.allSettled(asks);
  const codes = new Set(ends.flatMap((end) => (end.status === 'rejected' ? [end.reason.code] : [])));
  expect([...codes].sort()).toEqual(['link_closed', 'too_many']);
  expect(await link.closed).toMatchObject({ code: 'too_many' });
  expect(await other.request(messages.goodbye, {})).toEqual({});
});
