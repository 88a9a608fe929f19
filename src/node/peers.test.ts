import { type Duplex, duplexPair } from 'node:stream';
import { afterEach, expect, test } from 'vitest';
import { z } from 'zod';
import { systemClock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { silentLog } from '../base/log.ts';
import { bind } from '../link/binding.ts';
import { createIdentity } from '../link/certificate.ts';
import { type HelloInfo, PROTOCOL } from '../link/hello.ts';
import { Key } from '../link/identity.ts';
import type { Link } from '../link/link.ts';
import { Listener } from '../link/listen.ts';
import { method } from '../link/message.ts';
import { Router } from '../link/router.ts';
import { originOf } from '../link/rung.ts';
import { Sessions } from '../link/sessions.ts';
import type { AscentPace } from '../reach/ascents.ts';
import type { Way } from '../reach/ladder.ts';
import { Peers } from './peers.ts';

const who = method('test.who', { params: z.null(), result: z.string() });
const count = method('test.count', { params: z.int(), result: z.null() });

class Side implements AsyncDisposable {
  readonly account = Key.generate();
  readonly ups: Link[] = [];
  located = 0;
  readonly node: string;
  readonly peers: Peers;
  readonly listener: Listener;
  readonly counted: number[] = [];
  /** Rungs of the links that came up, each with that of the one whose place it took. */
  readonly rungs: [string, string | undefined][] = [];
  /** Where the directory says that it is; else where it listens. */
  addresses: readonly string[] | undefined;
  detours: () => Way<Duplex>[] = () => [];

  constructor(
    identity: Awaited<ReturnType<typeof createIdentity>>,
    others: Map<string, Side>,
    pace?: Partial<AscentPace>,
    quiet?: { afterMs: number; patienceMs: number },
  ) {
    this.node = identity.id;
    const router = new Router()
      .handle(who, () => this.account.id)
      .handle(count, (n) => {
        this.counted.push(n);
        return null;
      });
    const self = (): HelloInfo => ({
      protocol: PROTOCOL,
      software: 'test',
      role: 'node',
      account: bind(this.account, 'x@lab', identity.id, Date.now()),
    });
    const common = { identity, router, self, clock: systemClock, log: silentLog() };
    this.listener = new Listener({ ...common, host: '127.0.0.1', port: 0, onLink: (link) => this.peers.take(link) });
    this.peers = new Peers({
      ...common,
      sessions: new Sessions(),
      locate: async (account) => {
        this.located += 1;
        const side = others.get(account);
        if (!side) throw new Fault('unknown_handle', `finding "${account}": nobody`);
        return { node: side.node, addresses: side.addresses ?? [side.address] };
      },
      detours: () => this.detours(),
      pace,
      quiet,
      onUp: (link, _account, before) => {
        this.ups.push(link);
        this.rungs.push([link.rung, before?.rung]);
      },
      onDown: () => {},
    });
    others.set(this.account.id, this);
  }

  get address(): string {
    return `127.0.0.1:${this.listener.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.peers[Symbol.asyncDispose]();
    await this.listener[Symbol.asyncDispose]();
  }
}

const sides: Side[] = [];
afterEach(async () => {
  for (const side of sides.splice(0)) await side[Symbol.asyncDispose]();
});

async function two(): Promise<[Side, Side]> {
  const others = new Map<string, Side>();
  const [a, b] = [new Side(await createIdentity(), others), new Side(await createIdentity(), others)];
  sides.push(a, b);
  await Promise.all([a.listener.start(), b.listener.start()]);
  return [a, b];
}

test('many who want one account share one dial, and the link is reused', async () => {
  const [a, b] = await two();
  const links = await Promise.all(Array.from({ length: 20 }, () => a.peers.reach(b.account.id)));
  expect(new Set(links).size).toBe(1);
  expect(await a.peers.reach(b.account.id)).toBe(links[0]);
  expect(a.located).toBe(1);
  expect(await links[0]?.request(who, null)).toBe(b.account.id);
});

test('two nodes that dial each other at once agree on the link that the lower id dialled [L-30]', async () => {
  for (let round = 0; round < 5; round++) {
    const [a, b] = await two();
    await Promise.all([a.peers.reach(b.account.id), b.peers.reach(a.account.id)]);
    const [low, high] = a.node < b.node ? [a, b] : [b, a];
    await expect.poll(() => high.peers.links.get(low.account.id)?.dialled).toBe(false);
    await expect.poll(() => low.peers.links.get(high.account.id)?.dialled).toBe(true);
    expect(await (await a.peers.reach(b.account.id)).request(who, null)).toBe(b.account.id);
    expect(await (await b.peers.reach(a.account.id)).request(who, null)).toBe(a.account.id);
  }
});

test('where a key was proved before, a connection for bytes goes on from that session; to another key it does not [L-6]', async () => {
  const [a, b] = await two();
  const link = await a.peers.reach(b.account.id);
  await link.request(who, null); // what the other side gives to go on from has come before its answer
  const bulk = await a.peers.bulk(b.account.id);
  expect(bulk.isSessionReused()).toBe(true);
  bulk.destroy();

  const [at, { port }] = [b.address, b.listener];
  b.addresses = [at];
  await b[Symbol.asyncDispose]();
  const stranger = new Listener({
    identity: await createIdentity(),
    router: new Router(),
    self: () => ({ protocol: PROTOCOL, software: 'test', role: 'node', account: null }),
    clock: systemClock,
    log: silentLog(),
    host: '127.0.0.1',
    port,
    onLink: (link) => link.close(),
  });
  await using _stranger = stranger;
  await stranger.start();
  await expect(a.peers.bulk(b.account.id)).rejects.toThrow('expected the key');
});

test('one who gives up waiting does not end the dial for the others', async () => {
  const [a, b] = await two();
  const controller = new AbortController();
  const given = a.peers.reach(b.account.id, { signal: controller.signal });
  const kept = a.peers.reach(b.account.id);
  controller.abort();
  await expect(given).rejects.toMatchObject({ code: 'cancelled' });
  expect((await kept).open).toBe(true);
});

test('a link that ended is dialled anew', async () => {
  const [a, b] = await two();
  const first = await a.peers.reach(b.account.id);
  first.close();
  await first.closed;
  const second = await a.peers.reach(b.account.id);
  expect([second === first, second.open]).toEqual([false, true]);
});

test('nobody to find is the directory’s fault, and a tracker is not somebody’s node', async () => {
  const [a, b] = await two();
  await expect(a.peers.reach(Key.generate().id)).rejects.toMatchObject({ code: 'unknown_handle' });
  expect((await a.peers.connect(b.address, b.node)).account?.account).toBe(b.account.id);
  await expect(a.peers.connect(b.address, Key.generate().id)).rejects.toMatchObject({ code: 'wrong_key' });
});

/** A connection to a listener's port that passes through this process, as a relay would. */
function relayed(other: Side): Way<Duplex> {
  return {
    rung: 'relay',
    label: 'relay by lab',
    attempt: async () => {
      const [near, far] = duplexPair();
      near.once('close', () => far.destroy());
      far.once('close', () => near.destroy());
      other.listener.take(far, { address: 'relay by lab', rung: 'relay' });
      return near;
    },
  };
}

const soon = { firstMs: 30, mostMs: 60, leastMs: 10 };

test('a link by relay gives way to a nearer one that opens later; nothing that was said is lost or said twice [N-71] [N-77]', async () => {
  const others = new Map<string, Side>();
  const [a, b] = [new Side(await createIdentity(), others, soon), new Side(await createIdentity(), others, soon)];
  sides.push(a, b);
  await Promise.all([a.listener.start(), b.listener.start()]);
  // Nothing answers at their addresses, until something does.
  const nowhere = ['192.0.2.1:9'];
  [a.addresses, b.addresses] = [nowhere, nowhere];
  a.detours = () => [relayed(b)];
  b.detours = () => [relayed(a)];
  const far = await a.peers.reach(b.account.id);
  expect([far.rung, far.address]).toEqual(['relay', 'relay by lab']);
  let said = 0;
  let stop = false;
  const talking = Promise.all(
    [a, b].map(async (side) => {
      const to = side === a ? b : a;
      while (!stop) {
        const n = ++said;
        await (await side.peers.reach(to.account.id)).request(count, n);
      }
    }),
  );
  await expect.poll(() => said).toBeGreaterThan(20);
  b.addresses = [b.address];
  a.peers.heard(b.account.id, b.addresses);
  await expect.poll(() => a.peers.links.get(b.account.id)?.rung).toBe('local');
  await expect.poll(() => b.peers.links.get(a.account.id)?.rung).toBe('local');
  const before = said;
  await expect.poll(() => said).toBeGreaterThan(before + 20);
  stop = true;
  await talking;
  const heard = [...a.counted, ...b.counted].sort((x, y) => x - y);
  expect(heard).toEqual(Array.from({ length: said }, (_, n) => n + 1));
  expect([far.retiring, far.open]).toEqual([true, true]); // until what is under way is over
  expect(a.rungs).toEqual([
    ['relay', undefined],
    ['local', 'relay'],
  ]);
  expect(b.rungs).toEqual(a.rungs);
});

test('a link says why nearer ways are not used [N-79]', async () => {
  const [a, b] = await two();
  const gone = '127.0.0.1:1';
  b.addresses = [gone];
  a.detours = () => [relayed(b)];
  const link = await a.peers.reach(b.account.id);
  expect(a.peers.missed(link)?.failures).toEqual([
    { rung: 'local', label: gone, reason: expect.stringContaining('nobody answers') },
  ]);
});

test('a bulk connection that came about by a farther way than the link is told of a nearer one [N-78]', async () => {
  const others = new Map<string, Side>();
  const [a, b] = [new Side(await createIdentity(), others, soon), new Side(await createIdentity(), others, soon)];
  sides.push(a, b);
  await Promise.all([a.listener.start(), b.listener.start()]);
  b.addresses = [];
  a.detours = () => [relayed(b)];
  await a.peers.reach(b.account.id);
  const told = Promise.withResolvers<void>();
  const bulk = await a.peers.bulk(b.account.id, { onBetter: told.resolve });
  await expect(a.peers.bulk(b.account.id, { than: 'relay' })).rejects.toMatchObject({ code: 'peer_unreachable' });
  b.addresses = [b.address];
  a.peers.heard(b.account.id, b.addresses);
  await told.promise;
  const nearer = await a.peers.bulk(b.account.id, { than: 'relay' });
  expect(originOf(nearer).rung).toBe('local');
  for (const socket of [bulk, nearer]) socket.destroy();
});

test('a link that died in silence is looked for again, and one from an address that is gone is dialled anew [N-75] [N-76]', async () => {
  const [a, b] = await two();
  const first = await a.peers.reach(b.account.id);
  a.peers.moved(() => false);
  await expect.poll(() => a.peers.links.get(b.account.id) !== first).toBe(true);
  await expect.poll(() => b.peers.links.get(a.account.id)?.open).toBe(true);
  const second = await a.peers.reach(b.account.id);
  expect([second.open, first.retiring, second.way]).toEqual([true, true, { rung: 'local', instead: true }]);
  second.close(new Fault('timeout', 'the other side gives no sign of life'));
  await second.closed;
  await expect.poll(() => a.peers.links.get(b.account.id)?.open).toBe(true);
});

test('a connection on which nothing comes has its link asked for a sign of life, and is ended with it [N-76]', async () => {
  const others = new Map<string, Side>();
  const quiet = { afterMs: 50, patienceMs: 100 };
  const [a, b] = [new Side(await createIdentity(), others, soon, quiet), new Side(await createIdentity(), others)];
  sides.push(a, b);
  await b.listener.start();
  b.addresses = [];
  // A router in between that forgets: what is sent is taken, and nothing arrives.
  let isForgotten = false;
  const attempt = async (): Promise<Duplex> => {
    const [[near, here], [far, there]] = [duplexPair(), duplexPair()];
    here.on('data', (bytes) => isForgotten || there.write(bytes));
    there.on('data', (bytes) => isForgotten || here.write(bytes));
    for (const end of [near, here, far, there]) end.on('error', () => {});
    b.listener.take(far, { address: 'relay by lab', rung: 'relay' });
    return near;
  };
  a.detours = () => [{ rung: 'relay', label: 'relay by lab', attempt }];
  const link = await a.peers.reach(b.account.id);
  const bulk = await a.peers.bulk(b.account.id);
  await new Promise((done) => setTimeout(done, 4 * quiet.afterMs));
  expect([link.open, bulk.destroyed]).toEqual([true, false]); // quiet, but there
  isForgotten = true;
  await expect.poll(() => bulk.destroyed, { timeout: 10_000 }).toBe(true);
  expect(link.open).toBe(false);
});
