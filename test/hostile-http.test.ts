/** The agent's doors against those who may not come in: other pages, other users, stolen and old keys, malformed and slow requests. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Agent } from '../src/agent/agent.ts';
import { createClient } from '../src/api/client.ts';
import { FAULTS, type FaultCode } from '../src/base/fault.ts';
import { silentLog } from '../src/base/log.ts';
import { homePaths } from '../src/node/home.ts';
import { StubBackend } from './stub.ts';
import { type Member, TestNet, until } from './testnet.ts';

let net: TestNet;
let alice: Member;
let origin: string;
let port: number;
let owner: string;

beforeAll(async () => {
  net = await TestNet.create();
  alice = await net.member('alice', undefined, { http: true });
  origin = alice.agent.origin ?? '';
  port = alice.agent.httpPort ?? 0;
  owner = (await readFile(homePaths(alice.home).token, 'utf8')).trim();
});
afterAll(() => net[Symbol.asyncDispose]());

type Ask = { method?: string; path?: string; headers?: Record<string, string>; body?: string };
type Answer = { status: number; headers: Record<string, string | string[] | undefined>; body: string };

async function ask({ method = 'GET', path = '/v1/status', headers = {}, body }: Ask): Promise<Answer> {
  const all = { authorization: `Bearer ${owner}`, ...headers };
  const given = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== ''));
  const outgoing = request({ host: '127.0.0.1', port, method, path, headers: given, agent: false });
  outgoing.on('error', () => {}); // a refusal may come before the whole body is sent
  outgoing.end(body);
  const [response] = await once(outgoing, 'response');
  return { status: response.statusCode, headers: response.headers, body: await text(response) };
}

/** Refused with this code, as problem details, and with nothing by which a page of another origin could read it. */
function expectRefused({ status, headers, body }: Answer, code: FaultCode): void {
  expect({ status, ...JSON.parse(body) }).toMatchObject({
    status: FAULTS[code].http,
    code,
    type: `urn:netapp:fault:${code}`,
    title: FAULTS[code].means,
    detail: expect.any(String),
  });
  expect(headers['content-type']).toBe('application/problem+json');
  expect(headers).not.toHaveProperty('access-control-allow-origin');
  expect(headers).not.toHaveProperty('set-cookie');
}

/** What is answered to bytes as they are; the door ends the connection by itself. */
async function raw(sent: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.write(sent);
  return text(socket);
}

const json = { 'content-type': 'application/json' };
const say = { method: 'POST', path: '/v1/messages', body: '{"handle":"bob","text":"x"}' };
const form = { 'content-type': 'application/x-www-form-urlencoded' };

async function session(): Promise<string> {
  const { url } = await alice.client.sessions.open({});
  const body = JSON.stringify({ code: new URL(url).hash.slice(1) });
  const { headers } = await ask({ method: 'POST', path: '/open', headers: { ...json, authorization: '' }, body });
  return String(headers['set-cookie']?.[0]).split(';')[0] ?? '';
}

const tokenOf = async (scope: string[], ttl = '1h') => (await alice.client.tokens.create({ scope, ttl })).token;

