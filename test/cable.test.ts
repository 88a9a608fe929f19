/**
 * Six nodes on machines of their own, as far as a network can tell, all talking in one room while cables are cut and mended: some
 * with the interface going down, some in silence, as behind a switch. Seeded: NETAPP_CHAOS_SEED replays the same choices.
 */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { needs } from './needs.ts';
import { type Running, start } from './program.ts';
import { random, Talk } from './talk.ts';
import { until } from './testnet.ts';

const SEED = Number(process.env.NETAPP_CHAOS_SEED ?? Math.floor(Math.random() * 2 ** 31));
const MESSAGES = Number(process.env.NETAPP_CHAOS_MESSAGES ?? 600);
const NAMES = Array.from({ length: 6 }, (_, n) => `node${n}`);
/** Milliseconds between two messages of one, between two cuts, and that a cable stays cut. */
const PAUSE_MS = 60;
const EVERY_MS = 400;
const CUT_MS = 1500;
const PATIENCE_MS = 300_000;
/** A network that exists in the namespaces of this test alone. */
const SUBNET = '10.213.0';

const hub = `netapp-cable-${process.pid}`;
const spaceOf = (name: string): string => `${hub}-${name}`;
const portOf = (name: string): string => `to-${name}`;

const ip = (...args: string[]): boolean => spawnSync('ip', args, { stdio: 'ignore' }).status === 0;

function mustIp(...args: string[]): void {
  const { status, stderr } = spawnSync('ip', args);
  expect(status, `ip ${args.join(' ')}: ${stderr}`).toBe(0);
}

const possible = ip('netns', 'add', hub);
let folder: string;
let tracker: Running | undefined;
const nodes = new Map<string, Running>();
const clientOf = (name: string) => (nodes.get(name) ?? expect.fail(`no node "${name}"`)).client;

/** A switch, and a machine with one cable to it for each name. */
function build(): void {
  mustIp('-n', hub, 'link', 'set', 'lo', 'up');
  mustIp('-n', hub, 'link', 'add', 'switch', 'type', 'bridge');
  mustIp('-n', hub, 'address', 'add', `${SUBNET}.1/24`, 'dev', 'switch');
  mustIp('-n', hub, 'link', 'set', 'switch', 'up');
  for (const [index, name] of NAMES.entries()) {
    const space = spaceOf(name);
    mustIp('netns', 'add', space);
    mustIp('-n', space, 'link', 'set', 'lo', 'up');
    mustIp('-n', hub, 'link', 'add', portOf(name), 'type', 'veth', 'peer', 'name', 'eth0', 'netns', space);
    mustIp('-n', hub, 'link', 'set', portOf(name), 'master', 'switch', 'up');
    mustIp('-n', space, 'address', 'add', `${SUBNET}.${index + 10}/24`, 'dev', 'eth0');
    mustIp('-n', space, 'link', 'set', 'eth0', 'up');
  }
}

/** Cuts a cable: `silent`, and its machine sees nothing but that no answer comes; else the machine’s own interface is down. */
function cut(name: string, { silent }: { silent: boolean }): void {
  if (silent) mustIp('-n', hub, 'link', 'set', portOf(name), 'nomaster');
  else mustIp('-n', spaceOf(name), 'link', 'set', 'eth0', 'down');
}

function mend(name: string): void {
  mustIp('-n', hub, 'link', 'set', portOf(name), 'master', 'switch');
  mustIp('-n', spaceOf(name), 'link', 'set', 'eth0', 'up');
}

beforeAll(async () => {
  if (!possible) return;
  build();
  folder = await mkdtemp(join(tmpdir(), 'netapp-cable-'));
  const inside = (space: string) => ({ within: ['ip', 'netns', 'exec', space] });
  tracker = await start(join(folder, 'tracker'), ['tracker', '--port', '0'], { host: `${SUBNET}.1`, ...inside(hub) });
  const invite = tracker.text('invite');
  expect(invite).toContain(`${SUBNET}.1`);
  const up = (name: string) =>
    start(join(folder, name), ['up', '--name', name, '--port', '0', '--join', invite], {
      host: null,
      ...inside(spaceOf(name)),
    });
  for (const name of NAMES) nodes.set(name, await up(name));
}, PATIENCE_MS);

afterAll(async () => {
  await Promise.all([...nodes.values(), tracker].map((program) => program?.[Symbol.asyncDispose]()));
  for (const space of [hub, ...NAMES.map(spaceOf)]) ip('netns', 'delete', space);
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

/** Cuts one cable after the other until it is told to end; mends all it cut. Gives how often a message was seen to wait. */
async function cuts(talk: Talk, next: () => number, ended: () => boolean): Promise<{ count: number; waited: number }> {
  let [count, waited] = [0, 0];
  const busy = new Map<string, Promise<void>>();
  while (!ended()) {
    await new Promise((done) => setTimeout(done, EVERY_MS * (0.5 + next())));
    const [name, silent, ms] = [NAMES[Math.floor(next() * NAMES.length)] ?? '', next() < 0.5, CUT_MS * (0.5 + next())];
    if (busy.has(name) || busy.size >= 3) continue;
    cut(name, { silent });
    count += 1;
    const work = new Promise((done) => setTimeout(done, ms))
      .then(async () => {
        const [last] = await talk.clientOf(name).messages.list({ handle: talk.room, limit: 1 });
        if (last?.from === `${name}@lab` && last.state === 'queued') waited += 1;
      })
      .finally(() => {
        mend(name);
        busy.delete(name);
      });
    busy.set(name, work);
  }
  await Promise.all(busy.values());
  return { count, waited };
}

test(`${MESSAGES} messages, seed ${SEED}`, { timeout: PATIENCE_MS }, async ({ skip }) => {
  needs(possible, 'no cable can be cut: "ip netns add" failed: run as root, with iproute2', skip);
  const talk = new Talk(NAMES, '#cable', clientOf);
  await talk.begin();
  let talking = true;
  const cutting = cuts(talk, random(SEED), () => !talking);
  await Promise.all(NAMES.map((name) => talk.speak(name, MESSAGES / NAMES.length, PAUSE_MS))).finally(() => {
    talking = false;
  });
  const { count, waited } = await cutting;
  expect(count).toBeGreaterThan(5);
  expect(waited, 'messages that were said while the cable was cut wait').toBeGreaterThan(0);
  await talk.agrees(PATIENCE_MS);

  // A cable that stays cut in silence: what is said to whoever is behind it is held for them, and is there when it is mended.
  const [first = '', lonely = ''] = NAMES;
  cut(lonely, { silent: true });
  const { id } = await clientOf(first).messages.say({ handle: lonely, text: 'while you were gone' });
  talk.said.add('in the room');
  await clientOf(first).messages.say({ handle: talk.room, text: 'in the room' });
  await until(
    () => clientOf(first).messages.show({ id }),
    ({ state }) => state === 'held',
    PATIENCE_MS,
  );
  mend(lonely);
  await until(
    () => clientOf(first).messages.show({ id }),
    ({ state }) => state === 'delivered',
    PATIENCE_MS,
  );
  await talk.agrees(PATIENCE_MS);
});
