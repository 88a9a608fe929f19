/**
 * Ten nodes and their tracker as real programs, in one room, all talking, while one after the other is killed, stopped dead for
 * a while, and started again. In the end every member has every message exactly once, in the same order, and every
 * state is true. Seeded: NETAPP_CHAOS_SEED replays the same choices; NETAPP_CHAOS_MESSAGES sets how many are said.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Running, start } from './program.ts';
import { random, Talk } from './talk.ts';

const SEED = Number(process.env.NETAPP_CHAOS_SEED ?? Math.floor(Math.random() * 2 ** 31));
const MESSAGES = Number(process.env.NETAPP_CHAOS_MESSAGES ?? 5000);
const NAMES = Array.from({ length: 10 }, (_, n) => `node${n}`);
/** Milliseconds between two misfortunes, and that a program stays stopped dead. */
const EVERY_MS = 1000;
const STOPPED_MS = 1500;
const ROOM = '#chaos';
const PATIENCE_MS = 600_000;

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

test(`${MESSAGES} messages, seed ${SEED}`, { timeout: PATIENCE_MS }, async () => {
  const talk = new Talk(NAMES, ROOM, clientOf);
  await talk.begin();
  let talking = true;
  const chaos = misfortunes(random(SEED), () => !talking);
  await Promise.all(NAMES.map((name) => talk.speak(name, MESSAGES / NAMES.length))).finally(() => {
    talking = false;
  });
  expect(await chaos).toBeGreaterThan(5);
  await talk.agrees(PATIENCE_MS);
});
