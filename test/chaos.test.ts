/**
 * Ten nodes and their tracker as real programs, in one room, all talking, while one after the other is killed, stopped dead for
 * a while, and started again. In the end every member has every message exactly once, in the same order, and every
 * state is true. Seeded: NETAPP_CHAOS_SEED replays the same choices; NETAPP_CHAOS_MESSAGES sets how many are said.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Message } from '../src/api/shapes.ts';
import { Fault } from '../src/base/fault.ts';
import { type Running, start } from './program.ts';
import { until } from './testnet.ts';

const SEED = Number(process.env.NETAPP_CHAOS_SEED ?? Math.floor(Math.random() * 2 ** 31));
const MESSAGES = Number(process.env.NETAPP_CHAOS_MESSAGES ?? 5000);
const NAMES = Array.from({ length: 10 }, (_, n) => `node${n}`);
/** Milliseconds between two misfortunes, and that a program stays stopped dead. */
const EVERY_MS = 1000;
const STOPPED_MS = 1500;
const ROOM = '#chaos';
const PATIENCE_MS = 600_000;

/** Mulberry32: small, and the same everywhere. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

let folder: string;
let invite: string;
let port: string;
let tracker: Running;
const nodes = new Map<string, Running>();

const nodeArgs = (name: string): string[] => ['up', '--name', name, '--port', '0', '--join', invite];
const trackerUp = (): Promise<Running> => start(join(folder, 'tracker'), ['tracker', '--port', port]);
const nodeUp = (name: string): Promise<Running> => start(join(folder, name), nodeArgs(name));
const clientOf = (name: string) => (nodes.get(name) ?? expect.fail(`no node "${name}"`)).client;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'netapp-chaos-'));
  port = '0';
  tracker = await trackerUp();
  port = tracker.text('port');
  invite = tracker.text('invite');
  for (const name of NAMES) nodes.set(name, await nodeUp(name));
}, PATIENCE_MS);

afterAll(async () => {
  await Promise.all([...nodes.values(), tracker].map((program) => program?.[Symbol.asyncDispose]()));
  await rm(folder, { recursive: true, force: true });
});

/** Whether the program certainly did not take the request: nobody was there to take it. */
const surelyNot = (error: unknown): boolean => error instanceof Fault && error.code === 'agent_down';

/** Says `count` messages as one member, across its own deaths. */
async function talk(name: string, count: number, said: Set<string>, perhaps: Set<string>): Promise<void> {
  for (let n = 0; n < count; ) {
    const text = `${name} says ${n}`;
    try {
      await clientOf(name).messages.say({ handle: ROOM, text });
      said.add(text);
      n += 1;
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      if (!surelyNot(error)) {
        if (!['link_closed', 'timeout', 'cancelled'].includes(error.code)) throw error;
        perhaps.add(text); // the answer was lost: it may have been taken
        n += 1;
      }
      await new Promise((done) => setTimeout(done, 50));
    }
  }
}

/** Kills, stops and restarts programs until it is told to end; leaves all of them running. */
async function misfortunes(next: () => number, ended: () => boolean): Promise<number> {
  let count = 0;
  const busy = new Set<Promise<void>>();
  const unlucky = new Set<string>();
  while (!ended()) {
    await new Promise((done) => setTimeout(done, EVERY_MS * (0.5 + next())));
    const candidates = ['tracker', ...NAMES].filter((name) => !unlucky.has(name));
    const name = candidates[Math.floor(next() * candidates.length)] ?? 'tracker';
    const stops = next() < 0.3;
    unlucky.add(name);
    const work = (stops ? stopDead(name) : killed(name)).finally(() => {
      unlucky.delete(name);
      busy.delete(work);
    });
    busy.add(work);
    count += 1;
    if (busy.size >= 3) await Promise.race(busy);
  }
  await Promise.all(busy);
  return count;
}

const program = (name: string): Running => (name === 'tracker' ? tracker : (nodes.get(name) ?? expect.fail(name)));

async function killed(name: string): Promise<void> {
  await program(name).kill();
  if (name === 'tracker') tracker = await trackerUp();
  else nodes.set(name, await nodeUp(name));
}

/** As a laptop that sleeps: its connections stand, and nothing answers. */
async function stopDead(name: string): Promise<void> {
  const { child } = program(name);
  child.kill('SIGSTOP');
  await new Promise((done) => setTimeout(done, STOPPED_MS));
  child.kill('SIGCONT');
}

async function everything(name: string): Promise<Message[]> {
  const pages: Message[][] = [];
  for (let before: string | undefined; ; ) {
    const page: Message[] = await clientOf(name).messages.list({ handle: ROOM, limit: 1000, before });
    pages.unshift(page);
    if (page.length < 1000) return pages.flat();
    before = page[0]?.id;
  }
}

test(`${MESSAGES} messages, seed ${SEED}`, { timeout: PATIENCE_MS }, async () => {
  const next = random(SEED);
  const [first = '', ...others] = NAMES;
  await clientOf(first).rooms.create({ name: 'chaos', members: others });
  for (const name of others) {
    await until(
      () => clientOf(name).rooms.list(),
      (rooms) => rooms.length === 1,
    );
    await clientOf(name).rooms.join({ room: ROOM });
  }
  const [said, perhaps] = [new Set<string>(), new Set<string>()];
  let talking = true;
  const chaos = misfortunes(next, () => !talking);
  await Promise.all(NAMES.map((name) => talk(name, MESSAGES / NAMES.length, said, perhaps))).finally(() => {
    talking = false;
  });
  const count = await chaos;
  expect(count).toBeGreaterThan(5);

  const whole = (messages: Message[]): boolean => {
    const texts = new Set(messages.map(({ text }) => text));
    return said.isSubsetOf(texts);
  };
  const histories = new Map<string, Message[]>();
  for (const name of NAMES) histories.set(name, await until(() => everything(name), whole, PATIENCE_MS));
  const settled = (messages: Message[]): boolean =>
    messages.every(({ state }) => state !== 'queued' && state !== 'held');
  for (const name of NAMES) {
    const own = await until(() => everything(name), settled, PATIENCE_MS);
    const states = new Set(own.map(({ from, state }) => (from === `${name}@lab` ? state : `others: ${state}`)));
    expect([...states].sort(), `states at ${name}`).toEqual(['delivered', 'others: received']);
    histories.set(name, own); // with what was perhaps said, and came later
  }
  const reference = histories.get(first)?.map(({ id, text }) => `${id} ${text}`) ?? [];
  for (const [name, messages] of histories) {
    const texts = messages.map(({ text }) => text);
    expect(new Set(texts).size, `${name} shows none twice`).toBe(texts.length);
    expect(
      texts.filter((text) => !said.has(text) && !perhaps.has(text)),
      `${name} shows nothing that was not said`,
    ).toEqual([]);
    expect(
      messages.map(({ id, text }) => `${id} ${text}`),
      `order at ${name}`,
    ).toEqual(reference);
  }
});
