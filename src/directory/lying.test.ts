/** Trackers that lie, on links in memory: each lie is refused with a code, costs little, and stands in the trace. */
import { afterEach, expect, test } from 'vitest';
import { Fault } from '../base/fault.ts';
import { Store } from '../base/sqlite.ts';
import { Key } from '../link/identity.ts';
import type { Link } from '../link/link.ts';
import { pair } from '../link/pair.ts';
import { Router } from '../link/router.ts';
import type { At } from './cache.ts';
import { WalkCache } from './cache.ts';
import { type Apex, type Delegation, type Server, signApex, signDelegation } from './delegation.ts';
import type { Entry } from './messages.ts';
import { signRecord } from './record.ts';
import { scopeOfAddress } from './referral.ts';
import { HandClock, helloOf } from './testing.ts';
import { Walk, type Walking } from './walk.ts';
import * as messages from './zone-messages.ts';
import { ZonePins } from './zone-pins.ts';

const DAY = 24 * 3600_000;
const clock = new HandClock();

/** A tracker that says what it is told to, at an address that nobody dials. */
class Liar {
  readonly key = Key.generate();
  readonly zone: string;
  readonly address: string;
  readonly asked: messages.Question[] = [];
  says: (question: messages.Question) => unknown = () => ({ kind: 'unknown', code: 'unknown_handle', ttlMs: 1000 });

  constructor(zone: string, address: string) {
    this.zone = zone;
    this.address = address;
  }

  get server(): Server {
    return { peer: this.key.id, addresses: [this.address] };
  }

  at(scope: At['scope'] = 'loopback'): At {
    return { zone: this.zone, key: this.key.id, servers: [this.server], scope };
  }

  delegates(to: Liar, over: Partial<Delegation> = {}): Delegation {
    const said = { parent: this.zone, zone: to.zone, key: to.key.id, trackers: [to.server] };
    return signDelegation(this.key, { ...said, seq: clock.at, until: clock.at + DAY, ...over });
  }

  below(above: Liar, over: Partial<Apex> = {}): Apex {
    const parent = { zone: above.zone, key: above.key.id, trackers: [above.server] };
    const said = { zone: this.zone, trackers: [this.server], parent, seq: clock.at, until: clock.at + DAY };
    return signApex(this.key, { ...said, ...over });
  }
}

const referral = (delegation: Delegation) => ({ kind: 'referral', delegation, ttlMs: 60_000 });

const bob = Key.generate();
function entryOf(handle: string, over: Partial<Entry> = {}): Entry {
  const said = { handle, node: Key.generate().id, addresses: [], status: 'online' as const, text: '' };
  const record = signRecord(bob, { ...said, seq: clock.at, until: clock.at + 90_000 });
  return { record, verified: [], observed: null, near: false, online: true, lastSeen: clock.at, ...over };
}
const recordOf = (entry: Entry) => ({ kind: 'record', entry, etag: 'e', ttlMs: 1000 });

class World implements Disposable {
  readonly #liars = new Map<string, Liar>();
  readonly #links: Link[] = [];
  readonly store = new Store(':memory:');
  readonly pins = new ZonePins(this.store);
  readonly cache = new WalkCache(clock);
  dialled = 0;

  liar(zone: string, address = `192.0.2.${this.#liars.size + 1}:22236`): Liar {
    const liar = new Liar(zone, address);
    this.#liars.set(liar.key.id, liar);
    return liar;
  }

  /** A link as it would be dialled: what the liar says passes the same shapes and bounds as on a network. */
  async #link(server: Server): Promise<{ link: Link; liar: Liar }> {
    this.dialled += 1;
    const liar = this.#liars.get(server.peer);
    if (!liar) throw new Fault('peer_unreachable', `dialling "${server.addresses[0]}": nobody answers`);
    const router = new Router().handle(messages.ask, (question) => {
      liar.asked.push(question);
      return liar.says(question) as messages.Answer; // whatever it says: that is the test
    });
    const [link] = await pair(
      { router: new Router(), self: helloOf('tracker'), id: Key.generate().id },
      { router, self: helloOf('tracker'), id: liar.key.id },
      clock,
    );
    this.#links.push(link);
    return { link, liar };
  }

  walking(first: At): Walking {
    return {
      ask: async (server, question, _at, signal) => {
        const { link, liar } = await this.#link(server);
        return { answer: await link.request(messages.ask, question, { signal }), address: liar.address };
      },
      start: async () => first,
      cache: this.cache,
      seen: (zone, by) => this.pins.seen(zone, by),
      saw: (zone, by, seq) => this.pins.saw(zone, by, seq),
      clock,
    };
  }

  find(handle: string, first: At, over: { hops?: number } = {}) {
    return Walk.make(this.walking(first), { handle, deadlineMs: 5000, ...over });
  }

  [Symbol.dispose](): void {
    for (const link of this.#links) link.close();
    this.store[Symbol.dispose]();
  }
}

