import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readExposition } from '../../test/exposition.ts';
import { alice, bob, codedFault, StubBackend } from '../../test/stub.ts';
import { type Client, createClient } from '../api/client.ts';
import { localClient } from '../api/operations.ts';
import { FAULTS, Fault, type FaultCode } from '../base/fault.ts';
import { silentLog } from '../base/log.ts';
import { Agent, type AgentOptions } from './agent.ts';

let home: string;
let backend: StubBackend;
let agent: Agent;
let token: string;
const log = silentLog();

function optionsFor(extra: Partial<AgentOptions> = {}): AgentOptions {
  return {
    backend,
    socketPath: join(home, 'agent.sock'),
    tokenPath: join(home, 'token'),
    http: { port: 0 },
    log,
    ...extra,
  };
}

async function start(extra: Partial<AgentOptions> = {}): Promise<void> {
  agent = new Agent(optionsFor(extra));
  await agent.start();
  token = (await readFile(join(home, 'token'), 'utf8')).trim();
}

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'netapp-agent-'));
  backend = new StubBackend();
  await start();
});

afterEach(async () => {
  await agent[Symbol.asyncDispose]();
  await rm(home, { recursive: true });
});

const url = () => `http://127.0.0.1:${agent.httpPort}`;
const doors: Record<string, () => Client> = {
  'in process': () => localClient({ backend, log }),
  'over the socket': () => createClient({ socketPath: join(home, 'agent.sock') }),
  'over HTTP': () => createClient({ url: url(), token }),
};

test('its numbers are for its owner, and for tokens that may see its status', async () => {
  const ask = (secret: string) => fetch(`${url()}/metrics`, { headers: { authorization: `Bearer ${secret}` } });
  const answer = await ask(token);
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, expect.stringContaining('version=0.0.4')]);
  const found = readExposition(await answer.text());
  expect(found.find(({ name }) => name === 'netapp_node_trackers')).toMatchObject({
    labels: { state: 'up' },
    value: 1,
  });
  expect(found.some(({ name }) => name === 'nodejs_eventloop_lag_p99_seconds')).toBe(true);
  expect((await ask('nonsense')).status).toBe(401);
  expect((await ask('token-people:list')).status).toBe(403);
  expect((await ask('token-status:show')).status).toBe(200);
});

async function faultOfCall(call: Promise<unknown>): Promise<Fault> {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof Fault)) throw new Error(`expected a Fault, got ${error}`);
  return error;
}

