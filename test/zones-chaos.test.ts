/**
 * Seven zones in three levels, each with two trackers, which are killed and parted at random while people are looked up: whoever
 * can be reached is found in time, nobody wrongly, and what is old says so. NETAPP_CHAOS_SECONDS makes it longer,
 * NETAPP_CHAOS_SEED says which order of events.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '../src/base/clock.ts';
import { Fault } from '../src/base/fault.ts';
import { silentLog } from '../src/base/log.ts';
import { Store } from '../src/base/sqlite.ts';
import { DirectoryClient } from '../src/directory/client.ts';
import { isWithin } from '../src/directory/delegation.ts';
import { type Invite, parseInvite } from '../src/directory/invite.ts';
import { dialZonesWith } from '../src/directory/zone-dial.ts';
import type { DialServer } from '../src/directory/zone-links.ts';
import { showApex } from '../src/directory/zone-messages.ts';
import { bind } from '../src/link/binding.ts';
import { createIdentity } from '../src/link/certificate.ts';
import { dialLink } from '../src/link/dial.ts';
import { type HelloInfo, PROTOCOL } from '../src/link/hello.ts';
import { Key } from '../src/link/identity.ts';
import type { Link } from '../src/link/link.ts';
import { Router } from '../src/link/router.ts';
import { Tracker } from '../src/tracker/tracker.ts';
import { until } from './testnet.ts';

const SECONDS = Number(process.env.NETAPP_CHAOS_SECONDS ?? 8);
const SEED = Number(process.env.NETAPP_CHAOS_SEED ?? 7);
const LOOKUPS_PER_SECOND = 200;
const ZONES = ['r', 'a.r', 'b.r', 'c.a.r', 'd.a.r', 'e.b.r', 'f.b.r'];
/** Milliseconds that others keep what is said here: short, so that there is something to go wrong. */
const TIMES = { answerMs: 200, unknownMs: 200, referralMs: 1000 };
/** Milliseconds that something must have been as it is, before and after a lookup, to count as so. */
const SETTLED_MS = 2500;
/** Milliseconds in which whoever can be reached is found, with room for a machine that does other things too. */
const DEADLINE_MS = 8000;

/** Milliseconds in which this process answers itself where the machine lets it; what happens while it does not says nothing. */
const FIT_MS = 150;
/** Lookups of whom could be reached that a run must have seen, and how many times as long it may take for that. */
const ENOUGH = 200;
const MOST_TIMES = 8;

/** Numbers from a seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What is cut between whom, and since when it is as it is. */
class Cables {
  readonly #cut = new Set<string>();
  readonly #changed = new Map<string, number>();
  readonly #links = new Map<string, Set<Link>>();

  #name = (a: string, b: string): string => [a, b].sort().join(' ');

