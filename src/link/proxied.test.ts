import { request } from 'node:http';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { z } from 'zod';
import { Authority } from '../../test/authority.ts';
import { Relay } from '../../test/relay.ts';
import vectors from '../../test/vectors/proof.json' with { type: 'json' };
import { systemClock } from '../base/clock.ts';
import { canonical } from '../base/encoding.ts';
import { Fault } from '../base/fault.ts';
import { silentLog } from '../base/log.ts';
import { bind } from './binding.ts';
import { createIdentity, type Identity } from './certificate.ts';
import { answerHeaders, askHeaders, type Challenge, isProved, newNonce, prove, readAnswer } from './challenge.ts';
import { dialLink } from './dial.ts';
import { dialProxiedLink } from './dial-proxied.ts';
import { TrustedProxies } from './forwarded.ts';
import { Guard } from './guard.ts';
import type { HelloInfo } from './hello.ts';
import { Key, verified } from './identity.ts';
import type { Link } from './link.ts';
import { Listener } from './listen.ts';
import { method } from './message.ts';
import { ProxiedListener } from './proxied.ts';
import { Router } from './router.ts';
import { Sessions } from './sessions.ts';

const who = method('who', { params: z.object({}), result: z.object({ peer: z.string(), from: z.string() }) });

const [clock, log] = [systemClock, silentLog()];
const trackerHello: HelloInfo = { protocol: { min: 1, max: 1 }, software: 'test', role: 'tracker', account: null };

let cleanup: AsyncDisposable[];
let authority: Authority;
let node: Identity;
let account: Key;

const helloOf = (identity: Identity): HelloInfo => ({
  protocol: { min: 1, max: 1 },
  software: 'test',
  role: 'node',
  account: bind(account, 'alice@lab', identity.id, clock.now()),
});

beforeEach(async () => {
  cleanup = [];
  authority = await Authority.create();
  [node, account] = [await createIdentity(), Key.generate()];
});

afterEach(async () => {
  for (const thing of cleanup.reverse()) await thing[Symbol.asyncDispose]();
});

/** A tracker with its proxy before it; the proxy's certificate is for 127.0.0.1. */
async function trackerBehind(
  options: { urls?: (at: string) => string[]; head?: string; proxies?: TrustedProxies; guard?: Guard } = {},
): Promise<{ key: Key; listener: ProxiedListener; proxy: Relay; at: string }> {
  const key = Key.generate();
  const router = new Router().handle(who, (_params, { link }) => ({ peer: link.peer, from: link.address }));
  const make = (port: number, urls: string[]): ProxiedListener =>
    new ProxiedListener({
      host: '127.0.0.1',
      port,
      publicUrls: urls,
      proxies: options.proxies ?? new TrustedProxies(),
      key,
      router,
      self: () => trackerHello,
      clock,
      log,
      guard: options.guard,
    });
  const probe = make(0, []);
  await probe.start();
  const { port } = probe;
  await probe[Symbol.asyncDispose]();
  const proxy = await Relay.to(port, {
    tls: await authority.sign('127.0.0.1'),
    head: options.head ?? 'X-Forwarded-For: 192.0.2.9',
  });
  cleanup.push(proxy);
  const at = `wss://127.0.0.1:${proxy.port}`;
  const listener = make(port, options.urls?.(at) ?? [at]);
  await listener.start();
  cleanup.push(listener);
  return { key, listener, proxy, at };
}

const dialTo = (
  at: string,
  expect: string,
  { as = node, ca = authority.cert, sessions }: { sessions?: Sessions; ca?: string; as?: Identity } = {},
): Promise<Link> =>
  dialProxiedLink({
    address: at,
    expect,
    identity: as,
    ca,
    router: new Router(),
    self: () => helloOf(as),
    clock,
    log,
    sessions,
  });