describe('pages of other origins [E-11]', () => {
  test('DNS rebinding: a name of theirs that leads here', async () => {
    for (const host of [
      'evil.example',
      `evil.example:${port}`,
      '127.0.0.1',
      `127.0.0.1:${port + 1}`,
      `localhost.evil.example:${port}`,
    ]) {
      expectRefused(await ask({ headers: { host } }), 'forbidden');
      expectRefused(await ask({ path: '/open', headers: { host } }), 'forbidden');
      expectRefused(await ask({ path: '/healthz', headers: { host } }), 'forbidden');
    }
  });

  test('a form that is sent from elsewhere, with the session’s cookie', async () => {
    const cookie = await session();
    const theirs = { authorization: '', cookie, origin: 'http://evil.example' };
    expectRefused(await ask({ ...say, headers: { ...theirs, ...form }, body: 'handle=bob' }), 'forbidden');
    expectRefused(await ask({ ...say, headers: { ...theirs, ...json } }), 'forbidden');
    // Another port of this machine is the same site to a browser, which then adds the cookie, and another origin to us.
    expectRefused(await ask({ ...say, headers: { ...theirs, ...json, origin: 'http://127.0.0.1:1' } }), 'forbidden');
    expectRefused(await ask({ headers: { authorization: '', cookie, 'sec-fetch-site': 'same-site' } }), 'forbidden');
    // A browser always says where a POST comes from; what does not say it is none of our page's.
    expectRefused(await ask({ ...say, headers: { authorization: '', cookie, ...json } }), 'forbidden');
    const own = { authorization: '', cookie, origin };
    expectRefused(await ask({ ...say, headers: { ...own, ...form }, body: 'handle=bob' }), 'invalid_argument');
    expectRefused(await ask({ ...say, headers: { ...own, ...json } }), 'unknown_handle'); // it was let in
  });

  test('a WebSocket, and a question before a request', async () => {
    const upgrade = {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
    };
    expectRefused(await ask({ path: '/link', headers: { ...upgrade, origin: 'http://evil.example' } }), 'forbidden');
    expectRefused(await ask({ path: '/link', headers: { ...upgrade, origin } }), 'unknown_operation');
    const preflight = { origin: 'http://evil.example', 'access-control-request-method': 'POST', authorization: '' };
    expectRefused(await ask({ method: 'OPTIONS', path: '/v1/messages', headers: preflight }), 'forbidden');
  });

  test('a link may lead to the page that opens sessions, and to nothing else', async () => {
    const walk = {
      authorization: '',
      'sec-fetch-site': 'cross-site',
      'sec-fetch-mode': 'navigate',
      'sec-fetch-dest': 'document',
    };
    const page = await ask({ path: '/open', headers: walk });
    expect(page.status).toBe(200);
    expect(page.headers['content-security-policy']).toMatch(/^default-src 'none'.*frame-ancestors 'none'/);
    expect(page.headers['x-frame-options']).toBe('DENY');
    expectRefused(await ask({ path: '/v1/status', headers: walk }), 'forbidden');
    expectRefused(await ask({ path: '/', headers: walk }), 'forbidden');
    expectRefused(await ask({ path: '/open', headers: { ...walk, 'sec-fetch-mode': 'no-cors' } }), 'forbidden');
  });
});

