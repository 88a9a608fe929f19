/**
 * A tracker of two processes on three nats-servers, of which machines die and stand still in the middle of work: what was
 * answered as bound, held or ordered stays so, at both doors, and all of it comes back by itself.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { sleep } from '../src/base/async.ts';
import { toBase64url } from '../src/base/encoding.ts';
import { silentLog } from '../src/base/log.ts';
import { letterId } from '../src/chat/letter.ts';
import { deposit, fetch } from '../src/chat/mailbox-wire.ts';
import { type Ordered, roomId } from '../src/chat/membership.ts';
import { changeRoom, createRoom } from '../src/chat/room-wire.ts';
import * as directory from '../src/directory/messages.ts';
import type { Link } from '../src/link/link.ts';
import { Tracker } from '../src/tracker/tracker.ts';
import { Doors } from './doors.ts';
import { Nats, needsNats } from './nats.ts';
import { random } from './talk.ts';
import { until } from './testnet.ts';
import { answerOf, orderOf, type Visitor } from './visitor.ts';

const SEED = Number(process.env.NETAPP_CHAOS_SEED ?? Math.floor(Math.random() * 2 ** 31));
/** Machines that die, one after the other. */
const ROUNDS = Number(process.env.NETAPP_CHAOS_ROUNDS ?? 2);
const PATIENCE_MS = 240_000;
/** Milliseconds in which a write is answered, whatever NATS does: its bound, and what a busy machine adds. */
const BOUND_MS = 15_000;

let undo: AsyncDisposableStack;
let nats: Nats;
let doors: Doors;

beforeEach(async ({ skip }) => {
  undo = new AsyncDisposableStack();
  needsNats(skip);
  nats = undo.use(await Nats.start(3));
  doors = undo.use(await Doors.open(nats));
}, PATIENCE_MS);
afterEach(() => undo.disposeAsync(), PATIENCE_MS);

const sealed = (text: string) => ({
  enc: toBase64url(new Uint8Array(32).fill(7)),
  data: toBase64url(Buffer.from(text.padEnd(64))),
});

/** People at both doors who do all that must last, and note what they were answered. */
class Work {
  readonly bound = new Map<string, string>();
  readonly held = new Set<string>();
  readonly ordered = new Map<number, Ordered>();
  readonly refused = new Set<string>();
  readonly #people: readonly [Visitor, Visitor];
  readonly #links: [Link, Link];
  readonly #reader: Visitor;
  readonly room: string;

  private constructor(people: readonly [Visitor, Visitor], links: [Link, Link], reader: Visitor, room: string) {
    this.#people = people;
    this.#links = links;
    this.#reader = reader;
    this.room = room;
  }

  static async begin(): Promise<Work> {
    const [ann, ben, reader] = [await doors.visitor('ann'), await doors.visitor('ben'), await doors.visitor('reader')];
    for (const person of [ann, ben, reader]) undo.use(person);
    const [a, b] = [await ann.to(doors.at(0)), await ben.to(doors.at(1))];
    await ann.announce(a);
    await ben.announce(b);
    await reader.announce(await reader.to(doors.at(0)));
    const creation = ann.room('work', doors.at(0).peer);
    await a.request(createRoom, { creation });
    for (const person of [ben]) {
      await a.request(changeRoom, {
        change: ann.change(roomId(creation), 'invite', { target: person.id, role: 'owner' }),
      });
      await until(
        () => answerOf(b, changeRoom, { change: person.change(roomId(creation), 'join', { base: 1 }) }),
        (answer) => typeof answer === 'object',
      );
    }
    for (const link of [a, b]) {
      await until(
        () => link.request(directory.list, {}),
        ({ entries }) => entries.length === 3,
      );
    }
    return new Work([ann, ben], [a, b], reader, roomId(creation));
  }