let world = new World();
afterEach(() => {
  world[Symbol.dispose]();
  world = new World();
});

/** A honest zone above, and whoever is asked for the zone below it. */
function family(): { top: Liar; lab: Liar } {
  const [top, lab] = [world.liar('cse'), world.liar('lab1.cse')];
  top.says = () => referral(top.delegates(lab));
  lab.says = () => recordOf(entryOf('bob@lab1.cse'));
  return { top, lab };
}

test('without a lie it is found, and asked for again only when its time is over [Z-25]', async () => {
  const { top, lab } = family();
  const found = await world.find('bob@lab1.cse', top.at());
  expect(found).toMatchObject({ fault: null, stale: false, by: lab.server, entry: { record: { account: bob.id } } });
  await world.find('bob@lab1.cse', top.at());
  expect([top.asked.length, lab.asked.length]).toEqual([1, 1]);
  clock.pass(2000);
  await world.find('bob@lab1.cse', top.at());
  expect([top.asked.length, lab.asked.length]).toEqual([1, 2]);
  expect(lab.asked[1]).toMatchObject({ etag: 'e' });
});

test('a forged record [Z-21]', async () => {
  const { top, lab } = family();
  const entry = entryOf('bob@lab1.cse');
  lab.says = () => recordOf({ ...entry, record: { ...entry.record, addresses: ['198.51.100.1:1'] } });
  const { fault, entry: none, steps } = await world.find('bob@lab1.cse', top.at());
  expect([none, fault?.code]).toEqual([null, 'bad_signature']);
  expect(steps.at(-1)).toMatchObject({ zone: 'lab1.cse', answer: 'refused', code: 'bad_signature' });
});

test('an answer for another name [Z-21]', async () => {
  const { top, lab } = family();
  lab.says = () => recordOf(entryOf('eve@lab1.cse'));
  const { fault, steps } = await world.find('bob@lab1.cse', top.at());
  expect(fault?.code).toBe('malformed');
  expect(steps.at(-1)).toMatchObject({ answer: 'refused', code: 'malformed' });
});

test('a record by a tracker of another zone than the handle’s [Z-21]', async () => {
  const { top } = family();
  top.says = () => recordOf(entryOf('bob@lab1.cse'));
  expect((await world.find('bob@lab1.cse', top.at())).fault?.code).toBe('bad_referral');
});

test('what is said to be unchanged must still be signed [Z-21]', async () => {
  const { top, lab } = family();
  await world.find('bob@lab1.cse', top.at());
  clock.pass(2000);
  lab.says = () => ({ kind: 'unchanged', renewal: { seq: 1, until: 2, sig: 'x'.repeat(86) }, lastSeen: 1, ttlMs: 1 });
  const { fault, entry } = await world.find('bob@lab1.cse', top.at());
  expect([entry, fault?.code]).toEqual([null, 'bad_signature']);
});

test.each([
  [
    'signed by another key',
    (top: Liar, lab: Liar) => ({ ...top.delegates(lab), sig: lab.delegates(lab).sig }),
    'bad_signature',
  ],
  [
    'of a key that is not the zone’s',
    (_top: Liar, lab: Liar) => signDelegation(lab.key, { ...lab.delegates(lab), parent: 'cse' }),
    'bad_signature',
  ],
  [
    'of trackers that it does not name',
    (top: Liar, lab: Liar) => ({ ...top.delegates(lab), trackers: [top.server] }),
    'bad_signature',
  ],
  ['whose time is over [Z-4]', (top: Liar, lab: Liar) => top.delegates(lab, { until: clock.at - 1 }), 'bad_referral'],
  [
    'that would hold for ever [Z-4]',
    (top: Liar, lab: Liar) => top.delegates(lab, { until: clock.at + 400 * DAY }),
    'bad_referral',
  ],
  [
    'to a zone beside the one that is looked for [Z-20]',
    (top: Liar, lab: Liar) => top.delegates(lab, { zone: 'lab2.cse' }),
    'bad_referral',
  ],
  ['to a zone above [Z-20]', (top: Liar, lab: Liar) => top.delegates(lab, { zone: 'cse' }), 'bad_referral'],
] as const)('a referral %s', async (_what, make, code) => {
  const { top, lab } = family();
  top.says = () => referral(make(top, lab));
  const { fault, steps } = await world.find('bob@lab1.cse', top.at());
  expect(fault?.code).toBe(code);
  expect(steps).toMatchObject([{ zone: 'cse', answer: 'refused', code }]);
  expect(lab.asked).toEqual([]);
});