describe('keys', () => {
  test('none, a wrong one, and one of another kind', async () => {
    for (const authorization of [
      '',
      'Bearer',
      'Bearer x',
      `Basic ${btoa(`x:${owner}`)}`,
      `Bearer nat_${'A'.repeat(43)}`,
      `Bearer ${owner}x`,
    ]) {
      expectRefused(await ask({ headers: { authorization } }), 'unauthenticated');
    }
    const cookie = await session();
    expectRefused(await ask({ headers: { authorization: 'Bearer x', cookie } }), 'unauthenticated');
    expectRefused(await ask({ headers: { authorization: '', cookie: `${cookie}x` } }), 'unauthenticated');
    expectRefused(await ask({ headers: { authorization: '', cookie: cookie.replace('=', '2=') } }), 'unauthenticated');
  });

  test('a scope that does not fit, at every operation', async () => {
    const token = await tokenOf(['people:list']);
    const headers = { authorization: `Bearer ${token}` };
    expect((await ask({ path: '/v1/people', headers })).status).toBe(200);
    for (const path of ['/v1/status', '/v1/people/alice', '/v1/events', '/v1/messages', '/v1/tokens', '/v1/webhooks']) {
      expectRefused(await ask({ path, headers }), 'forbidden');
    }
    expectRefused(await ask({ ...say, headers: { ...headers, ...json } }), 'forbidden');
  });

  test('a key makes no other key that opens more', async () => {
    const authorization = `Bearer ${await tokenOf(['tokens:create', 'webhooks:create', 'sessions:open', 'people:*'])}`;
    const post = (path: string, body: object) =>
      ask({ method: 'POST', path, headers: { authorization, ...json }, body: JSON.stringify(body) });
    for (const scope of ['*', 'messages:*', 'messages:send', 'events:follow', 'tokens:*']) {
      expectRefused(await post('/v1/tokens', { scope: [scope] }), 'forbidden');
    }
    expect((await post('/v1/tokens', { scope: ['people:find'] })).status).toBe(200);
    expectRefused(await post('/v1/webhooks', { url: 'http://127.0.0.1:1/' }), 'forbidden'); // it would show events
    const { body } = await post('/v1/sessions', {});
    const code = new URL(JSON.parse(body).url).hash.slice(1);
    const opened = await ask({
      method: 'POST',
      path: '/open',
      headers: { ...json, authorization: '' },
      body: JSON.stringify({ code }),
    });
    const cookie = String(opened.headers['set-cookie']?.[0]);
    expect(cookie).toMatch(/; HttpOnly; SameSite=Strict$/);
    expectRefused(await ask({ path: '/v1/messages', headers: { authorization: '', cookie } }), 'forbidden');
    expect((await ask({ path: '/v1/people', headers: { authorization: '', cookie } })).status).toBe(200);
    const page = await ask({ path: '/api', headers: { authorization: '', cookie } });
    expect(page.body).toContain('/v1/people');
    expect(page.body).not.toContain('/v1/messages');
    expect(page.body).not.toContain('alice@lab');
  });

  test('a key has no work done as a job that it may not do itself', async () => {
    const asJob = { operation: 'messages.say', input: { handle: 'bob', text: 'x' }, in: '1h' };
    const jobs = `Bearer ${await tokenOf(['jobs:*', 'people:list'])}`;
    const create = (authorization: string) =>
      ask({ method: 'POST', path: '/v1/jobs', headers: { authorization, ...json }, body: JSON.stringify(asJob) });
    expectRefused(await create(jobs), 'forbidden');
    for (const [name, value] of [
      ['prefer', 'respond-async'],
      ['idempotency-key', 'k'],
    ] as const) {
      expectRefused(await ask({ ...say, headers: { authorization: jobs, ...json, [name]: value } }), 'forbidden');
    }
    expect(await alice.client.jobs.list({})).toEqual([]);
    const made = await create(`Bearer ${await tokenOf(['jobs:create', 'messages:send'])}`);
    expect(made.status).toBe(200);
    const { id } = JSON.parse(made.body);
    expect(
      (await ask({ method: 'POST', path: `/v1/jobs/${id}/cancel`, headers: { authorization: jobs } })).status,
    ).toBe(200);
    const retried = await ask({ method: 'POST', path: `/v1/jobs/${id}/retry`, headers: { authorization: jobs } });
    expectRefused(retried, 'forbidden');
  });

  test('an expired one, and what it follows', async () => {
    const { token } = await alice.client.tokens.create({ scope: ['events:follow'], ttl: '1s' });
    const following = async () => {
      for await (const _ of await createClient({ url: origin, token }).events.follow({}));
    };
    await expect(following()).rejects.toMatchObject({ code: 'unauthenticated' });
    const path = '/v1/events/last';
    const answer = await until(
      () => ask({ path, headers: { authorization: `Bearer ${token}` } }),
      ({ status }) => status === 401,
    );
    expectRefused(answer, 'unauthenticated');
    expect(JSON.parse(answer.body).detail).toContain('its time was over');
  });

  test('a token in the address, wherever it stands', async () => {
    const token = await tokenOf(['*']);
    for (const path of [
      `/v1/people?token=${token}`,
      `/v1/people?x=${token}`,
      `/v1/people?x=${owner}`,
      `/v1/people/${token}`,
      '/v1/people?access_token=x',
    ]) {
      expectRefused(await ask({ path }), 'unauthenticated');
    }
  });

  test('a one-time code that was used, or is none', async () => {
    const { url } = await alice.client.sessions.open({});
    const open = (code: unknown) =>
      ask({ method: 'POST', path: '/open', headers: { ...json, authorization: '' }, body: JSON.stringify({ code }) });
    const code = new URL(url).hash.slice(1);
    expect((await open(code)).status).toBe(204);
    expectRefused(await open(code), 'unauthenticated');
    expectRefused(await open(''), 'unauthenticated');
    expectRefused(await open(5), 'invalid_argument');
    expectRefused(await ask({ path: `/v1/status?code=${code}`, headers: { authorization: '' } }), 'unauthenticated');
  });
});

