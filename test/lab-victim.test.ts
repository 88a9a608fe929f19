/** Whoever says that they are where a victim is brings the victim one small burst of packets at most, whatever they do. [D-20] [D-22] */
import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Lab } from './lab/lab.ts';
import type { Machine } from './lab/machine.ts';
import { usualNat } from './lab/nat.ts';
import { impossible } from './lab/space.ts';
import { needs } from './needs.ts';

const PROGRAM = resolve(import.meta.dirname, 'stranger-program.ts');
/** Packets of one burst: to 8 addresses, a SYN that is said again once. */
const BURST = 16;
/** Times that a stranger says it, and strangers who do. */
const TIMES = 12;
const STRANGERS = 12;
/** Milliseconds after the last word in which what it made somebody do is seen. */
const AFTER_MS = 5000;

const reason = impossible();
let lab: Lab;
let tracker: Machine;
let victim: Machine;
/** One behind the same router as the stranger, and one elsewhere. */
let neighbour: Machine;
let other: Machine;
let stranger: Machine;

beforeAll(async () => {
  if (reason !== undefined) return;
  lab = await Lab.create();
  const home = await lab.site('home', { nat: usualNat });
  tracker = await lab.machine('tracker', await lab.site('middle'));
  victim = await lab.machine('victim', await lab.site('victim'));
  neighbour = await lab.machine('neighb', home);
  stranger = await lab.machine('stranger', home);
  other = await lab.machine('other', await lab.site('open'));
  await tracker.tracker();
  await Promise.all([neighbour.up([tracker]), other.up([tracker])]);
});

afterAll(async () => {
  await lab?.[Symbol.asyncDispose]();
});

/** Counts what comes in from now on; nobody there answers. */
async function count(): Promise<() => Promise<{ packets: number; bytes: number }>> {
  await victim.space.nft(`
flush ruleset
table inet watch {
  counter arrived { }
  chain input {
    type filter hook input priority filter; policy accept;
    ip saddr != 0.0.0.0 counter name arrived drop
  }
}
`);
  return async () => {
    const said = await victim.space.run('nft', 'list', 'counters');
    const [, packets, bytes] = /packets (\d+) bytes (\d+)/.exec(said) ?? [];
    return { packets: Number(packets), bytes: Number(bytes) };
  };
}

/** The stranger's program, and what the tracker answers to a word of it. */
function speak(addresses: readonly string[]): { announce(name: string): Promise<unknown>; end(): void } {
  const [command = '', ...within] = stranger.space.within;
  const child = spawn(command, [...within, process.execPath, PROGRAM, tracker.inviteText, ...addresses], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    announce: async (name) => {
      child.stdin.write(`announce ${name}\n`);
      const { value } = await lines.next();
      return JSON.parse(String(value));
    },
    end: () => child.kill('SIGKILL'),
  };
}

test('a stranger at eight ports of a victim', async ({ skip }) => {
  needs(reason === undefined, `there can be no lab here: ${reason}`, skip);
  const ports = [22, 53, 80, 443, 8080, 22236, 33357, 50000];
  const addresses = ports.map((port) => `${victim.plug.ipv4}:${port}`);
  const arrived = await count();
  const program = speak(addresses);
  try {
    // One who says it again and again, whom others want to reach.
    for (let time = 0; time < TIMES; time++)
      expect(await program.announce('mallory')).toEqual({ name: 'mallory', checked: [] });
    await Promise.all(
      [neighbour, other].map(async ({ client }) => {
        await client.messages.say({ handle: 'mallory', text: 'hello?' });
        await expect(client.links.connect({ target: 'mallory' })).rejects.toMatchObject({ code: 'peer_unreachable' });
      }),
    );
    await pause(AFTER_MS);
    const one = await arrived();
    expect(one.packets, 'the tracker looks whether they are there').toBeGreaterThan(0);
    expect(one.packets, 'packets of one stranger').toBeLessThanOrEqual(BURST);

    // Many, each with keys of their own: they share what one may bring about.
    for (let n = 0; n < STRANGERS; n++) await program.announce(`mallory${n}`);
    await pause(AFTER_MS);
    const all = await arrived();
    expect(all.packets, 'packets of all strangers').toBeLessThanOrEqual(2 * BURST);
    expect(all.bytes, 'bytes of all').toBeLessThan(4096);
  } finally {
    program.end();
  }
});