test('node and tracker prove their keys through a proxy that ends TLS [L-40] [L-41] [L-42] [L-43]', async () => {
  const { key, at } = await trackerBehind();
  const link = await dialTo(at, key.id);
  expect(link).toMatchObject({ peer: key.id, open: true });
  const said = await link.request(who, {});
  expect(said.peer).toBe(node.id);
  expect(said.from).toMatch(/^192\.0\.2\.9:\d+$/);
  link.close();
});

test('a tracker with another key than the pinned one is refused before anything is said [L-42]', async () => {
  const { at, listener } = await trackerBehind();
  await expect(dialTo(at, Key.generate().id)).rejects.toMatchObject({ code: 'wrong_key' });
  expect([...listener.links].some((link) => link.open)).toBe(false);
});

test('a proxy whose certificate no known authority signed is refused', async () => {
  const { key, at } = await trackerBehind();
  const stranger = await Authority.create('another');
  await expect(dialTo(at, key.id, { ca: stranger.cert })).rejects.toMatchObject({ code: 'wrong_key' });
});

/** Says hello by hand, on the port behind the proxy; gives how the tracker ends it, or what it answers. */
async function byHand(
  port: number,
  headers: Record<string, string>,
  hello: (answer: { trackerNonce: string; proof: string }) => object,
): Promise<{ refused: unknown } | { closed: number } | { answered: unknown }> {
  const ws = new WebSocket(`ws://127.0.0.1:${port}/link`, 'netapp.1', { headers });
  return await new Promise((resolve, reject) => {
    let answer: ReturnType<typeof readAnswer>;
    ws.on('upgrade', (response) => (answer = readAnswer(response.headers)));
    ws.on('unexpected-response', (_request, response) => {
      resolve({ refused: response.headers['x-netapp-fault'] });
      ws.terminate();
    });
    ws.on('open', () => {
      if (!answer) return reject(new Error('no challenge came'));
      ws.send(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'hello', params: hello(answer) }));
    });
    ws.on('message', (data) => {
      resolve({ answered: JSON.parse(data.toString()) });
      ws.terminate();
    });
    ws.on('close', (code) => resolve({ closed: code }));
    ws.on('error', () => {}); // the answer says why
  });
}

test('a missing proof, another key’s, one of another challenge, address or tracker, and a tracker’s own are refused [L-43] [L-44]', async () => {
  const { key, at, listener } = await trackerBehind();
  const nodeNonce = newNonce();
  const headers = { ...askHeaders({ node: node.id, nodeNonce, at }), 'x-forwarded-for': '192.0.2.9' };
  const meant = (trackerNonce: string): Challenge => ({ at, node: node.id, tracker: key.id, nodeNonce, trackerNonce });
  const says = (proofOf: (nonce: string, proof: string) => string | undefined) =>
    byHand(listener.port, headers, ({ trackerNonce, proof }) => ({
      ...helloOf(node),
      proof: proofOf(trackerNonce, proof),
    }));
  const other = Key.generate();
  let used = '';
  const good = await says((nonce) => {
    used = prove(node.key, 'node', meant(nonce));
    return used;
  });
  expect(good).toMatchObject({ answered: { id: 1, result: { role: 'tracker' } } });
  // 4030: unauthenticated, 4034: bad_signature.
  expect(await says(() => undefined)).toEqual({ closed: 4030 });
  expect(await says(() => used)).toEqual({ closed: 4034 }); // replayed
  expect(await says((nonce) => prove(other, 'node', meant(nonce)))).toEqual({ closed: 4034 });
  expect(await says((_nonce, proof) => proof)).toEqual({ closed: 4034 }); // the tracker's, sent back
  expect(await says((nonce) => prove(node.key, 'tracker', meant(nonce)))).toEqual({ closed: 4034 });
  expect(await says((nonce) => prove(node.key, 'node', { ...meant(nonce), tracker: other.id }))).toEqual({
    closed: 4034,
  });
  expect(await says((nonce) => prove(node.key, 'node', { ...meant(nonce), at: 'wss://evil.example:443' }))).toEqual({
    closed: 4034,
  });
  expect(await says((nonce) => prove(node.key, 'node', { ...meant(nonce), nodeNonce: newNonce() }))).toEqual({
    closed: 4034,
  });
});

