import { afterEach, expect, test } from 'vitest';
import { z } from 'zod';
import { systemClock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { silentLog } from '../base/log.ts';
import { bind } from './binding.ts';
import { createIdentity, type Identity } from './certificate.ts';
import { dial, dialLink } from './dial.ts';
import type { HelloInfo } from './hello.ts';
import { Key } from './identity.ts';
import { Link, type MessageStream } from './link.ts';
import { Listener } from './listen.ts';
import { method, notice } from './message.ts';
import { pair } from './pair.ts';
import { needsAccount, Router } from './router.ts';

const echo = method('test.echo', { params: z.object({ text: z.string() }), result: z.object({ text: z.string() }) });
const hang = method('test.hang', { params: z.null(), result: z.null(), timeoutMs: 30 });
const secret = method('test.secret', { params: z.null(), result: z.null() });
const small = method('test.small', { params: z.object({ text: z.string() }), result: z.null(), maxBytes: 200 });
const poke = notice('test.poke', { params: z.object({ n: z.number() }) });
const later = notice('test.invented-later', { params: z.null() });

const helloOf = (over: Partial<HelloInfo> = {}): HelloInfo => ({
  protocol: { min: 1, max: 1 },
  software: 'test',
  role: 'node',
  account: null,
  ...over,
});

function table(): { router: Router; pokes: number[]; aborted: Promise<void> } {
  const pokes: number[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const router = new Router()
    .handle(echo, ({ text }) => ({ text }))
    .handle(
      hang,
      (_params, { signal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            resolve();
            reject(new Fault('cancelled', 'stopped'));
          });
        }),
    )
    .handle(secret, () => null, { needs: needsAccount })
    .handle(small, () => null)
    .on(poke, ({ n }) => void pokes.push(n));
  return { router, pokes, aborted: promise };
}

const cleanup: AsyncDisposable[] = [];
afterEach(async () => {
  for (const thing of cleanup.splice(0)) await thing[Symbol.asyncDispose]();
});

type Side = { identity: Identity; listener: Listener; links: Link[]; address: string; router: Router };

async function listening(over: Partial<HelloInfo> = {}): Promise<Side & ReturnType<typeof table>> {
  const identity = await createIdentity();
  const rows = table();
  const links: Link[] = [];
  const listener = new Listener({
    host: '127.0.0.1',
    port: 0,
    identity,
    router: rows.router,
    self: () => helloOf(over),
    clock: systemClock,
    log: silentLog(),
    onLink: (link) => links.push(link),
  });
  await listener.start();
  cleanup.push(listener);
  return { identity, listener, links, address: `127.0.0.1:${listener.port}`, ...rows };
}

async function call(side: Side, over: { expect?: string; self?: HelloInfo; identity?: Identity } = {}): Promise<Link> {
  return dialLink({
    address: side.address,
    expect: over.expect ?? side.identity.id,
    identity: over.identity ?? (await createIdentity()),
    router: table().router,
    self: () => over.self ?? helloOf(),
    clock: systemClock,
    log: silentLog(),
  });
}

const both: [string, () => Promise<{ link: Link; far: () => Link; pokes: number[]; aborted: Promise<void> }>][] = [
  [
    'in memory',
    async () => {
      const [a, b] = [table(), table()];
      const ids = [Key.generate().id, Key.generate().id] as const;
      const [link, far] = await pair(
        { router: a.router, self: helloOf(), id: ids[0] },
        { router: b.router, self: helloOf(), id: ids[1] },
      );
      return { link, far: () => far, pokes: b.pokes, aborted: b.aborted };
    },
  ],
  [
    'over TLS',
    async () => {
      const side = await listening();
      const link = await call(side);
      const far = (): Link => side.links[0] ?? expect.fail('no link arrived');
      return { link, far, pokes: side.pokes, aborted: side.aborted };
    },
  ],
];