describe.each(Object.entries(doors))('%s', (_name, door) => {
  test('values arrive as the backend gives them', async () => {
    const client = door();
    expect(await client.people.list()).toEqual([alice, bob]);
    expect(await client.people.set({ handle: 'bob@lab', autoAccept: null })).toMatchObject({ autoAccept: null });
    expect(await client.people.set({ handle: 'bob', autoAccept: 5 })).toMatchObject({ autoAccept: 5 });
    expect(await client.people.status({ status: 'busy', text: 'a/b?c=d#é' })).toMatchObject({ text: 'a/b?c=d#é' });
    await client.messages.list({ handle: 'bob', limit: 7, before: 'm0' });
    await client.messages.list({});
    expect(backend.calls).toEqual([
      ['messages.list', 'bob', { limit: 7, before: 'm0' }],
      ['messages.list', undefined, { limit: 50, before: undefined }],
    ]);
  });

  test.each(Object.keys(FAULTS) as FaultCode[])('fault %s crosses with message and data', async (code) => {
    const fault = await faultOfCall(door().people.find({ handle: `fault-${code.replaceAll('_', '-')}` }));
    expect(fault.toJSON()).toEqual(codedFault(code).toJSON());
  });

  test('a defect is told as internal, without its message', async () => {
    const fault = await faultOfCall(door().people.find({ handle: 'defect' }));
    expect(fault.code).toBe('internal');
    expect(fault.message).not.toContain('secret');
  });

  test('a wrong argument is told by field and form', async () => {
    const fault = await faultOfCall(door().messages.list({ handle: 'bob', limit: 0 }));
    expect(fault.toJSON()).toEqual({
      code: 'invalid_argument',
      message: '"limit": expected a whole number from 1 to 1000',
      data: { field: 'limit' },
    });
  });

  test('kept events come first, then live ones, until the reader leaves', async () => {
    backend.emit('people.changed', { who: 'x' });
    backend.emit('message.received', { n: 1 });
    const leave = new AbortController();
    const events = await door().events.follow({ from: 0, match: 'message.*' }, { signal: leave.signal });
    const seen: unknown[] = [];
    for await (const event of events) {
      seen.push(event.data);
      if (seen.length === 1) backend.emit('message.received', { n: 2 });
      else break;
    }
    leave.abort();
    expect(seen).toEqual([{ n: 1 }, { n: 2 }]);
    await expect.poll(() => backend.followers).toBe(0);
  });

  test('messages are followed from now on, with the cursor to resume from', async () => {
    backend.emit('message.received', { id: 'm1' });
    const stream = await door().messages.follow({});
    backend.emit('message.received', { id: 'm1' });
    const first = await stream.next();
    expect(first.value).toMatchObject({ id: 'm1', text: 'hello', cursor: 2 });
    await stream.return?.();
  });

  test('a fault inside a stream arrives as that fault', async () => {
    const stream = await door().events.follow({ from: 0 });
    backend.emit('test.fault', {});
    expect(await faultOfCall(stream.next())).toMatchObject({ code: 'queue_full' });
  });

  test('getting a file accepts it and follows it to its end', async () => {
    backend.fileSteps = [
      { state: 'fetching', progress: 5 },
      { state: 'done', progress: 1_000_000, path: '/d/x' },
    ];
    const states: string[] = [];
    for await (const file of await door().files.get({ id: 'f1', to: '/d' })) states.push(file.state);
    expect(states).toEqual(['fetching', 'done']);
    expect(backend.calls).toEqual([['files.accept', 'f1', { to: '/d' }]]);
    expect(await faultOfCall(door().files.get({ id: 'zz' }))).toMatchObject({ code: 'unknown_id' });
  });
});

describe('the socket', () => {
  test('can be opened by its owner alone', async () => {
    expect((await stat(join(home, 'agent.sock'))).mode & 0o777).toBe(0o600);
    expect((await stat(join(home, 'token'))).mode & 0o777).toBe(0o600);
  });

  test('a second agent on it is refused, and the first stays', async () => {
    const second = new Agent(optionsFor());
    expect(await faultOfCall(second.start())).toMatchObject({ code: 'agent_running' });
    expect(await doors['over the socket']?.().people.list()).toHaveLength(2);
  });

  test('what is not a socket is not touched', async () => {
    const path = join(home, 'file');
    await writeFile(path, 'mine');
    const second = new Agent(optionsFor({ socketPath: path, http: undefined }));
    expect(await faultOfCall(second.start())).toMatchObject({ code: 'exists' });
    expect(await readFile(path, 'utf8')).toBe('mine');
  });

  test('a path that is too long is named', async () => {
    const second = new Agent(optionsFor({ socketPath: join(home, 'x'.repeat(110)), http: undefined }));
    expect(await faultOfCall(second.start())).toMatchObject({ code: 'invalid_argument' });
  });

  test('without an agent, the fault says how to start one', async () => {
    const fault = await faultOfCall(createClient({ socketPath: join(home, 'none.sock') }).status.show());
    expect(fault.code).toBe('agent_down');
    expect(fault.message).toContain('netapp up');
  });
});