test('a challenge that a man in the middle takes to another tracker, or to another address, is refused [L-44]', async () => {
  const honest = await trackerBehind();
  // The node dials the liar, and means the liar; the liar has the headers of the node’s request carried to the honest one.
  const toTheLiar = { node: node.id, nodeNonce: newNonce(), at: 'wss://liar.example:443' };
  expect(
    await byHand(honest.listener.port, { ...askHeaders(toTheLiar), 'x-forwarded-for': '192.0.2.9' }, () =>
      expect.fail('it was let in'),
    ),
  ).toEqual({ refused: 'forbidden' });
  // It rewrites the address: then what the node signs, which names the liar’s address and key, does not fit.
  const liar = Key.generate();
  const said = await byHand(
    honest.listener.port,
    { ...askHeaders({ ...toTheLiar, at: honest.at }), 'x-forwarded-for': '192.0.2.9' },
    ({ trackerNonce }) => ({
      ...helloOf(node),
      proof: prove(node.key, 'node', { ...toTheLiar, tracker: liar.id, trackerNonce }),
    }),
  );
  expect(said).toEqual({ closed: 4034 });
  // The other way round: the honest tracker’s answer does not prove it to a node that dialled another address.
  const answer = readAnswer(
    Object.fromEntries(answerHeaders(newNonce(), 'x'.repeat(86)).map((line) => line.split(': '))),
  );
  expect(answer).toBeDefined();
  const challenge: Challenge = { ...toTheLiar, at: honest.at, tracker: honest.key.id, trackerNonce: newNonce() };
  const proof = prove(honest.key, 'tracker', challenge);
  expect(isProved('tracker', challenge, proof)).toBe(true);
  expect(isProved('tracker', { ...challenge, at: toTheLiar.at }, proof)).toBe(false);
});

test('no challenge, and a link for an address that is not the tracker’s, are refused with a code [L-41] [L-44]', async () => {
  const { listener } = await trackerBehind({ urls: () => ['wss://tracker.example/netapp/'] });
  const from = { 'x-forwarded-for': '192.0.2.9' };
  const never = () => expect.fail('it was let in');
  expect(await byHand(listener.port, from, never)).toEqual({ refused: 'unauthenticated' });
  const ask = { node: node.id, nodeNonce: newNonce() };
  const at = (text: string) => byHand(listener.port, { ...from, ...askHeaders({ ...ask, at: text }) }, () => ({}));
  expect(await at('wss://tracker.example:443/other')).toEqual({ refused: 'forbidden' });
  expect(await at('wss://tracker.example:443/netapp')).toEqual({ closed: 4060 }); // let in, and then said no hello
});

test('a proof on a link whose keys TLS has proved is malformed [L-43]', async () => {
  const server = await createIdentity();
  const listener = new Listener({
    host: '127.0.0.1',
    port: 0,
    identity: server,
    router: new Router(),
    self: () => trackerHello,
    clock,
    log,
    onLink: () => expect.fail('it was greeted'),
  });
  await listener.start();
  cleanup.push(listener);
  const at = `wss://127.0.0.1:${listener.port}`;
  const challenge = { at, node: node.id, tracker: server.id, nodeNonce: newNonce(), trackerNonce: newNonce() };
  const dialled = dialLink({
    address: `127.0.0.1:${listener.port}`,
    expect: server.id,
    identity: node,
    router: new Router(),
    self: () => ({ ...helloOf(node), proof: prove(node.key, 'node', challenge) }),
    clock,
    log,
  });
  await expect(dialled).rejects.toMatchObject({ code: 'malformed' });
});

