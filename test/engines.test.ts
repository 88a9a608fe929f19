/** What every engine of a tracker must keep, asked at two of its doors: for the embedded one both are the same process. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { toBase64url } from '../src/base/encoding.ts';
import { holdVerified, letterId } from '../src/chat/letter.ts';
import { MAIL_LIMITS } from '../src/chat/mailbox-store.ts';
import { deposit, fetch, remove } from '../src/chat/mailbox-wire.ts';
import { follow, founded, type Ordered, roomId } from '../src/chat/membership.ts';
import { changeRoom, createRoom, giveOrder, myRooms } from '../src/chat/room-wire.ts';
import * as directory from '../src/directory/messages.ts';
import { Doors } from './doors.ts';
import { Nats, needsNats } from './nats.ts';
import { random } from './talk.ts';
import { until } from './testnet.ts';
import { answerOf, orderOf } from './visitor.ts';

const SEED = Number(process.env.NETAPP_CHAOS_SEED ?? Math.floor(Math.random() * 2 ** 31));
const DAY_MS = 24 * 3600_000;

/** What looks like a letter; a tracker cannot tell. */
const sealed = (fill: number, size = 100) => ({
  enc: toBase64url(new Uint8Array(32).fill(fill)),
  data: toBase64url(new Uint8Array(size).fill(fill)),
});

const engines = [
  { engine: 'embedded', servers: undefined },
  { engine: 'one nats-server', servers: 1 },
  { engine: 'a cluster of three nats-servers', servers: 3 },
] as const;