for (const [name, make] of both) {
  test(`${name}: a request is answered, in both directions, and notices keep their order`, async () => {
    const { link, far, pokes } = await make();
    expect(await link.request(echo, { text: 'héllo \u2028' })).toEqual({ text: 'héllo \u2028' });
    for (let n = 0; n < 500; n++) link.notify(poke, { n });
    expect(await link.request(echo, { text: 'after' })).toEqual({ text: 'after' });
    expect(pokes).toEqual(Array.from({ length: 500 }, (_, n) => n));
    expect(await far().request(echo, { text: 'back' })).toEqual({ text: 'back' });
    link.close();
  });

  test(`${name}: a request that takes too long is given up, and the other side stops working on it [L-23]`, async () => {
    const { link, aborted } = await make();
    await expect(link.request(hang, null)).rejects.toMatchObject({ code: 'timeout' });
    await aborted;
    link.close();
  });

  test(`${name}: refusals are coded and leave the link open [L-21]`, async () => {
    const { link } = await make();
    await expect(link.request(secret, null)).rejects.toMatchObject({ code: 'unauthenticated' });
    await expect(link.request(small, { text: 'x'.repeat(300) })).rejects.toMatchObject({ code: 'too_large' });
    const unknown = method('test.unknown', { params: z.null(), result: z.null() });
    await expect(link.request(unknown, null)).rejects.toMatchObject({ code: 'unknown_operation' });
    const wrong = method('test.echo', { params: z.object({ text: z.number() }), result: z.null() });
    await expect(link.request(wrong, { text: 1 })).rejects.toMatchObject({ code: 'invalid_argument' });
    link.notify(later, null);
    expect(await link.request(echo, { text: 'still here' })).toEqual({ text: 'still here' });
    link.close();
  });

  test(`${name}: a known notice of the wrong shape closes the link with a reason [L-24]`, async () => {
    const { link, far } = await make();
    const request = link.request(hang, null, { timeoutMs: 5000 });
    link.notify(notice('test.poke', { params: z.object({ n: z.string() }) }), { n: 'one' });
    await expect(request).rejects.toMatchObject({ code: 'link_closed' });
    expect(await link.closed).toMatchObject({ code: 'invalid_argument', reason: expect.stringContaining('params.n') });
    expect(await far().closed).toMatchObject({ code: 'invalid_argument' });
  });

  test(`${name}: a goodbye ends both sides`, async () => {
    const { link, far } = await make();
    await link.request(echo, { text: 'x' });
    const other = far();
    link.close();
    expect(await other.closed).toMatchObject({ code: 'normal' });
    await expect(other.request(echo, { text: 'x' })).rejects.toMatchObject({ code: 'link_closed' });
  });
}

test('a side with another key than expected is refused before a byte of data [L-2]', async () => {
  const side = await listening();
  await expect(call(side, { expect: Key.generate().id })).rejects.toMatchObject({ code: 'wrong_key' });
  expect(side.links).toHaveLength(0);
});

test('nobody there is peer_unreachable', async () => {
  const identity = await createIdentity();
  await expect(dial({ address: '127.0.0.1:1', expect: identity.id, identity })).rejects.toMatchObject({
    code: 'peer_unreachable',
  });
});

test('another protocol version is refused with its code [L-10]', async () => {
  const side = await listening({ protocol: { min: 2, max: 3 } });
  await expect(call(side)).rejects.toMatchObject({ code: 'unsupported_version' });
});

test('an account is believed only if its key vouches for the node [L-12]', async () => {
  const side = await listening();
  const [account, identity] = [Key.generate(), await createIdentity()];
  const good = bind(account, 'alice@lab', identity.id, Date.now());
  const link = await call(side, { identity, self: helloOf({ account: good }) });
  await link.request(secret, null);
  expect(side.links[0]?.account?.account).toBe(account.id);
  link.close();
  const stolen = call(side, { self: helloOf({ account: good }) });
  await expect(stolen).rejects.toMatchObject({ code: 'bad_signature' });
  const forged = { ...good, handle: 'mallory@lab' };
  await expect(call(side, { identity, self: helloOf({ account: forged }) })).rejects.toMatchObject({
    code: 'bad_signature',
  });
  const old = bind(account, 'alice@lab', identity.id, 0);
  await expect(call(side, { identity, self: helloOf({ account: old }) })).rejects.toMatchObject({
    code: 'bad_signature',
  });
});

test('a port in use is port_taken, and says what to do', async () => {
  const side = await listening();
  const second = new Listener({
    host: '127.0.0.1',
    port: side.listener.port,
    identity: side.identity,
    router: new Router(),
    self: () => helloOf(),
    clock: systemClock,
    log: silentLog(),
    onLink: () => {},
  });
  await expect(second.start()).rejects.toMatchObject({
    code: 'port_taken',
    message: expect.stringContaining('--port'),
  });
});

