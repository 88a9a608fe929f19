/** What admins do at one door of a tracker holds at the other, on each engine: for the embedded one both are the same process. */
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { toBase64url } from '../src/base/encoding.ts';
import { deposit } from '../src/chat/mailbox-wire.ts';
import * as admin from '../src/directory/admin-wire.ts';
import { parseInvite } from '../src/directory/invite.ts';
import * as directory from '../src/directory/messages.ts';
import * as zones from '../src/directory/zone-messages.ts';
import { Key } from '../src/link/identity.ts';
import type { Link } from '../src/link/link.ts';
import { Doors } from './doors.ts';
import { Nats, needsNats } from './nats.ts';
import { until } from './testnet.ts';
import { answerOf, Visitor } from './visitor.ts';

const engines = [
  { engine: 'embedded', servers: undefined },
  { engine: 'one nats-server', servers: 1 },
  { engine: 'a cluster of three nats-servers', servers: 3 },
] as const;

/** Longer than a link waits for its answer: NATS that is away is told of after 5 s. */
const PATIENCE_MS = 120_000;

describe.each(engines)('$engine', { timeout: PATIENCE_MS }, ({ servers }) => {
  let nats: Nats | undefined;
  beforeEach(async ({ skip }) => {
    if (servers === undefined) return;
    needsNats(skip);
    nats ??= await Nats.start(servers);
  }, PATIENCE_MS);
  afterAll(() => nats?.[Symbol.asyncDispose]());

  let count = 0;
  /** A tracker of its own for each test, with somebody who administers it, linked to both doors. */
  async function open(options: Parameters<typeof Doors.open>[1] = {}) {
    const zone = `adm${++count}.test`;
    const root = await Visitor.create('root', zone);
    const doors = await Doors.open(nats, { graceMs: 300, zone, admins: [root.id], ...options });
    return { doors, root, zone, a: await root.to(doors.at(0)), b: await root.to(doors.at(1)) };
  }

  const rowsAt = async (link: Link, zone: string) =>
    (await link.request(admin.list, { zone })).handles.map(({ handle, account, state, to }) => ({
      handle,
      account,
      state,
      to,
    }));

  test('a policy that is set at one door holds at the other, and after all of it starts anew [A-11] [K-11]', async () => {
    const { doors, root, zone, a, b } = await open();
    await using _doors = doors;
    await a.request(admin.policy, { zone, policy: 'closed' });
    await until(
      () => b.request(admin.policy, { zone }),
      ({ policy }) => policy === 'closed',
    );
    using eve = await doors.visitor('eve');
    for (const door of [0, 1]) {
      const link = await eve.to(doors.at(door));
      expect(await answerOf(link, directory.announce, { record: eve.record() })).toBe('not_invited');
    }
    await root.announce(b); // admins are let in
    root.close();
    await doors.restart();
    const again = await root.to(doors.at(1));
    expect(await again.request(admin.policy, { zone })).toEqual({ zone, policy: 'closed' });
    await again.request(admin.policy, { zone, policy: 'open' });
    const there = await eve.to(doors.at(0));
    await until(
      () => answerOf(there, directory.announce, { record: eve.record() }),
      (answer) => typeof answer === 'object',
    );
    root.close();
  });

  test('an invitation lets in exactly as many as it says, however many come at once at all doors [A-13] [K-12]', async () => {
    const { doors, root, zone, a, b } = await open();
    await using _doors = doors;
    await a.request(admin.policy, { zone, policy: 'invite' });
    await until(
      () => b.request(admin.policy, { zone }),
      ({ policy }) => policy === 'invite',
    );
    const { invite } = await b.request(admin.invite, { zone, uses: 3, ttlMs: 3_600_000 });
    const token = parseInvite(invite).token ?? expect.fail('no token');
    const people = await Promise.all(Array.from({ length: 12 }, (_, n) => doors.visitor(`new${n}`)));
    const links = await Promise.all(people.map((person, n) => person.to(doors.at(n % 2))));
    const answers = await Promise.all(
      people.map((person, n) => answerOf(links[n] ?? a, directory.announce, { record: person.record(), token })),
    );
    const inside = people.filter((_, n) => typeof answers[n] === 'object');
    expect(inside.length, JSON.stringify(answers)).toBe(3);
    expect(new Set(answers.filter((answer) => typeof answer === 'string'))).toEqual(new Set(['not_invited']));
    // Who has a name needs no use of it, at whichever door; who has none gets none.
    for (const [n, person] of people.entries()) {
      const link = await person.to(doors.at(n + 1));
      const answer = await answerOf(link, directory.announce, { record: person.record(), token });
      expect(typeof answer === 'object').toBe(inside.includes(person));
      person.close();
    }
    const names = inside.map(({ handle }) => handle).sort();
    for (const link of [a, b]) expect((await rowsAt(link, zone)).map(({ handle }) => handle)).toEqual(names);
    root.close();
    await doors.restart();
    const late = await doors.visitor('late');
    const link = await late.to(doors.at(1));
    expect(await answerOf(link, directory.announce, { record: late.record(), token })).toBe('not_invited');
    late.close();
  });

  test('an invitation that was taken back at one door lets nobody in at any, and others hold on [A-14] [K-12]', async () => {
    const { doors, root, zone, a, b } = await open();
    await using _doors = doors;
    await a.request(admin.policy, { zone, policy: 'invite' });
    const tokenOf = async (): Promise<string> => {
      const { invite } = await b.request(admin.invite, { zone, uses: 5, ttlMs: 3_600_000 });
      return parseInvite(invite).token ?? expect.fail('no token');
    };
    const [token, other] = [await tokenOf(), await tokenOf()];
    const announce = async (name: string, door: number, brought: string): Promise<unknown> => {
      using person = await doors.visitor(name);
      const link = await person.to(doors.at(door));
      return await answerOf(link, directory.announce, { record: person.record(), token: brought });
    };
    const isIn = (answer: unknown): boolean => typeof answer === 'object';
    expect(isIn(await announce('early', 1, token))).toBe(true);
    const { until: end } = await a.request(admin.uninvite, { zone, token });
    expect(end).toBeGreaterThan(Date.now());
    await until(
      () => announce('late', 1, token),
      (answer) => answer === 'not_invited',
    );
    expect(await announce('later', 0, token)).toBe('not_invited');
    expect(isIn(await announce('welcome', 0, other))).toBe(true);
    expect(await answerOf(a, admin.uninvite, { zone, token })).toEqual({ zone, until: end }); // once more changes nothing
    expect(await answerOf(a, admin.uninvite, { zone, token: 'abcd' })).toBe('invalid_argument');
    root.close();
    await doors.restart();
    expect(await announce('latest', 0, token)).toBe('not_invited');
  });

  test('who was revoked at one door is off the list of both, and refused at both, for good [A-20] [A-22] [K-11] [K-13]', async () => {
    const { doors, root, zone, a, b } = await open();
    await using _doors = doors;
    using bob = await doors.visitor('bob');
    using carol = await doors.visitor('carol');
    let told = 0;
    bob.router.on(admin.reannounce, () => {
      told += 1;
    });
    const [here, watcher] = [await bob.to(doors.at(0)), await carol.to(doors.at(1))];
    await bob.announce(here);
    await carol.announce(watcher);
    await watcher.request(directory.watch, {});
    await until(
      () => answerOf(watcher, directory.find, { handle: bob.handle }),
      (answer) => typeof answer === 'object',
    );
    // Asked at the other door than the one that bob is linked to.
    const { handle } = await b.request(admin.revoke, { handle: bob.handle });
    expect(handle).toMatchObject({ handle: bob.handle, account: bob.id, state: 'revoked', online: false });
    await until(
      () => carol.changed.flatMap(({ gone }) => gone),
      (gone) => gone.includes(bob.id),
    );
    await until(
      () => told,
      (times) => times > 0,
    );
    const refusedAtBoth = async (): Promise<void> => {
      for (const door of [0, 1]) {
        const link = await bob.to(doors.at(door));
        expect(await answerOf(link, directory.announce, { record: bob.record() })).toBe('revoked');
        expect(await answerOf(link, directory.find, { handle: bob.handle })).toBe('unknown_handle');
      }
    };
    const { seq, until: end, sig } = bob.record();
    expect(await answerOf(here, directory.renew, { seq, until: end, sig })).toBe('wrong_state');
    await refusedAtBoth();
    const left = [
      { handle: bob.handle, account: bob.id, state: 'revoked', to: null },
      { handle: carol.handle, account: carol.id, state: 'bound', to: null },
    ];
    for (const link of [a, b]) expect(await rowsAt(link, zone)).toEqual(left);
    for (const person of [bob, carol, root]) person.close();
    await doors.restart();
    await refusedAtBoth();
    const [again, other] = [await root.to(doors.at(0)), await root.to(doors.at(1))];
    expect((await again.request(directory.list, {})).entries.map(({ record }) => record.account)).toEqual([carol.id]);
    // Freed at one door, whoever comes first to the other has it.
    await again.request(admin.free, { handle: bob.handle });
    using newBob = await doors.visitor('bob');
    const there = await newBob.to(doors.at(1));
    await until(
      () => answerOf(there, directory.announce, { record: newBob.record() }),
      (answer) => typeof answer === 'object',
    );
    await until(
      () => rowsAt(other, zone),
      ([first]) => first?.account === newBob.id && first.state === 'bound',
    );
    root.close();
  });

  test('a renamed handle is renamed at both doors; of two renames at once one holds, the same at both [A-21] [K-11]', async () => {
    const { doors, root, zone, a, b } = await open();
    await using _doors = doors;
    using bob = await doors.visitor('bob');
    const [here, there] = [await bob.to(doors.at(0)), await bob.to(doors.at(1))];
    await bob.announce(here);
    await until(
      () => rowsAt(b, zone),
      (rows) => rows.length === 1,
    );
    const names = ['robert', 'bert'].map((name) => `${name}@${zone}`);
    const answers = await Promise.all(
      [a, b].map((link, n) => answerOf(link, admin.rename, { handle: bob.handle, to: names[n] ?? '' })),
    );
    const [won] = names.filter((_, n) => typeof answers[n] === 'object');
    expect(answers.filter((answer) => answer === 'wrong_state').length, JSON.stringify(answers)).toBe(1);
    const rows = [
      { handle: bob.handle, account: bob.id, state: 'renamed', to: won },
      { handle: won, account: bob.id, state: 'bound', to: null },
    ].sort((x, y) => (String(x.handle) < String(y.handle) ? -1 : 1));
    for (const link of [a, b]) {
      await until(
        () => rowsAt(link, zone),
        (now) => JSON.stringify(now) === JSON.stringify(rows),
      );
    }
    for (const link of [here, there]) {
      expect(await answerOf(link, directory.announce, { record: bob.record() })).toBe('renamed');
    }
    await bob.announce(there, { handle: won });
    await until(
      () => answerOf(a, directory.find, { handle: won ?? '' }),
      (answer) => typeof answer === 'object',
    );
    bob.close();
    root.close();
    await doors.restart();
    const again = await bob.to(doors.at(0));
    expect(await answerOf(again, directory.announce, { record: bob.record() })).toBe('renamed');
    await bob.announce(again, { handle: won });
  });

  test('a zone that is given away at one door is referred to by both, by the same word, until it is taken back [K-14]', async () => {
    const { doors, root, zone, a, b } = await open();
    await using _doors = doors;
    const below = `lab.${zone}`;
    const asked = { handle: `eve@${below}`, as: zone };
    const to = { peer: Key.generate().id, addresses: ['127.0.0.1:9'] };
    expect(await b.request(zones.ask, asked)).toMatchObject({ kind: 'unknown', code: 'unknown_zone' });
    await a.request(zones.delegate, { zone: below, to });
    const referred = (link: Link) =>
      until(
        () => link.request(zones.ask, asked),
        ({ kind }) => kind === 'referral',
      );
    const first = await referred(a);
    expect(await referred(b)).toEqual(first);
    expect(await b.request(zones.list, {})).toEqual(await a.request(zones.list, {}));
    // It belongs to that key, at whichever door one asks.
    const other = { peer: Key.generate().id, addresses: ['127.0.0.1:9'] };
    expect(await answerOf(b, zones.delegate, { zone: below, to: other })).toBe('exists');
    const raced = await Promise.all(
      [a, b].map((link, n) => answerOf(link, zones.delegate, { zone: `raced.${zone}`, to: n === 0 ? to : other })),
    );
    expect(raced.filter((answer) => answer === 'exists').length, JSON.stringify(raced)).toBe(1);
    root.close();
    await doors.restart();
    const [again, there] = [await root.to(doors.at(0)), await root.to(doors.at(1))];
    expect(await again.request(zones.ask, asked)).toEqual(first);
    await there.request(zones.revoke, { zone: below });
    await until(
      () => again.request(zones.ask, asked),
      ({ kind }) => kind === 'unknown',
    );
    root.close();
  });

  test('both doors say the same of their zone, hang below another one by one word, and hear where that ends [Z-5] [K-15]', async () => {
    const top = await open();
    await using _top = top.doors;
    const zone = `lab.${top.zone}`;
    const parent = parseInvite(top.doors.at(1).invite);
    const inner = `inner.${zone}`;
    await using doors = await Doors.open(nats, { zone, zones: [zone, inner], parents: [parent] });
    const addresses = [...new Set([doors.at(0), doors.at(1)].flatMap((tracker) => tracker.addresses))];
    await top.a.request(zones.delegate, {
      zone,
      to: { peer: doors.at(0).peer, addresses: [...doors.at(0).addresses] },
    });
    using eve = await Visitor.create('eve', zone);
    const links = [await eve.to(doors.at(0)), await eve.to(doors.at(1))];
    const shown = async (link: Link) => (await link.request(zones.showApex, { zone })).apex;
    const of = await until(
      async () => await Promise.all(links.map(shown)),
      ([here, there]) => here?.parent?.zone === top.zone && there?.sig === here.sig,
    );
    expect(of[0]?.trackers.flatMap((each) => each.addresses).toSorted()).toEqual(addresses.toSorted());
    // A zone of its own below it is signed once for both.
    const own = await Promise.all(links.map((link) => link.request(zones.ask, { handle: `x@${inner}`, as: zone })));
    expect(own[0]).toMatchObject({ kind: 'referral', delegation: { zone: inner } });
    expect(own[1]).toEqual(own[0]);
    // The zone above names all who serve it, at both of its doors.
    for (const link of [top.a, top.b]) {
      await until(
        async () => await link.request(zones.ask, { handle: eve.handle, as: top.zone }),
        (answer) =>
          answer.kind === 'referral' &&
          answer.delegation.trackers.flatMap((each) => each.addresses).length === addresses.length,
      );
    }
    eve.close();
    await doors.restart();
    const again = [await eve.to(doors.at(0)), await eve.to(doors.at(1))];
    for (const link of again) expect((await shown(link)).parent?.zone).toBe(top.zone);
    // Taken back: nothing is above it any more, for both.
    await top.b.request(zones.revoke, { zone });
    for (const link of again) {
      await until(
        () => shown(link),
        (apex) => apex.parent === null,
      );
    }
    top.root.close();
  });

  test('a guest whose zone confirmed it at one door is known at the other [Z-32] [K-16]', async () => {
    const top = await open();
    await using _top = top.doors;
    const zone = `lab.${top.zone}`;
    await using lab = await Doors.open(undefined, { zone, parents: [parseInvite(top.doors.at(0).invite)] });
    await top.a.request(zones.delegate, { zone, to: { peer: lab.at(0).peer, addresses: [...lab.at(0).addresses] } });
    using eve = await Visitor.create('eve', zone);
    await eve.announce(await eve.to(lab.at(0)));
    const guest = await eve.to(top.doors.at(0));
    await top.root.announce(top.a);
    await until(
      () => guest.request(zones.ask, { handle: eve.handle, as: top.zone }),
      ({ kind }) => kind === 'referral',
    );
    // Who leaves a letter is confirmed by the zone of their own [Z-31].
    const letter = { enc: toBase64url(new Uint8Array(32)), data: toBase64url(new Uint8Array(100)) };
    await guest.request(deposit, { to: top.root.id, letters: [letter] });
    for (const link of [top.a, top.b]) {
      const said = await until(
        () => answerOf(link, zones.guest, { account: eve.id }),
        (answer) => typeof answer === 'object',
      );
      expect(said).toEqual({ handle: eve.handle });
    }
    top.root.close();
    await top.doors.restart();
    const again = await top.root.to(top.doors.at(1));
    expect(await again.request(zones.guest, { account: eve.id })).toEqual({ handle: eve.handle });
    top.root.close();
  });

  // The last one, as it ends the NATS of all others; the embedded engine has none.
  if (servers === undefined) return;
  test('while NATS is away admins are refused, and what was agreed upon holds on [K-9]', async () => {
    const { doors, root, zone, a } = await open();
    await using _doors = doors;
    using bob = await doors.visitor('bob');
    await bob.announce(await bob.to(doors.at(0)));
    await a.request(admin.revoke, { handle: bob.handle });
    for (let machine = 0; machine < servers; machine++) await nats?.kill(machine);
    expect(await answerOf(a, admin.policy, { zone, policy: 'closed' })).toBe('tracker_down');
    expect(await answerOf(a, admin.free, { handle: bob.handle })).toBe('tracker_down');
    const to = { peer: Key.generate().id, addresses: ['127.0.0.1:9'] };
    expect(await answerOf(a, zones.delegate, { zone: `lab.${zone}`, to })).toBe('tracker_down');
    // From its copy it goes on: nothing of it took place.
    expect(await a.request(admin.policy, { zone })).toEqual({ zone, policy: 'open' });
    expect(await answerOf(a, zones.ask, { handle: `x@lab.${zone}`, as: zone })).toMatchObject({ kind: 'unknown' });
    const link = await bob.to(doors.at(1));
    expect(await answerOf(link, directory.announce, { record: bob.record() })).toBe('revoked');
    for (let machine = 0; machine < servers; machine++) nats?.restart(machine);
    await nats?.ready();
    await until(
      () => answerOf(a, admin.policy, { zone, policy: 'closed' }),
      (answer) => typeof answer === 'object',
    );
    root.close();
  });
});