describe('other users of the machine', () => {
  test('find nothing that they may open', async () => {
    const paths = homePaths(alice.home);
    expect((await stat(alice.home)).mode & 0o777).toBe(0o700);
    for (const path of [paths.socket, paths.token, paths.accountKey, paths.nodeKey]) {
      expect((await stat(path)).mode & 0o077, path).toBe(0);
    }
  });

  // Only root can be somebody else. CI is root; elsewhere the modes above are what is tested.
  test.runIf(process.getuid?.() === 0 || process.env.CI)(
    'are refused by the socket, also where they can see it',
    async () => {
      const folder = await mkdtemp(join(tmpdir(), 'netapp-other-'));
      const socketPath = join(folder, 'agent.sock');
      await using agent = new Agent({
        backend: new StubBackend(),
        socketPath,
        tokenPath: join(folder, 'token'),
        log: silentLog(),
      });
      await agent.start();
      await chmod(folder, 0o755);
      const program = `const told = (word) => { console.log(word); process.exit(); };
        require('node:net').connect(${JSON.stringify(socketPath)}).on('connect', () => told('connected')).on('error', (e) => told(e.code));`;
      const tried = async (uid: number): Promise<string> => {
        const options = { uid, gid: uid, cwd: '/' };
        const { stdout } = await promisify(execFile)(process.execPath, ['-e', program], options);
        return stdout.trim();
      };
      expect(await tried(0)).toBe('connected');
      expect(await tried(65_534)).toBe('EACCES');
      await rm(folder, { recursive: true });
    },
  );
});

describe('requests that are not what they seem', () => {
  const head = () => `host: 127.0.0.1:${port}\r\nauthorization: Bearer ${owner}\r\n`;
  const only = (answers: string): number => answers.split('HTTP/1.1 ').length - 1;

  test('targets that are no path of ours', async () => {
    for (const target of [
      'http://evil.example/v1/status',
      '//evil.example/v1/status',
      '/\\evil.example/v1/status',
      '*',
      'v1/status',
    ]) {
      const answer = await raw(`GET ${target} HTTP/1.1\r\n${head()}connection: close\r\n\r\n`);
      expect(answer, target).toMatch(/^HTTP\/1\.1 400 /);
      expect(answer, target).toContain('"code":"malformed"');
    }
    expect(await raw(`CONNECT evil.example:80 HTTP/1.1\r\n${head()}\r\n`)).not.toContain(' 200 ');
  });

  test('paths with dots, slashes and nothing in them', async () => {
    for (const path of [
      '/v1/../../etc/passwd',
      '/v1/%2e%2e/%2e%2e/etc/passwd',
      '/..%2f..%2fetc/passwd',
      '/v1//status',
      '/v1/status%00',
      '/%',
    ]) {
      expectRefused(await ask({ path }), 'unknown_operation');
    }
    for (const path of ['/v1/people/..%2f..%2ftoken', '/v1/people/%2e%2e', '/v1/messages/%2fetc%2fpasswd']) {
      const { status } = await ask({ path });
      expect([400, 404], path).toContain(status);
    }
    // The path that is matched is the one that the rules of admission saw.
    expectRefused(await ask({ path: '/open/../v1/status', headers: { authorization: '' } }), 'unauthenticated');
    expectRefused(await ask({ path: '/healthz/../v1/status', headers: { authorization: '' } }), 'unauthenticated');
  });

  test('two lengths, two hosts, a length and chunks: one refusal, and nothing after it is read', async () => {
    const hidden = `GET /v1/people HTTP/1.1\r\n${head()}\r\n`;
    const length = `content-type: application/json\r\ncontent-length: ${hidden.length}\r\n`;
    for (const more of [
      `${length}transfer-encoding: chunked\r\n`,
      `${length}content-length: 0\r\n`,
      `content-type: application/json\r\ntransfer-encoding: x\r\n`,
      `content-type: application/json\r\ntransfer-encoding: chunked, identity\r\n`,
      'content-length: -1\r\n',
      'content-length: 1e1\r\n',
      'x : y\r\n',
      ' folded: x\r\n',
    ]) {
      const answer = await raw(`POST /v1/messages HTTP/1.1\r\n${head()}${more}\r\n0\r\n\r\n${hidden}`);
      expect(answer, more).toMatch(/^HTTP\/1\.1 400 /);
      expect(only(answer), more).toBe(1);
    }
    const twice = await raw(`GET /v1/status HTTP/1.1\r\nhost: evil.example\r\n${head()}\r\n${hidden}`);
    expect(twice).toMatch(/^HTTP\/1\.1 40[03] /);
    expect(only(twice)).toBe(1);
    const reversed = await raw(`GET /v1/status HTTP/1.1\r\n${head()}host: evil.example\r\n\r\n${hidden}`);
    expect(reversed).toMatch(/^HTTP\/1\.1 400 /);
    expect(only(reversed)).toBe(1);
  });

  test('headers without end, and a body without end', async () => {
    const long = await raw(`GET /v1/status HTTP/1.1\r\n${head()}x: ${'x'.repeat(17_000)}\r\n\r\n`);
    expect(long).toMatch(/^HTTP\/1\.1 413 /);
    expect(long).toContain('"code":"too_large"');
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {}); // it is cut while more is sent
    socket.write(
      `POST /v1/messages HTTP/1.1\r\n${head()}content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n`,
    );
    let sent = 0;
    const chunk = `10000\r\n${'x'.repeat(65_536)}\r\n`;
    const feed = (): void => {
      while (!socket.destroyed && sent < 1e9) {
        sent += 65_536;
        if (!socket.write(chunk)) return void socket.once('drain', feed);
      }
    };
    feed();
    let answer = '';
    socket.on('data', (data) => (answer += data));
    await new Promise((closed) => socket.once('close', closed));
    // What was sent after the refusal may have made the system drop it.
    if (answer !== '') expect(answer).toContain('"code":"too_large"');
    // The bound, and what sockets hold on the way.
    expect(sent).toBeLessThan(64 * 1_048_576);
  });
});