describe('loopback HTTP refuses', () => {
  type Ask = { method?: string; path?: string; headers?: Record<string, string>; body?: string };
  async function ask({ method = 'GET', path = '/v1/people', headers = {}, body }: Ask) {
    const outgoing = request({
      host: '127.0.0.1',
      port: agent.httpPort,
      method,
      path,
      headers: { authorization: `Bearer ${token}`, ...headers },
      agent: false,
    });
    outgoing.on('error', () => {}); // A refusal may come before the whole body is sent.
    outgoing.end(body);
    const [response] = await once(outgoing, 'response');
    return { status: response.statusCode, ...JSON.parse(await text(response)) };
  }

  test('nothing that is right', async () => {
    expect(await ask({ path: '/v1/status' })).toMatchObject({ handle: 'alice@lab' });
    expect(
      await ask({ headers: { host: `localhost:${agent.httpPort}`, origin: url() }, path: '/v1/status' }),
    ).toMatchObject({
      status: 'online',
    });
    expect(await ask({ path: '/healthz', headers: { authorization: '' } })).toEqual({ status: 'ok' });
    expect(await ask({ path: '/readyz', headers: { authorization: '' } })).toEqual({ status: 'ready' });
  });

  test.each([
    ['another host name', { host: 'evil.example' }, 403, 'forbidden'],
    ['its own name with another port', { host: '127.0.0.1:1' }, 403, 'forbidden'],
    ['another origin', { origin: 'http://evil.example' }, 403, 'forbidden'],
    ['an opaque origin', { origin: 'null' }, 403, 'forbidden'],
    ['another site without an origin', { 'sec-fetch-site': 'cross-site' }, 403, 'forbidden'],
    ['no token', { authorization: '' }, 401, 'unauthenticated'],
    ['a wrong token', { authorization: 'Bearer AAAA' }, 401, 'unauthenticated'],
  ])('%s', async (_name, headers, status, code) => {
    expect(await ask({ headers })).toMatchObject({ status, code });
  });

  test('a token in the address, right or wrong', async () => {
    expect(await ask({ path: `/v1/people?token=${token}` })).toMatchObject({ status: 401, code: 'unauthenticated' });
    expect(await ask({ path: `/v1/people?x=${token}` })).toMatchObject({ status: 401, code: 'unauthenticated' });
    expect(await ask({ path: '/v1/people?access_token=x', headers: { authorization: '' } })).toMatchObject({
      status: 401,
    });
  });

  test('an unknown path and a wrong method', async () => {
    expect(await ask({ path: '/v1/nothing' })).toMatchObject({ status: 404, code: 'unknown_operation' });
    expect(await ask({ method: 'DELETE' })).toMatchObject({ status: 404, code: 'unknown_operation' });
  });

  test('a body that is not JSON', async () => {
    const body = 'handle=bob';
    const plain = { 'content-type': 'text/plain' };
    const json = { 'content-type': 'application/json' };
    const say = { method: 'POST', path: '/v1/messages', body };
    expect(await ask({ ...say, headers: plain })).toMatchObject({ status: 400, code: 'invalid_argument' });
    expect(await ask({ ...say, headers: json })).toMatchObject({ status: 400, code: 'invalid_argument' });
    expect(backend.said).toEqual([]);
  });

  test('a body over the bound, announced or not', async () => {
    const body = JSON.stringify({ handle: 'bob', text: 'x'.repeat(1_100_000) });
    const headers = { 'content-type': 'application/json' };
    const say = { method: 'POST', path: '/v1/messages', body };
    expect(await ask({ ...say, headers })).toMatchObject({ status: 413, code: 'too_large' });
    const chunked = { ...headers, 'transfer-encoding': 'chunked' };
    expect(await ask({ ...say, headers: chunked })).toMatchObject({ status: 413, code: 'too_large' });
  });

  async function raw(sent: string): Promise<string> {
    const socket: Socket = connect(agent.httpPort ?? 0, '127.0.0.1');
    socket.write(sent);
    return text(socket);
  }

  test('what is not HTTP', async () => {
    expect(await raw('\u0016\u0003\u0001 hello\r\n\r\n')).toContain('"code":"malformed"');
  });

  test('headers and bodies that drip', async () => {
    await agent[Symbol.asyncDispose]();
    await start({ limits: { headersMs: 60, requestMs: 120 } });
    expect(await raw('GET /v1/people HTTP/1.1\r\nhost:')).toContain('"code":"timeout"');
    const head = `POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1:${agent.httpPort}\r\nauthorization: Bearer ${token}\r\n`;
    expect(await raw(`${head}content-type: application/json\r\ncontent-length: 100\r\n\r\n{"a`)).toContain(
      '"code":"timeout"',
    );
  });

  test('but not a follower that has stayed longer than a request may', async () => {
    await agent[Symbol.asyncDispose]();
    await start({ limits: { headersMs: 60, requestMs: 120 } });
    const stream = await createClient({ url: url(), token }).events.follow({ from: 0 });
    expect(await raw('GET /v1/people HTTP/1.1\r\nhost:')).toContain('"code":"timeout"');
    expect(await raw('GET /v1/people HTTP/1.1\r\nhost:')).toContain('"code":"timeout"');
    backend.emit('a.b', { n: 1 });
    expect((await stream.next()).value).toMatchObject({ data: { n: 1 } });
    await stream.return?.();
  });

  test('a follower over the bound', async () => {
    await agent[Symbol.asyncDispose]();
    await start({ limits: { followers: 1 } });
    const client = createClient({ url: url(), token });
    const stream = await client.events.follow({ from: 0 });
    expect(await faultOfCall(client.events.follow({}))).toMatchObject({ code: 'too_many' });
    expect(await client.people.list()).toHaveLength(2);
    await stream.return?.();
  });
});