test('a session with the proxy is resumed, and both keys are proved all the same [L-6]', async () => {
  const { key, at, proxy } = await trackerBehind();
  const sessions = new Sessions();
  const first = await dialTo(at, key.id, { sessions });
  await first.request(who, {});
  first.close();
  await first.closed;
  expect(sessions.get(key.id, at)).toBeDefined();
  const again = await dialTo(at, key.id, { sessions });
  expect(await again.request(who, {})).toMatchObject({ peer: node.id });
  expect(proxy.taken).toBe(2);
  again.close();
});

const plain = (port: number, headers: Record<string, string>, path = '/'): Promise<string | number> =>
  new Promise((resolve) => {
    const asking = request({ host: '127.0.0.1', port, path, headers }, (response) => {
      response.resume();
      resolve(String(response.headers['x-netapp-fault'] ?? response.statusCode));
    });
    asking.on('error', () => resolve('cut'));
    asking.end();
  });

test('who is no trusted proxy is cut off, and a proxy that does not say for whom it asks is refused [L-45]', async () => {
  const { listener, at } = await trackerBehind({ proxies: new TrustedProxies(['192.0.2.1']) });
  expect(await plain(listener.port, { 'x-forwarded-for': '192.0.2.9' })).toBe('cut');
  const trusting = await trackerBehind();
  expect(await plain(trusting.listener.port, {}, '/nothing')).toBe('unknown_operation');
  const ask = askHeaders({ node: node.id, nodeNonce: newNonce(), at: trusting.at });
  expect(await byHand(trusting.listener.port, ask, () => ({}))).toEqual({ refused: 'invalid_argument' });
  expect(at).toMatch(/^wss:/);
});

test('what is counted is the client’s own address, and a key only once it is proved [A-40] [A-42]', async () => {
  const guard = new Guard({ limits: { connectionsPerAddress: 2, linksPerKey: 1 }, clock });
  const { key, at, listener } = await trackerBehind({ guard });
  const first = await dialTo(at, key.id);
  expect(await first.request(who, {})).toMatchObject({ peer: node.id });
  // Somebody who claims the key without having it takes none of its places, only one of their own address.
  const ask = askHeaders({ node: node.id, nodeNonce: newNonce(), at });
  const claims = { ...ask, 'x-forwarded-for': '198.51.100.1' };
  expect(await byHand(listener.port, claims, () => helloOf(node))).toEqual({ closed: 4030 });
  const second = await dialTo(at, key.id);
  expect(await second.closed).toMatchObject({ code: 'too_many' }); // the key has one link already
  const [own, other] = [await createIdentity(), await createIdentity()];
  const third = await dialTo(at, key.id, { as: own });
  await expect(dialTo(at, key.id, { as: other })).rejects.toMatchObject({
    code: 'too_many',
    data: { retryAfterMs: 60_000 },
  });
  third.close();
  first.close();
});

test('a tracker that is about to stop takes no new links through its proxy either [A-30]', async () => {
  const { key, at, listener } = await trackerBehind();
  const link = await dialTo(at, key.id);
  listener.refuseLinks(new Fault('tracker_down', 'about to stop', { data: { retryAfterMs: 5000 } }));
  await expect(dialTo(at, key.id)).rejects.toMatchObject({ code: 'tracker_down', data: { retryAfterMs: 5000 } });
  expect(await link.request(who, {})).toMatchObject({ peer: node.id });
  link.close();
});

test('the bytes that are signed are those of the vectors [L-42]', () => {
  expect(vectors.proofs).toHaveLength(2);
  for (const { by, challenge, signed, sig, id } of vectors.proofs) {
    const side = z.enum(['node', 'tracker']).parse(by);
    expect(`netapp.1 proof\n${canonical({ ...challenge, by })}`).toBe(signed);
    expect(challenge[side]).toBe(id);
    expect(isProved(side, challenge, sig)).toBe(true);
    expect(verified(id, 'binding', { ...challenge, by }, sig)).toBe(false); // not for another purpose
    expect(isProved(side === 'node' ? 'tracker' : 'node', challenge, sig)).toBe(false);
  }
});
