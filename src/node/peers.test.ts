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
import { Peers } from './peers.ts';

const who = method('test.who', { params: z.null(), result: z.string() });

class Side implements AsyncDisposable {
  readonly account = Key.generate();
  readonly ups: Link[] = [];
  located = 0;
  readonly node: string;
  readonly peers: Peers;
  readonly listener: Listener;

  constructor(identity: Awaited<ReturnType<typeof createIdentity>>, others: Map<string, Side>) {
    this.node = identity.id;
    const router = new Router().handle(who, () => this.account.id);
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
      locate: async (account) => {
        this.located += 1;
        const side = others.get(account);
        if (!side) throw new Fault('unknown_handle', `finding "${account}": nobody`);
        return { node: side.node, addresses: [side.address] };
      },
      onUp: (link) => this.ups.push(link),
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