test('an older delegation, shown again, leads nowhere; the newer one still does [Z-23]', async () => {
  const { top, lab } = family();
  const old = top.delegates(lab);
  clock.pass(1000);
  const moved = world.liar('lab1.cse');
  moved.says = () => recordOf(entryOf('bob@lab1.cse'));
  top.says = () => referral(top.delegates(moved));
  expect((await world.find('bob@lab1.cse', top.at())).by).toEqual(moved.server);
  world.cache.doubt('lab1.cse');
  clock.pass(2000);
  top.says = () => referral(old);
  const { by, stale, steps } = await world.find('bob@lab1.cse', top.at());
  expect(steps[0]).toMatchObject({ zone: 'cse', answer: 'failed', code: 'tracker_down' });
  expect([by, stale, lab.asked]).toEqual([moved.server, false, []]);
  // Whoever has nothing newer at hand is told to ask again: the one who was asked may be behind.
  moved.says = () => {
    throw new Fault('tracker_down', 'down');
  };
  expect((await world.find('eve@lab1.cse', top.at())).fault).toMatchObject({ code: 'tracker_down', retry: true });
});

test('referrals in a circle [Z-22]', async () => {
  const { top, lab } = family();
  lab.says = () => ({ kind: 'parent', apex: lab.below(top), ttlMs: 1000 });
  const { fault } = await world.find('bob@lab1.cse', top.at());
  expect(fault?.code).toBe('bad_referral');
  expect(top.asked.length + lab.asked.length).toBe(2);
  // Upwards and down again is no way either.
  const [left, right] = [world.liar('a.cse'), world.liar('cse')];
  left.says = () => ({ kind: 'parent', apex: left.below(right), ttlMs: 1000 });
  right.says = () => referral(right.delegates(left, { zone: 'lab9.cse' }));
  const round = world.liar('lab9.cse');
  round.says = () => ({ kind: 'parent', apex: round.below(right), ttlMs: 1000 });
  const again = await world.find('bob@lab9.cse', left.at());
  expect(again.entry).toBe(null);
  expect(again.steps.length).toBeLessThan(6);
});

test('an endless delegation [Z-22]', async () => {
  const name = Array.from({ length: 60 }, (_, n) => `l${n}`);
  const zones = name.map((_, at) => [...name.slice(name.length - 1 - at), 'cse'].join('.'));
  const liars = ['cse', ...zones].map((zone) => world.liar(zone));
  for (const [at, liar] of liars.entries()) {
    const next = liars[at + 1];
    if (next) liar.says = () => referral(liar.delegates(next));
  }
  const { fault, steps } = await world.find(`bob@${zones.at(-1)}`, liars[0]?.at() ?? expect.fail());
  expect(fault?.code).toBe('bad_referral');
  expect(world.dialled).toBeLessThanOrEqual(messages.MOST_HOPS);
  expect(steps.length).toBeLessThanOrEqual(messages.MOST_HOPS + 1);
  world.dialled = 0;
  await world.find(`eve@${zones.at(-1)}`, liars[0]?.at() ?? expect.fail(), { hops: 3 });
  expect(world.dialled).toBeLessThanOrEqual(3);
});

test('a referral to a thousand names [Z-3]', async () => {
  const { top, lab } = family();
  const trackers = Array.from({ length: 1000 }, () => ({ peer: Key.generate().id, addresses: ['192.0.2.1:1'] }));
  top.says = () => referral(top.delegates(lab, { trackers }));
  const { fault } = await world.find('bob@lab1.cse', top.at());
  expect(['malformed', 'too_large']).toContain(fault?.code);
  expect(world.dialled).toBe(1);
  // As many as are allowed, of which none answers.
  const silent = trackers.slice(0, 8);
  top.says = () => referral(top.delegates(lab, { trackers: silent, seq: clock.at + 1 }));
  const some = await world.find('bob@lab1.cse', top.at());
  expect(some.fault?.code).toBe('peer_unreachable');
  expect(world.dialled).toBeLessThanOrEqual(24);
});