test('slow drips end in time, and cost others nothing', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'netapp-slow-'));
  await using agent = new Agent({
    backend: new StubBackend(),
    socketPath: join(folder, 'agent.sock'),
    tokenPath: join(folder, 'token'),
    http: { port: 0 },
    limits: { headersMs: 1000, requestMs: 2000 },
    log: silentLog(),
  });
  await agent.start();
  const drips = Array.from({ length: 50 }, (_, n) => {
    const socket = connect(agent.httpPort ?? 0, '127.0.0.1');
    const start =
      n % 2 === 0
        ? 'GET /v1/status HTTP/1.1\r\nx: '
        : `POST /open HTTP/1.1\r\nhost: 127.0.0.1:${agent.httpPort}\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n`;
    socket.write(start);
    const timer = setInterval(() => socket.write('x'), 20);
    socket.on('error', () => {}); // it is cut while it drips
    return text(socket).finally(() => clearInterval(timer));
  });
  const token = (await readFile(join(folder, 'token'), 'utf8')).trim();
  expect(await createClient({ url: agent.origin ?? '', token }).people.list()).toHaveLength(2);
  for (const answer of await Promise.allSettled(drips)) {
    if (answer.status === 'fulfilled') expect(answer.value).toContain('"code":"timeout"');
  }
  await rm(folder, { recursive: true });
});

test('lists say when they are the same as before [E-14]', async () => {
  const list = () => ask({ path: '/v1/tokens' });
  const { headers, body } = await list();
  const tag = String(headers.etag);
  expect(tag).toMatch(/^"[\w-]{20,}"$/);
  expect(headers['cache-control']).toBe('private, no-cache');
  for (const condition of [tag, `W/${tag}`, `"x", ${tag}`, '*']) {
    const same = await ask({ path: '/v1/tokens', headers: { 'if-none-match': condition } });
    expect([same.status, same.body, same.headers.etag], condition).toEqual([304, '', tag]);
  }
  await tokenOf(['people:list']);
  const other = await ask({ path: '/v1/tokens', headers: { 'if-none-match': tag } });
  expect(other.status).toBe(200);
  expect(other.headers.etag).not.toBe(tag);
  expect(other.body).not.toBe(body);
});