  /** One race for a handle, one letter and one change at each door, all at once. */
  async step(n: number): Promise<void> {
    const handle = `name${n}@${doors.zone}`;
    // New accounts: one may own 8 names only.
    const racers = await Promise.all([doors.visitor(`x${n}`), doors.visitor(`y${n}`)]);
    await Promise.all([
      ...racers.map((racer, door) => this.#race(racer, door, handle)),
      ...this.#links.map((link, door) => this.#leave(link, door, `letter ${n} at ${door}`)),
      ...this.#links.map((link, door) => this.#invite(link, door)),
    ]);
    for (const racer of racers) racer.close();
  }

  async #race(racer: Visitor, door: number, handle: string): Promise<void> {
    const answer = await answerOf(await racer.to(doors.at(door)), directory.announce, {
      record: racer.record({ handle }),
    });
    if (typeof answer === 'string') return this.#note(answer, ['name_taken']);
    expect(this.bound.get(handle), `two were told that they have "${handle}", seed ${SEED}`).toBeUndefined();
    this.bound.set(handle, racer.id);
  }

  async #leave(link: Link, door: number, text: string): Promise<void> {
    const answer = await answerOf(link, deposit, { to: this.#reader.id, letters: [sealed(text)] });
    if (typeof answer === 'string') return this.#note(answer);
    const from = this.#people[door]?.id ?? '';
    expect(answer.results).toMatchObject([
      { hold: { letter: letterId({ from, to: this.#reader.id, ...sealed(text) }) } },
    ]);
    this.held.add(text);
  }

  async #invite(link: Link, door: number): Promise<void> {
    const [person, stranger] = [this.#people[door], await doors.visitor('guest')];
    if (!person) return;
    const change = person.change(this.room, 'invite', { target: stranger.id, role: 'member', base: 2 });
    const answer = await answerOf(link, changeRoom, { change });
    if (typeof answer === 'string') return this.#note(answer);
    const { ordered } = answer;
    expect(this.ordered.get(ordered.number), `two changes have the number ${ordered.number}`).toBeUndefined();
    this.ordered.set(ordered.number, ordered);
  }

  /** Whatever is refused is refused as what may be tried again. */
  #note(code: string, others: readonly string[] = []): void {
    this.refused.add(code);
    expect(['tracker_down', 'timeout', ...others]).toContain(code);
  }

  /** All that was answered is so at each door, also for one that knows nothing but what NATS has. */
  async holds(): Promise<void> {
    for (const door of [0, 1]) {
      const [link, mail] = [await this.#people[0].to(doors.at(door)), await this.#reader.to(doors.at(door))];
      for (const [handle, account] of this.bound) {
        const { entry } = await until(
          () => link.request(directory.find, { handle }).catch(() => ({ entry: undefined })),
          ({ entry }) => entry !== undefined,
        );
        expect(entry?.record.account, `${handle} at door ${door}`).toBe(account);
      }
      const texts = new Set<string>();
      let after = 0;
      await until(
        async () => {
          const { letters } = await mail.request(fetch, { after });
          for (const { data } of letters) texts.add(Buffer.from(data, 'base64url').toString().trimEnd());
          after = letters.at(-1)?.place ?? after;
          if (letters.length === 0) await sleep(100); // a link may ask 50 times a second
          return texts;
        },
        () => this.held.isSubsetOf(texts),
      );
      const order = await until(
        () => orderOf(link, this.room),
        (order) => order.length >= Math.max(0, ...this.ordered.keys()),
      );
      for (const [number, ordered] of this.ordered) expect(order[number - 1]).toEqual(ordered);
    }
    const orders = [];
    for (const door of [0, 1]) orders.push(await orderOf(await this.#people[0].to(doors.at(door)), this.room));
    expect(orders[0]).toEqual(orders[1]);
  }
}

/** Works until something of each kind was answered well after `since`. */
async function worksAgain(work: Work, from: number): Promise<number> {
  const before = [work.bound.size, work.held.size, work.ordered.size];
  let n = from;
  await until(
    async () => {
      await work.step(n++);
      return [work.bound.size, work.held.size, work.ordered.size];
    },
    (now) => now.every((count, at) => count > (before[at] ?? 0)),
    PATIENCE_MS,
  );
  return n;
}

test(`machines of NATS die in the middle of work, one after the other, seed ${SEED} [K-3] [K-4] [K-7] [K-8]`, {
  timeout: PATIENCE_MS,
}, async () => {
  const work = await Work.begin();
  const next = random(SEED);
  let n = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const victim = (round + Math.floor(next() * 3)) % 3;
    for (let step = 0; step < 3; step++) await work.step(n++);
    const busy = work.step(n++);
    await nats.kill(victim);
    await busy;
    n = await worksAgain(work, n);
    await work.holds();
    nats.restart(victim);
    await nats.ready();
  }
  // A third machine knows only what NATS has; so does one that lost its copy.
  await doors.stop(1);
  await rm(join(doors.home(1), 'cluster.db'), { force: true });
  await doors.start(1);
  await work.holds();
  expect(work.bound.size).toBeGreaterThan(ROUNDS * 3);
});

test('without a majority of NATS everybody can still be found, nothing is bound or held, and all comes back by itself [K-9] [K-10]', {
  timeout: PATIENCE_MS,
}, async () => {
  const work = await Work.begin();
  await work.step(0);
  for (const index of [0, 1]) nats.freeze(index);
  const [reader, late] = [await doors.visitor('asker'), await doors.visitor('late')];
  const asking = await reader.to(doors.at(0));
  const handle = [...work.bound.keys()][0] ?? '';
  expect((await asking.request(directory.find, { handle })).entry.record.account).toBe(work.bound.get(handle));
  const links = [await late.to(doors.at(0)), await late.to(doors.at(1))];
  const started = performance.now();
  for (const link of links)
    expect(['tracker_down', 'timeout']).toContain(await answerOf(link, directory.announce, { record: late.record() }));
  expect(performance.now() - started).toBeLessThan(BOUND_MS * links.length);
  const counts = [work.bound.size, work.held.size, work.ordered.size];
  await work.step(1);
  expect([work.bound.size, work.held.size, work.ordered.size]).toEqual(counts);
  expect([...work.refused].filter((code) => code !== 'name_taken')).not.toEqual([]);
  for (const index of [0, 1]) nats.thaw(index);
  await worksAgain(work, 2);
  await work.holds();
  const [first] = links;
  if (!first) return expect.fail('no link');
  await until(
    () => answerOf(first, directory.announce, { record: late.record() }),
    (answer) => typeof answer === 'object',
    PATIENCE_MS,
  );
  // And all of NATS gone for a while, killed, as by a power cut.
  for (const index of [0, 1, 2]) await nats.kill(index);
  expect((await asking.request(directory.find, { handle })).entry.record.account).toBe(work.bound.get(handle));
  await work.step(1000);
  for (const index of [0, 1, 2]) nats.restart(index);
  await nats.ready();
  await worksAgain(work, 1001);
  await work.holds();
  for (const person of [reader, late]) person.close();
});

test('a process with another key is refused with what to do, and one that starts without NATS says so [K-1]', {
  timeout: PATIENCE_MS,
}, async () => {
  const options = { host: '127.0.0.1', port: 0, zone: doors.zone, engine: nats.url, log: silentLog() };
  const stranger = new Tracker({ ...options, home: join(doors.home(0), 'stranger') });
  await expect(stranger.start()).rejects.toMatchObject({
    code: 'wrong_key',
    message: expect.stringContaining('tracker.key'),
  });
  const other = undo.use(new Tracker({ ...options, home: join(doors.home(0), 'other'), zone: 'other' }));
  await other.start(); // its own zone is its own cluster
  expect(other.peer).not.toBe(doors.at(0).peer);
});