test.each([
  ['loopback', '127.0.0.1:22236', '192.0.2.1:1'],
  ['loopback, from a private network', '127.0.0.1:22236', '10.0.0.1:1'],
  ['a private network', '10.1.2.3:22236', '192.0.2.1:1'],
  ['link-local', '[fe80::1]:22236', '192.0.2.1:1'],
])('a referral to %s [Z-24]', async (_what, private_, from) => {
  const [top, lab] = [world.liar('cse', from), world.liar('lab1.cse', private_)];
  top.says = () => referral(top.delegates(lab));
  const { fault, steps } = await world.find('bob@lab1.cse', top.at());
  expect(fault?.code).toBe('bad_referral');
  expect(steps).toMatchObject([{ answer: 'refused', code: 'bad_referral' }]);
  expect(lab.asked).toEqual([]);
  expect(scopeOfAddress(private_)).not.toBe('public');
});

test('within a private network it may refer to one [Z-24]', async () => {
  const [top, lab] = [world.liar('cse', '10.0.0.1:1'), world.liar('lab1.cse', '10.0.0.2:1')];
  top.says = () => referral(top.delegates(lab));
  lab.says = () => recordOf(entryOf('bob@lab1.cse'));
  expect((await world.find('bob@lab1.cse', top.at())).fault).toBe(null);
});

test('a huge answer [Z-21]', async () => {
  const { top, lab } = family();
  const entry = entryOf('bob@lab1.cse');
  lab.says = () => recordOf({ ...entry, record: { ...entry.record, more: 'x'.repeat(200_000) } });
  const { fault, steps } = await world.find('bob@lab1.cse', top.at());
  expect(fault?.code).toBe('too_large');
  expect(steps.at(-1)).toMatchObject({ answer: 'refused', code: 'too_large' });
});

test('a zone above that is forged, or is none [Z-20]', async () => {
  const { top, lab } = family();
  lab.says = () => ({ kind: 'parent', apex: { ...lab.below(top), sig: top.below(lab).sig }, ttlMs: 1000 });
  expect((await world.find('carol@cse', lab.at())).fault?.code).toBe('bad_signature');
  const other = world.liar('elsewhere');
  lab.says = () => ({ kind: 'parent', apex: lab.below(other), ttlMs: 1000 });
  expect((await world.find('carol@cse', lab.at())).fault?.code).toBe('bad_referral');
  const impostor = world.liar('lab1.cse');
  lab.says = () => ({ kind: 'parent', apex: impostor.below(top), ttlMs: 1000 });
  expect((await world.find('carol@cse', lab.at())).fault?.code).toBe('key_changed');
});

test('one that lies does not keep the other tracker of its zone from being believed, and both stand in the trace', async () => {
  const { top, lab } = family();
  const liar = world.liar('lab1.cse');
  liar.says = () =>
    recordOf({ ...entryOf('bob@lab1.cse'), record: { ...entryOf('bob@lab1.cse').record, text: 'forged' } });
  top.says = () => referral(top.delegates(lab, { trackers: [liar.server, lab.server] }));
  const { entry, steps, by } = await world.find('bob@lab1.cse', top.at());
  expect(entry?.record.account).toBe(bob.id);
  expect(by).toEqual(lab.server);
  expect(steps.map(({ answer }) => answer)).toEqual(['referral', 'refused', 'record']);
});

test('nobody is asked again for a name that there is not, for a moment [Z-26]', async () => {
  const { top, lab } = family();
  lab.says = () => ({ kind: 'unknown', code: 'unknown_handle', ttlMs: 3_600_000 });
  for (let times = 0; times < 3; times++) {
    expect((await world.find('eve@lab1.cse', top.at())).fault?.code).toBe('unknown_handle');
  }
  expect(lab.asked.length).toBe(1);
  clock.pass(31_000); // nobody may say for longer that there is nobody
  await world.find('eve@lab1.cse', top.at());
  expect(lab.asked.length).toBe(2);
});

test('while nobody answers, what was known is shown as stale, and as offline [Z-27]', async () => {
  const { top, lab } = family();
  await world.find('bob@lab1.cse', top.at());
  clock.pass(120_000);
  const down = (): never => {
    throw new Fault('tracker_down', 'down');
  };
  [top.says, lab.says] = [down, down];
  const { entry, stale, steps } = await world.find('bob@lab1.cse', top.at());
  expect(stale).toBe(true);
  expect(entry).toMatchObject({ online: false, record: { account: bob.id } });
  expect(steps.at(-1)).toMatchObject({ how: 'cache', stale: true });
  // The zone above is not needed where the way is known still.
  lab.says = () => recordOf(entryOf('bob@lab1.cse'));
  clock.pass(400_000);
  expect(await world.find('bob@lab1.cse', top.at())).toMatchObject({ stale: false, entry: { online: true } });
  clock.pass(2 * DAY);
  lab.says = down;
  expect((await world.find('bob@lab1.cse', top.at())).fault?.code).toBe('tracker_down');
});
