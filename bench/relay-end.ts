/** One of two nodes between which bytes are passed on, with as little of a node as that takes. */
import type { Duplex } from 'node:stream';
import { systemClock } from '../src/base/clock.ts';
import { silentLog } from '../src/base/log.ts';
import { announce } from '../src/directory/messages.ts';
import { signRecord } from '../src/directory/record.ts';
import { bind } from '../src/link/binding.ts';
import { createIdentity, type Identity } from '../src/link/certificate.ts';
import { dial, dialLink } from '../src/link/dial.ts';
import { Key } from '../src/link/identity.ts';
import type { Link } from '../src/link/link.ts';
import { Router } from '../src/link/router.ts';
import { come } from '../src/reach/relay.ts';
import { type Meeting, meeting, relay } from '../src/reach/relay-wire.ts';
import { Signals } from '../src/reach/signals.ts';
import { answer } from './child.ts';
import type { Target } from './raw-link.ts';

/** Milliseconds after which a tracker is told again that somebody is there. */
const RENEW_MS = 20_000;
/** Meetings under way at once. */
const AT_ONCE = 8;
const BLOCK = Buffer.alloc(64 * 1024, 7);

type Someone = { account: string; node: string };
type End = Someone & { identity: Identity; link: Link };

let tracker: Target;
const ends: End[] = [];
const streams: Duplex[] = [];

async function meet(identity: Identity, at: Meeting): Promise<void> {
  const stream = await come({ identity, expect: tracker.peer, addresses: [tracker.address], meeting: at });
  stream.on('error', () => {});
  streams.push(stream);
}

/** Somebody who is there, and comes to whatever they are asked to. */
async function arrive(name: string): Promise<End> {
  const [identity, account] = [await createIdentity(), Key.generate()];
  const [handle, seq] = [`${name}@bench`, Date.now()];
  const router = new Router();
  new Signals({ trackersOf: async () => [], isOwnTracker: () => true, hosts: () => true, blocked: () => false })
    .attach(router)
    .answer('relay', meeting, (_from, asked) => {
      void meet(identity, asked);
      return null;
    });
  const link = await dialLink({
    address: tracker.address,
    expect: tracker.peer,
    identity,
    router,
    self: () => ({
      protocol: { min: 1, max: 1 },
      software: 'bench',
      role: 'node',
      account: bind(account, handle, identity.id, seq),
    }),
    clock: systemClock,
    log: silentLog(),
  });
  const say = async (): Promise<unknown> => {
    const [at, status] = [Date.now(), 'online' as const];
    const said = { handle, node: identity.id, addresses: [], status, text: '', seq: at, until: at + 24 * 3600_000 };
    return await link.request(announce, { record: signRecord(account, said) });
  };
  await say();
  setInterval(() => void say().catch(() => {}), RENEW_MS).unref(); // it ends with the tracker
  return { account: account.id, node: identity.id, identity, link };
}

const last = (): Duplex => {
  const stream = streams.at(-1);
  if (stream) return stream;
  throw new Error('nobody was met');
};

answer({
  /** So many who are at the tracker; gives who. */
  start: async (target: Target, name: string, count: number) => {
    tracker = target;
    for (let n = 0; n < count; n++) ends.push(await arrive(`${name}${n}`));
    return ends.map(({ account, node }) => ({ account, node }));
  },
  /** So many connections by the tracker, each from the next one here to the next one there. */
  call: async (there: Someone[], count: number) => {
    let left = count;
    const one = async (): Promise<void> => {
      while (left-- > 0) {
        const [from, to] = [ends[left % ends.length], there[left % there.length]];
        if (from && to) await meet(from.identity, await from.link.request(relay, { to }));
      }
    };
    await Promise.all(Array.from({ length: Math.min(count, AT_ONCE) }, one));
  },
  /** A connection to who joins them as they come. */
  plain: async (target: Target) => {
    const identity = await createIdentity();
    const socket = await dial({ address: target.address, expect: target.peer, identity });
    socket.on('error', () => {});
    streams.push(socket);
  },
  end: () => {
    for (const stream of streams.splice(0)) stream.destroy();
  },
  send: async (bytes: number) => {
    const stream = last();
    for (let left = bytes; left > 0; left -= BLOCK.length) {
      if (!stream.write(BLOCK)) await new Promise((resolve) => stream.once('drain', resolve));
    }
  },
  /** Seconds until so many bytes have come. */
  receive: async (bytes: number) => {
    const [stream, from] = [last(), performance.now()];
    let got = 0;
    await new Promise<void>((resolve, reject) => {
      stream.on('data', (chunk: Buffer) => {
        got += chunk.length;
        if (got >= bytes) resolve();
      });
      stream.once('close', () => reject(new Error(`it ended after ${got} bytes`)));
    });
    return (performance.now() - from) / 1000;
  },
});