test('the side that was called may speak as soon as it has answered hello', async () => {
  const answers: Promise<unknown>[] = [];
  const identity = await createIdentity();
  const listener = new Listener({
    host: '127.0.0.1',
    port: 0,
    identity,
    router: new Router(),
    self: () => helloOf(),
    clock: systemClock,
    log: silentLog(),
    onLink: (link) => answers.push(link.request(echo, { text: 'at once' })),
  });
  await listener.start();
  cleanup.push(listener);
  const side = { identity, listener, links: [], address: `127.0.0.1:${listener.port}`, router: new Router() };
  for (let n = 0; n < 20; n++) (await call(side)).request(echo, { text: 'x' }).catch(() => {}); // the far side has no table
  expect(await Promise.all(answers)).toEqual(Array.from({ length: 20 }, () => ({ text: 'at once' })));
});

/** A stream whose other end has vanished: it takes everything and says nothing. */
class DeadStream implements MessageStream {
  readonly address = 'nowhere';
  readonly rung = 'local';
  readonly bufferedBytes = 0;
  readonly sentBytes = 0;
  readonly closes: number[] = [];
  pings = 0;
  #close: ((code: number, reason: string) => void) | undefined;
  start(on: Parameters<MessageStream['start']>[0]): void {
    this.#close = (code, reason) => on.close(code, reason);
    on.frame(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'hello', params: helloOf() }));
  }
  share(): void {}
  send(): void {}
  ping(): void {
    this.pings += 1;
  }
  pause(): void {}
  resume(): void {}
  close(code: number): void {
    this.closes.push(code);
    this.#close?.(code, '');
  }
  cut(): void {
    this.#close?.(1006, '');
  }
}

test('a link that hears nothing asks for a sign of life, and ends as timeout when none comes [L-28]', async () => {
  const stream = new DeadStream();
  const link = new Link({
    stream,
    router: new Router(),
    self: helloOf(),
    peer: Key.generate().id,
    dialled: false,
    clock: systemClock,
    log: silentLog(),
    keepAliveMs: 10,
  });
  await link.start();
  expect(await link.closed).toMatchObject({ code: 'timeout' });
  expect(stream.pings).toBeGreaterThan(0);
  expect(stream.closes).toEqual([4043]);
});

test('a link that is asked for a sign of life now ends where none comes, and stands where one does [N-76]', async () => {
  const common = { router: new Router(), self: helloOf(), clock: systemClock, log: silentLog() };
  const dead = new Link({ ...common, stream: new DeadStream(), peer: Key.generate().id, dialled: false });
  await dead.start();
  expect(await dead.probe(20)).toBe(false);
  expect(await dead.closed).toMatchObject({ code: 'timeout' });
  const side = await listening();
  const link = await call(side);
  expect(await link.probe(10_000)).toBe(true);
  expect(link.localIp).toBe('127.0.0.1');
});

test('both sides see the rung that the dialling one says, and whether it dials instead of another link [N-72]', async () => {
  const side = await listening();
  const common = { address: side.address, expect: side.identity.id, router: new Router(), self: () => helloOf() };
  const dialling = { ...common, identity: await createIdentity(), clock: systemClock, log: silentLog() };
  const link = await dialLink({ ...dialling, instead: () => true });
  const plain = await dialLink(dialling);
  expect([link.way, plain.way]).toEqual([{ rung: 'local', instead: true }, undefined]);
  await expect.poll(() => side.links.map(({ way }) => way)).toEqual([link.way, undefined]);
});

test('whoever is refused sees a cut before hello is answered, and the dialler counts it as nobody there [D-60]', async () => {
  const identity = await createIdentity();
  const refused: string[] = [];
  const listener = new Listener({
    host: '127.0.0.1',
    port: 0,
    identity,
    router: new Router(),
    self: () => helloOf(),
    clock: systemClock,
    log: silentLog(),
    refuses: ({ software }) => refused.push(software) > 0,
    onLink: () => expect.fail('a refused link came up'),
  });
  await listener.start();
  cleanup.push(listener);
  const dialled = dialLink({
    address: `127.0.0.1:${listener.port}`,
    expect: identity.id,
    identity: await createIdentity(),
    router: new Router(),
    self: () => helloOf(),
    clock: systemClock,
    log: silentLog(),
  });
  await expect(dialled).rejects.toMatchObject({
    code: 'peer_unreachable',
    message: expect.stringContaining('nobody answers'),
  });
  expect(refused).toEqual([helloOf().software]);
});