  set(a: string, b: string, isCut: boolean): void {
    const name = this.#name(a, b);
    if (isCut === this.#cut.has(name)) return;
    this.#changed.set(name, performance.now());
    if (!isCut) return void this.#cut.delete(name);
    this.#cut.add(name);
    for (const link of this.#links.get(name) ?? []) link.close(new Fault('link_closed', 'the cable is cut'));
  }

  /** Since when the two can reach each other, Infinity: not now. */
  since(a: string, b: string): number {
    const name = this.#name(a, b);
    return this.#cut.has(name) ? Number.POSITIVE_INFINITY : (this.#changed.get(name) ?? 0);
  }

  /** Dials through these cables, as `self`: where one is cut, nobody answers. */
  through(self: () => string, dial: DialServer): DialServer {
    return async (address, expected, scope, signal) => {
      const name = this.#name(self(), expected);
      if (this.#cut.has(name)) {
        await new Promise<void>((done) => signal.addEventListener('abort', () => done(), { once: true }));
        throw new Fault('timeout', `dialling "${address}": the cable is cut`);
      }
      const link = await dial(address, expected, scope, signal);
      const links = this.#links.get(name) ?? new Set();
      this.#links.set(name, links.add(link));
      void link.closed.then(() => links.delete(link));
      return link;
    };
  }
}

/** A tracker that can be killed and comes back as the same one. */
class Post {
  readonly zone: string;
  readonly isFirst: boolean;
  tracker: Tracker;
  /** Since when it has been up; Infinity while it is down; and when it went down. */
  up = Number.POSITIVE_INFINITY;
  down = 0;
  peer = '';
  #port = 0;
  readonly #make: (port: number) => Tracker;

  constructor(zone: string, isFirst: boolean, make: (post: Post, port: number) => Tracker) {
    this.zone = zone;
    this.isFirst = isFirst;
    this.#make = (port) => make(this, port);
    this.tracker = this.#make(0);
  }

  async start(): Promise<void> {
    for (let tries = 0; ; tries++) {
      try {
        // Below the ports that the machine gives to connections: what is closed for a moment must not be taken by one.
        this.#port ||= 15_000 + Math.floor(Math.random() * 15_000);
        this.tracker = this.#make(this.#port);
        await this.tracker.start();
        break;
      } catch (error) {
        if (!(error instanceof Fault) || error.code !== 'port_taken' || tries > 20) throw error;
        if (!this.peer) this.#port = 0;
      }
    }
    this.peer = this.tracker.peer;
    this.up = performance.now();
  }

  async kill(): Promise<void> {
    this.up = Number.POSITIVE_INFINITY;
    this.down = performance.now();
    await this.tracker[Symbol.asyncDispose]();
  }
}

/** Tells how long this process takes to answer itself over a link: where that is long, the machine does other things. */
class Canary implements AsyncDisposable {
  readonly #tracker: Tracker;
  #timer: NodeJS.Timeout | undefined;
  #asked = 0;
  /** Since when it has been answered at once. */
  fitSince = Number.POSITIVE_INFINITY;

  constructor(home: string) {
    this.#tracker = new Tracker({ home, host: '127.0.0.1', port: 0, zone: 'canary', dns: null, log: silentLog() });
  }

  async start(): Promise<void> {
    await this.#tracker.start();
    const identity = await createIdentity();
    const self = (): HelloInfo => ({ protocol: PROTOCOL, software: 'test', role: 'node', account: null });
    const { peer, addresses } = this.#tracker;
    const common = { identity, self, router: new Router(), clock: systemClock, log: silentLog() };
    const link = await dialLink({ ...common, address: addresses[0] ?? '', expect: peer });
    this.#timer = setInterval(() => {
      const now = performance.now();
      if (this.#asked > 0) {
        if (now - this.#asked > FIT_MS) this.fitSince = Number.POSITIVE_INFINITY;
        return;
      }
      this.#asked = now;
      const heard = (): void => {
        const end = performance.now();
        if (end - this.#asked > FIT_MS) this.fitSince = Number.POSITIVE_INFINITY;
        else this.fitSince = Math.min(this.fitSince, end);
        this.#asked = 0;
      };
      link.request(showApex, { zone: 'canary' }).then(heard, () => {}); // its tracker ends with the test
    }, 20);
  }

  get isFit(): boolean {
    return performance.now() - this.fitSince > 0 && (this.#asked === 0 || performance.now() - this.#asked < FIT_MS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#tracker[Symbol.asyncDispose]();
  }
}

type Person = { zone: string; handle: string; account: Key; client: DirectoryClient; node: string };

async function personOf(zone: string, posts: readonly Post[], cables: Cables): Promise<Person> {
  const [identity, account] = [await createIdentity(), Key.generate()];
  const handle = `p@${zone}`;
  const router = new Router();
  const self = (): HelloInfo => ({
    protocol: PROTOCOL,
    software: 'test',
    role: 'node',
    account: bind(account, handle, identity.id, Date.now()),
  });
  const common = { identity, router, self, clock: systemClock, log: silentLog() };
  const client = new DirectoryClient({
    trackers: posts.map(({ tracker }) => parseInvite(tracker.invite)),
    dial: (address, expected, signal) => dialLink({ ...common, address, expect: expected, signal }),
    account,
    handle,
    node: identity.id,
    addresses: () => [],
    zones: { dial: cables.through(() => identity.id, dialZonesWith(common)) },
    store: new Store(':memory:'),
    clock: systemClock,
    log: silentLog(),
  }).attach(router);
  client.open();
  client.start();
  return { zone, handle, account, client, node: identity.id };
}

/** Zones that a walk from one to another meets. */
function path(from: string, to: string): string[] {
  return ZONES.filter((zone) => isWithin(from, zone) || isWithin(to, zone)).filter(
    (zone) => !(isWithin(from, zone) && isWithin(to, zone)) || zone === nearest(from, to),
  );
}
const nearest = (a: string, b: string): string =>
  ZONES.filter((zone) => isWithin(a, zone) && isWithin(b, zone)).sort((x, y) => y.length - x.length)[0] ?? 'r';

test('whoever can be reached is found in time, nobody wrongly, and what is old says so [Z-27]', {
  timeout: SECONDS * 1000 * MOST_TIMES + 90_000,
}, async () => {
  process.stderr.write(`zones in chaos: NETAPP_CHAOS_SEED=${SEED}, ${SECONDS} s\n`);
  const random = randomFrom(SEED);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] ?? expect.fail('nothing to pick');
  const folder = await mkdtemp(join(tmpdir(), 'netapp-zones-'));
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => rm(folder, { recursive: true, force: true }));
  const cables = new Cables();
  const posts: Post[] = [];
  const firsts = new Map<string, Invite>();
  for (const zone of ZONES) {
    const above = ZONES.filter((each) => each !== zone && isWithin(zone, each)).sort((a, b) => b.length - a.length)[0];
    const first = posts.find((post) => post.zone === above && post.isFirst);
    const parent = firsts.get(above ?? '');
    const make = (isFirst: boolean) => (post: Post, port: number) =>
      new Tracker({
        home: join(folder, `${zone}-${isFirst ? 1 : 2}`),
        host: '127.0.0.1',
        port,
        zone,
        parents: isFirst && parent ? [parent] : [],
        primaries: isFirst ? [] : [firsts.get(zone) ?? expect.fail()],
        dns: null,
        zoneTimes: TIMES,
        dialZones: (dial) => cables.through(() => post.peer, dial),
        mailbox: false,
        log: silentLog(),
      });
    const one = new Post(zone, true, make(true));
    await one.start();
    firsts.set(zone, parseInvite(one.tracker.invite));
    const two = new Post(zone, false, make(false));
    await two.start();
    posts.push(one, two);
    const place = ({ tracker }: Post) => ({ peer: tracker.peer, addresses: [...tracker.addresses] });
    one.tracker.zoning.zones.delegate(zone, place(two));
    first?.tracker.zoning.zones.delegate(zone, place(one));
  }
  cleanup.defer(async () => void (await Promise.all(posts.map(({ tracker }) => tracker[Symbol.asyncDispose]()))));
  // Each knows of the other, of who is above, and of who is below.
  await until(
    () =>
      posts.flatMap(({ tracker, zone }) => {
        try {
          const { trackers, parent } = tracker.zoning.zones.apex(zone);
          return trackers.length === 2 && (zone === 'r' || parent?.trackers.length === 2) ? [] : [zone];
        } catch {
          return [zone];
        }
      }),
    (missing) => missing.length === 0,
  );
  const canary = cleanup.use(new Canary(join(folder, 'canary')));
  await canary.start();
  const people: Person[] = [];
  for (const zone of ZONES) {
    const person = await personOf(
      zone,
      posts.filter((post) => post.zone === zone),
      cables,
    );
    cleanup.use(person.client);
    people.push(person);
  }
  await until(
    () => people.flatMap(({ client }) => client.states().filter(({ announced }) => !announced)),
    (missing) => missing.length === 0,
  );
  // Everybody has found everybody once: a way that was seen is known while its zones are down.
  for (const asker of people) {
    for (const { handle } of people) await asker.client.trace(handle, { mode: 'iterative' });
  }

  let isOver = false;
  const breaking = (async () => {
    while (!isOver) {
      await new Promise((done) => setTimeout(done, 50 + random() * 250));
      if (!canary.isFit) continue;
      if (random() < 0.5) {
        const post = pick(posts.filter(({ up }) => Number.isFinite(up)));
        await post.kill();
        setTimeout(
          () => void post.start().catch((error: unknown) => faults.push(String(error))),
          200 + random() * 1500,
        );
      } else {
        const [a, b] = [pick([...posts, ...people]), pick(posts)];
        const [left, right] = ['peer' in a ? a.peer : a.node, b.peer];
        if (left === right || ('handle' in a && a.zone === b.zone)) continue;
        cables.set(left, right, true);
        setTimeout(() => cables.set(left, right, false), 200 + random() * 2000);
      }
    }
  })();
  const faults: string[] = [];

  type Look = { asker: Person; target: Person; mode: 'iterative' | 'recursive'; began: number };
  const counts = { found: 0, stale: 0, unreached: 0, reachable: 0 };
  const ms: number[] = [];
  /** Whether each zone on the way had a tracker that was up, and could be reached by who walks, all the time. */
  const wasReachable = ({ asker, target, mode, began }: Look): boolean => {
    const since = began - SETTLED_MS;
    const own = posts.filter((post) => post.zone === asker.zone && post.up < since && linked(asker, post, since));
    const walkers = mode === 'iterative' ? [asker.node] : own.map(({ peer }) => peer);
    // A tracker walks for who asks; which one it will be is the asker's choice: so all of them must be able to.
    const reaches = (walker: string, zone: string): boolean =>
      posts.some(
        (post) =>
          post.zone === zone && post.up < since && (post.peer === walker || cables.since(walker, post.peer) < since),
      );
    const zones = path(asker.zone, target.zone).filter((zone) => zone !== asker.zone);
    return own.length > 0 && walkers.every((walker) => zones.every((zone) => reaches(walker, zone)));
  };
  const linked = ({ client }: Person, post: Post, since: number): boolean =>
    client.links().some(({ peer, since: at }) => peer === post.peer && at - Date.now() + performance.now() < since);
  /** Whether nobody who serves the zone was up in all that time, nor a moment before. */
  const wasGone = ({ target, began }: Look): boolean =>
    posts.every((post) => post.zone !== target.zone || (!Number.isFinite(post.up) && post.down < began - SETTLED_MS));

  const look = async (one: Look): Promise<void> => {
    const { asker, target, mode, began } = one;
    const before = wasReachable(one);
    const said = `${asker.handle} looks for ${target.handle}, ${mode}`;
    try {
      const { person, stale, steps } = await asker.client.trace(target.handle, { mode });
      const took = performance.now() - began;
      const isReachable = before && canary.isFit && canary.fitSince < began && wasReachable(one);
      if (person.account !== target.account.id) faults.push(`${said}: wrong: ${person.account}`);
      if (stale !== (steps.at(-1)?.stale ?? false) && mode === 'iterative')
        faults.push(`${said}: stale, and not said so`);
      if (!stale && wasGone(one) && target !== asker) faults.push(`${said}: nobody was there who could have said it`);
      if (isReachable && stale) faults.push(`${said}: stale, while it could be reached: ${JSON.stringify(steps)}`);
      if (isReachable && took > DEADLINE_MS) faults.push(`${said}: took ${took} ms`);
      counts[stale ? 'stale' : 'found'] += 1;
      if (isReachable) counts.reachable += 1;
      if (isReachable) ms.push(took);
    } catch (error) {
      const fault = error instanceof Fault ? error : new Fault('internal', String(error));
      counts.unreached += 1;
      if (!fault.retry && fault.code !== 'unknown_zone') faults.push(`${said}: ${fault.code} ${fault.message}`);
      const isFit = canary.isFit && canary.fitSince < began;
      if (before && isFit && wasReachable(one))
        faults.push(
          `${said}: could be reached, and was not: ${fault.code} ${fault.message} ${JSON.stringify(fault.data)}`,
        );
    }
  };
  const looks: Promise<void>[] = [];
  const first = performance.now();
  const passed = (): number => (performance.now() - first) / 1000;
  let [allowed, last] = [0, first];
  while (passed() < SECONDS || (counts.reachable < ENOUGH && passed() < SECONDS * MOST_TIMES)) {
    const now = performance.now();
    // None to make up for the time in which the machine did other things.
    if (canary.isFit) allowed += (Math.min(now - last, FIT_MS) / 1000) * LOOKUPS_PER_SECOND;
    last = now;
    while (looks.length < allowed) {
      const mode = random() < 0.5 ? 'iterative' : 'recursive';
      looks.push(look({ asker: pick(people), target: pick(people), mode, began: performance.now() }));
    }
    await new Promise((done) => setTimeout(done, 5));
  }
  await Promise.all(looks);
  isOver = true;
  await breaking;
  await until(
    () => ({
      down: posts.filter(({ up }) => !Number.isFinite(up)).map(({ zone }) => zone),
      faults: faults.slice(0, 10),
    }),
    ({ down }) => down.length === 0,
  );
  const p99 = ms.sort((a, b) => a - b)[Math.floor(ms.length * 0.99)] ?? 0;
  process.stderr.write(
    `${looks.length} lookups: ${JSON.stringify(counts)}, p99 of the reachable ${Math.round(p99)} ms\n`,
  );
  expect({ seed: SEED, faults: faults.slice(0, 4).map((text) => text.slice(0, 1500)) }).toEqual({
    seed: SEED,
    faults: [],
  });
  expect(counts.reachable).toBeGreaterThanOrEqual(ENOUGH);
});