describe.each(engines)('$engine', ({ servers }) => {
  let nats: Nats | undefined;
  beforeAll(async () => {
    nats = undefined;
  });
  beforeEach(async ({ skip }) => {
    if (servers === undefined) return;
    needsNats(skip);
    nats ??= await Nats.start(servers);
  });
  afterAll(() => nats?.[Symbol.asyncDispose]());

  let count = 0;
  /** A tracker of its own for each test: what another one left in NATS is of another zone. */
  const open = (options: Parameters<typeof Doors.open>[1] = {}): Promise<Doors> =>
    Doors.open(nats, { graceMs: 300, zone: `lab${++count}.test`, ...options });

  test('who announces at one door is found at the other, and pushed to those who watch there [K-5]', async () => {
    await using doors = await open();
    using alice = await doors.visitor('alice');
    using bob = await doors.visitor('bob');
    const [a, b] = [await alice.to(doors.at(0)), await bob.to(doors.at(1))];
    await b.request(directory.watch, {});
    await alice.announce(a, { text: 'one' });
    await until(
      () => bob.heardOf(alice.id),
      (heard) => heard.at(-1)?.text === 'one',
    );
    const { entry } = await b.request(directory.find, { handle: alice.handle });
    expect(entry).toMatchObject({ online: true, record: { account: alice.id, text: 'one' } });
    await a.request(directory.goodbye, {});
    await until(
      () => bob.heardOf(alice.id),
      (heard) => heard.at(-1)?.online === false,
    );
    // A link that just ends gets the grace, then counts as gone.
    await alice.announce(a, { text: 'two' });
    a.close();
    await until(
      () => bob.heardOf(alice.id),
      (heard) => heard.at(-1)?.online === false && heard.at(-1)?.text === 'two',
    );
    expect((await b.request(directory.find, { account: alice.id })).entry.online).toBe(false);
  });

  test('of those who race for one handle exactly one wins, always, and all doors say who [D-5] [K-4]', async () => {
    await using doors = await open();
    const next = random(SEED);
    const people = await Promise.all(Array.from({ length: 6 }, (_, n) => doors.visitor(`racer${n}`)));
    const links = await Promise.all(people.map((person, n) => person.to(doors.at(n % 2))));
    const rounds = servers === 3 ? 60 : 30;
    for (let round = 0; round < rounds; round++) {
      const handle = `r..${round}@${doors.zone}`;
      const racers = people.map((_, n) => n).filter((n) => n < 2 || next() < 0.6);
      // Each account may own 8 names: all are somebody new after 6 rounds.
      for (const [n, person] of people.entries()) {
        if (round % 6 !== 5) continue;
        person.close();
        const fresh = await doors.visitor(person.name);
        people[n] = fresh;
        links[n] = await fresh.to(doors.at(n % 2));
      }
      const answers = await Promise.all(
        racers.map(async (n) => {
          const [person, link] = [people[n], links[n]];
          if (!person || !link) return 'nobody';
          return await answerOf(link, directory.announce, { record: person.record({ handle }) });
        }),
      );
      const won = racers.filter((_, at) => typeof answers[at] === 'object');
      expect(won.length, `seed ${SEED}, round ${round}: ${JSON.stringify(answers)}`).toBe(1);
      expect(new Set(answers.filter((answer) => typeof answer === 'string'))).toEqual(new Set(['name_taken']));
      const winner = people[won[0] ?? -1]?.id;
      for (const door of [0, 1]) {
        const link = links.find((_, n) => n % 2 === door);
        const found = await until(
          () => link && answerOf(link, directory.find, { handle }),
          (answer) => answer !== 'unknown_handle', // the other door hears of it a moment later
        );
        expect(found).toMatchObject({ entry: { record: { account: winner } } });
      }
    }
    for (const person of people) person.close();
  });

  test('who moves to the other door stays online, and the first one’s link counts no more [D-12] [D-13]', async () => {
    await using doors = await open();
    using alice = await doors.visitor('alice');
    using bob = await doors.visitor('bob');
    const [a, b, watcher] = [await alice.to(doors.at(0)), await alice.to(doors.at(1)), await bob.to(doors.at(0))];
    await watcher.request(directory.watch, {});
    await alice.announce(a, { text: 'here' });
    await alice.announce(b, { text: 'there' });
    const { seq, until: end, sig } = alice.record({ text: 'here' });
    await until(
      () => answerOf(a, directory.renew, { seq, until: end, sig }),
      (answer) => answer === 'wrong_state',
    );
    a.close();
    // Longer than the grace of the link that ended: then whatever it could do would have been seen.
    const again = alice.record({ text: 'there' });
    await new Promise((done) => setTimeout(done, 600));
    await b.request(directory.renew, { seq: again.seq, until: again.until, sig: again.sig });
    expect((await watcher.request(directory.find, { account: alice.id })).entry).toMatchObject({ online: true });
    expect(bob.heardOf(alice.id).every(({ online }) => online)).toBe(true);
  });

  test('a version of one door is understood at the other: what changed since, or everybody [D-12] [D-15]', async () => {
    await using doors = await open();
    const people = await Promise.all(['alice', 'bob', 'carol'].map((name) => doors.visitor(name)));
    const [alice, bob, carol] = people;
    if (!alice || !bob || !carol) return expect.fail('nobody is there');
    const [a, b] = [await alice.to(doors.at(0)), await bob.to(doors.at(1))];
    await alice.announce(a);
    await bob.announce(b);
    const first = await until(
      () => a.request(directory.list, {}),
      ({ entries }) => entries.length === 2,
    );
    expect(first.full).toBe(true);
    await carol.announce(await carol.to(doors.at(1)), { text: 'new' });
    const later = await b.request(directory.list, { since: first.version });
    const accounts = later.entries.map(({ record }) => record.account);
    expect(accounts).toContain(carol.id);
    if (!later.full) expect(accounts).toEqual([carol.id]);
    // A renewal by itself is no news at either door.
    const settled = await until(
      () => Promise.all([a, b].map((link) => link.request(directory.list, {}))),
      ([here, there]) => here?.version === there?.version,
    );
    const again = alice.record();
    await a.request(directory.renew, { seq: again.seq, until: again.until, sig: again.sig });
    await until(
      () => b.request(directory.find, { account: alice.id }),
      ({ entry }) => entry.record.seq === again.seq,
    );
    for (const link of [a, b]) expect((await link.request(directory.list, {})).version).toBe(settled[0]?.version);
    const none = await b.request(directory.list, { since: settled[0]?.version });
    expect(none).toMatchObject({ full: false, entries: [], gone: [] });
    for (const person of people) person.close();
  });

  test('who hides at one door is hidden at the other, now and after all of it starts anew [D-51] [D-52]', async () => {
    await using doors = await open();
    using alice = await doors.visitor('alice');
    using bob = await doors.visitor('bob');
    using carol = await doors.visitor('carol');
    const [a, b, c] = [await alice.to(doors.at(0)), await bob.to(doors.at(1)), await carol.to(doors.at(1))];
    await alice.announce(a, { text: 'before' });
    await b.request(directory.watch, {});
    await c.request(directory.watch, {});
    const { version } = await b.request(directory.list, {});
    await a.request(directory.hide, { from: [bob.id], only: null });
    await until(
      () => bob.heardOf(alice.id),
      (heard) => heard.at(-1)?.online === false,
    );
    await alice.announce(a, { text: 'after' });
    await until(
      () => carol.heardOf(alice.id),
      (heard) => heard.at(-1)?.text === 'after',
    );
    expect(bob.heardOf(alice.id).every(({ text }) => text !== 'after')).toBe(true);
    expect(bob.heardOf(alice.id).filter(({ online }) => !online).length, 'told once').toBe(1);
    const since = await b.request(directory.list, { since: version });
    expect(since.entries).toMatchObject([{ online: false, record: { text: 'before' } }]);
    for (const person of [alice, bob, carol]) person.close();
    await doors.restart();
    const [again, other] = [await bob.to(doors.at(1)), await carol.to(doors.at(0))];
    expect((await again.request(directory.find, { account: alice.id })).entry).toMatchObject({
      online: false,
      record: { text: 'before' },
    });
    expect((await other.request(directory.find, { account: alice.id })).entry.record.text).toBe('after');
    // And who says so no more is seen again, wherever.
    const back = await alice.to(doors.at(1));
    await back.request(directory.hide, { from: [], only: null });
    await alice.announce(back, { text: 'back' });
    await until(
      () => again.request(directory.find, { account: alice.id }),
      ({ entry }) => entry.online && entry.record.text === 'back',
    );
  });

  test('a letter left at one door is held at both, told of and taken at the other, and gone at both [M-8] [K-8]', async () => {
    await using doors = await open();
    using alice = await doors.visitor('alice');
    using bob = await doors.visitor('bob');
    const [a, b] = [await alice.to(doors.at(0)), await bob.to(doors.at(1))];
    await alice.announce(a);
    await bob.announce(b);
    await until(
      () => a.request(directory.list, {}),
      ({ entries }) => entries.length === 2,
    );
    expect((await b.request(fetch, { after: 0 })).letters).toEqual([]);
    const { results } = await a.request(deposit, { to: bob.id, letters: [sealed(1), sealed(2)] });
    const holds = results.map((result) => ('hold' in result ? result.hold : expect.fail('refused')));
    for (const hold of holds) expect(holdVerified(hold)).toBe(true);
    expect(holds[0]).toMatchObject({
      holder: doors.at(0).peer,
      letter: letterId({ from: alice.id, to: bob.id, ...sealed(1) }),
    });
    await until(
      () => bob.waiting,
      (count) => count > 0,
    );
    const { letters } = await until(
      () => b.request(fetch, { after: 0 }),
      ({ letters }) => letters.length === 2,
    );
    expect(letters.map(({ data }) => data)).toEqual([sealed(1).data, sealed(2).data]);
    // The same letter at the other door is the same hold.
    const elsewhere = await alice.to(doors.at(1));
    const same = await elsewhere.request(deposit, { to: bob.id, letters: [sealed(1)] });
    expect(same.results).toEqual([{ hold: holds[0] }]);
    expect(await b.request(remove, { ids: [holds[0]?.letter ?? ''] })).toEqual({ deleted: 1 });
    expect(await b.request(remove, { ids: [holds[0]?.letter ?? ''] })).toEqual({ deleted: 0 });
    const there = await bob.to(doors.at(0));
    const left = await until(
      () => there.request(fetch, { after: 0 }),
      ({ letters }) => letters.length === 1,
    );
    expect(left.letters[0]?.data).toBe(sealed(2).data);
    // What was deleted and is left once more is held anew, at a place of its own.
    const third = await a.request(deposit, { to: bob.id, letters: [sealed(1)] });
    expect(third.results).toMatchObject([{ hold: { letter: holds[0]?.letter } }]);
    for (const person of [alice, bob]) person.close();
    await doors.restart();
    const last = await (await bob.to(doors.at(1))).request(fetch, { after: 0 });
    expect(last.letters.map(({ data }) => data)).toEqual([sealed(2).data, sealed(1).data]);
    const places = last.letters.map(({ place }) => place);
    expect(places[0]).toBeLessThan(places[1] ?? 0);
    expect(places[1]).toBeGreaterThan(Math.max(...letters.map(({ place }) => place)));
  });

  test('the bounds of a mailbox hold, whoever asks at whichever door [M-9]', async () => {
    const bound = { letters: 3, bytes: 1_000_000 };
    await using doors = await open({
      mailLimits: { ...MAIL_LIMITS, sender: bound, recipient: { letters: 5, bytes: 1_000_000 }, ageMs: 30 * DAY_MS },
    });
    using alice = await doors.visitor('alice');
    using bob = await doors.visitor('bob');
    using carol = await doors.visitor('carol');
    const [a, b, c] = [await alice.to(doors.at(0)), await bob.to(doors.at(1)), await carol.to(doors.at(1))];
    for (const [person, link] of [
      [alice, a],
      [bob, b],
      [carol, c],
    ] as const)
      await person.announce(link);
    await until(
      () => a.request(directory.list, {}),
      ({ entries }) => entries.length === 3,
    );
    const put = async (link: typeof a, ...fills: number[]) =>
      (await link.request(deposit, { to: carol.id, letters: fills.map((fill) => sealed(fill)) })).results.map(
        (result) => ('hold' in result ? 'held' : result.refused.code),
      );
    expect(await put(a, 1, 2, 3, 4, 5)).toEqual(['held', 'held', 'held', 'too_many', 'too_many']);
    await until(
      () => c.request(fetch, { after: 0 }),
      ({ letters }) => letters.length === 3,
    );
    expect(await put(b, 11, 12, 13)).toEqual(['held', 'held', 'queue_full']);
  });

  test('changes of one room at both doors at once get one order, the same at each, told to all [R-5] [R-6] [K-7]', async () => {
    await using doors = await open();
    const people = await Promise.all(Array.from({ length: 8 }, (_, n) => doors.visitor(`p${n}`)));
    const links = await Promise.all(people.map((person, n) => person.to(doors.at(n % 2))));
    const [owner] = people;
    const [first, second] = links;
    if (!owner || !first || !second) return expect.fail('nobody is there');
    for (const [n, person] of people.entries()) await person.announce(links[n] ?? first);
    const creation = owner.room('team', doors.at(0).peer);
    const id = roomId(creation);
    expect(await first.request(createRoom, { creation })).toEqual({ number: 0 });
    expect(await first.request(createRoom, { creation })).toEqual({ number: 0 });
    // The owner asks everybody in, through both doors at once.
    const elsewhere = await owner.to(doors.at(1));
    const invite = (n: number) => owner.change(id, 'invite', { target: people[n]?.id ?? '', role: 'member' });
    await until(
      () => answerOf(elsewhere, createRoom, { creation }),
      (answer) => typeof answer === 'object',
    );
    const asked = await Promise.all(
      people.slice(1).map((_, at) => (at % 2 ? first : elsewhere).request(changeRoom, { change: invite(at + 1) })),
    );
    expect(asked.map(({ ordered }) => ordered.number).sort((x, y) => x - y)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    // The same change again is the same place, at whichever door.
    const [one] = asked;
    expect(one && (await elsewhere.request(changeRoom, { change: one.ordered.change }))).toEqual(one);
    // All of them join at once.
    await Promise.all(
      people.slice(1).map(async (person, at) => {
        const link = links[at + 1] ?? first;
        await until(
          () => answerOf(link, myRooms, { after: null }),
          (rooms) => typeof rooms === 'object' && rooms.rooms.length === 1,
        );
        return link.request(changeRoom, { change: person.change(id, 'join', { base: 7 }) });
      }),
    );
    const orders: Ordered[][] = [];
    for (const link of [first, second]) {
      orders.push(
        await until(
          () => orderOf(link, id),
          (order) => order.length === 14,
        ),
      );
    }
    expect(orders[0]).toEqual(orders[1]);
    const state = orders[0]?.reduce(follow, founded(creation));
    expect(state?.members.size).toBe(8);
    for (const person of people) {
      const heard = await until(
        () => person.ordered,
        (ordered) => ordered.some(({ number }) => number === 14),
      );
      if (person === owner) continue; // on two links
      expect(heard.map(({ number }) => number)).toEqual([...heard.map(({ number }) => number)].sort((x, y) => x - y));
    }
    for (const person of people) person.close();
    await doors.restart();
    const again = await owner.to(doors.at(1));
    expect(await orderOf(again, id)).toEqual(orders[0]);
    const left = await again.request(changeRoom, {
      change: owner.change(id, 'remove', { target: people[7]?.id ?? '', upTo: 0, base: 14 }),
    });
    expect(left.ordered.number).toBe(15);
    const there = await owner.to(doors.at(0));
    await until(
      () => orderOf(there, id),
      (order) => order.length === 15,
    );
  });

  test('an order that was lost is taken back from members, and no other one [R-5]', async () => {
    await using doors = await open();
    using owner = await doors.visitor('owner');
    const link = await owner.to(doors.at(0));
    await owner.announce(link);
    const creation = owner.room('kept', doors.at(0).peer);
    await link.request(createRoom, { creation });
    using guest = await doors.visitor('guest');
    await link.request(changeRoom, {
      change: owner.change(roomId(creation), 'invite', { target: guest.id, role: 'member' }),
    });
    const order = await orderOf(link, roomId(creation));
    // Given what is there already, nothing changes; a forged one is refused.
    expect(await link.request(giveOrder, { creation, ordered: order })).toEqual({ number: 1 });
    const [real] = order;
    const forged = real && { ...real, number: 2, prev: real.prev };
    expect(await answerOf(link, giveOrder, { creation, ordered: forged ? [...order, forged] : [] })).toBe(
      'bad_signature',
    );
    expect(await orderOf(link, roomId(creation))).toEqual(order);
  });
});