test('programs that leave connections behind keep nobody out', async () => {
  await agent[Symbol.asyncDispose]();
  await start({ limits: { connections: 8 } });
  for (let n = 0; n < 30; n += 1) {
    const client = createClient({ socketPath: join(home, 'agent.sock') }); // keeps its connection, as one that was forgotten
    expect(await client.people.list()).toHaveLength(2);
  }
});

describe('streams', () => {
  test('over HTTP are SSE with cursors as ids, and resume from Last-Event-ID [E-5]', async () => {
    backend.emit('a.b', { n: 1 });
    backend.emit('a.b', { n: 2 });
    const outgoing = request({
      host: '127.0.0.1',
      port: agent.httpPort,
      path: '/v1/events',
      headers: { authorization: `Bearer ${token}`, 'last-event-id': '1' },
    }).end();
    const [response] = await once(outgoing, 'response');
    expect(response.headers['content-type']).toBe('text/event-stream');
    let seen = '';
    for await (const chunk of response) {
      seen += chunk;
      if (seen.includes('"n":2')) break;
    }
    expect(seen).not.toContain('"n":1');
    expect(seen).toMatch(/^id: 2$/m);
  });

  test.each(['a.*', 'never'])('end at once with link_closed when the agent closes (%s)', async (match) => {
    const stream = await doors['over the socket']?.().events.follow({ from: 0, match });
    const next = faultOfCall(Promise.resolve(stream?.next()));
    await agent[Symbol.asyncDispose]();
    expect((await next).code).toBe('link_closed');
  });

  test('whose follower does not read are cut', async () => {
    await agent[Symbol.asyncDispose]();
    await start({ limits: { slowFollowerMs: 50 } });
    for (let n = 0; n < 40; n += 1) backend.emit('big.one', { n, text: 'x'.repeat(500_000) });
    const socket = connect(agent.httpPort ?? 0, '127.0.0.1');
    socket.pause();
    socket.write(
      `GET /v1/events?from=0 HTTP/1.1\r\nhost: 127.0.0.1:${agent.httpPort}\r\nauthorization: Bearer ${token}\r\n\r\n`,
    );
    await expect.poll(() => backend.followers).toBe(1);
    await expect.poll(() => backend.followers, { timeout: 10_000 }).toBe(0);
    socket.destroy();
  });

  test('an agent that dies in the middle is told as link_closed', async () => {
    const path = join(home, 'dying.sock');
    const server = createServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': hello\n\n', () => response.destroy());
    }).listen(path);
    await once(server, 'listening');
    const stream = await createClient({ socketPath: path }).events.follow({});
    expect((await faultOfCall(stream.next())).code).toBe('link_closed');
    server.close();
  });
});

test('a socket left by a killed agent is replaced', async () => {
  const path = join(home, 'left.sock');
  const { execFileSync } = await import('node:child_process');
  const listen = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  expect(() => execFileSync(process.execPath, ['-e', listen])).toThrow();
  expect((await stat(path)).isSocket()).toBe(true);
  await using second = new Agent(optionsFor({ socketPath: path, http: undefined }));
  await second.start();
  expect(await createClient({ socketPath: path }).people.list()).toHaveLength(2);
});

test('a damaged token file is replaced, a good one kept', async () => {
  await agent[Symbol.asyncDispose]();
  const before = token;
  await start();
  expect(token).toBe(before);
  await agent[Symbol.asyncDispose]();
  await writeFile(join(home, 'token'), 'abc');
  await start();
  expect(token).toMatch(/^[\w-]{43}$/);
  expect(token).not.toBe(before);
});
