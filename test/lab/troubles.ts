/** What happens to a network while a file is on its way, one trouble after the other; after each, the file must go on. */
import { setTimeout as pause } from 'node:timers/promises';
import { Errand } from './errand.ts';
import { Lab } from './lab.ts';
import type { Machine } from './machine.ts';
import { usualNat } from './nat.ts';

/** Milliseconds of 20 % loss, and that a tracker is away. */
const LOSS_MS = 10_000;
const AWAY_MS = 2000;

/** Mbit/s for what is left when all troubles are over. */
const LIFTED_MBIT = 1000;
/** Milliseconds in which it shows who passes bytes on. */
const LOOK_MS = 2000;

/** The one of two machines that gets more bytes now, and the other one. */
async function busierOf(one: Machine, other: Machine): Promise<[Machine, Machine]> {
  const count = async (): Promise<[number, number]> => [await one.received(), await other.received()];
  const [before, beforeOther] = await count();
  await pause(LOOK_MS);
  const [after, afterOther] = await count();
  return after - before > afterOther - beforeOther ? [one, other] : [other, one];
}

export type Survived = { trouble: string; rung: string; ms: number };

/**
 * Sends so many MiB, over a line of so many Mbit/s, from a machine behind a usual router to one behind a router with which punching is
 * impossible, and then possible. Gives what was survived in which time, and what is wrong in the end.
 */
export async function surviveAll(options: {
  mib: number;
  mbit: number;
  /** Without the last trouble, which was there before on another rung, and takes as long as all others. */
  brief?: boolean;
  onSurvived?: (survived: Survived) => void;
}): Promise<{ survived: Survived[]; messages: number; wrong: string[] }> {
  await using lab = await Lab.create();
  const first = await lab.machine('first', await lab.site('north'));
  const second = await lab.machine('second', await lab.site('south'));
  await first.tracker();
  const primary = ['--primary', first.inviteText];
  await second.tracker(...primary);
  const [home, strict] = [
    await lab.site('home', { nat: usualNat }),
    await lab.site('strict', { nat: { ...usualNat, mapping: 'per-destination' } }),
  ];
  const [alice, bob] = [await lab.machine('alice', home), await lab.machine('bob', strict)];
  await strict.limit(options.mbit);
  await Promise.all([alice.up([first, second]), bob.up([first, second])]);

  const errand = await Errand.begin(alice, bob, options.mib);
  const survived: Survived[] = [];
  // More than was under way already when the trouble came.
  const mibOn = Math.max(3, options.mbit / 8);
  const survive = async (trouble: string, act: () => Promise<void>): Promise<void> => {
    const began = performance.now();
    await act();
    await errand.goesOn(mibOn);
    const { links } = await errand.file();
    const one = { trouble, rung: links[0]?.rung ?? 'none', ms: performance.now() - began };
    survived.push(one);
    options.onSurvived?.(one);
  };
  const lose = async (): Promise<void> => {
    await strict.line.set({ loss: 0.2 });
    await pause(LOSS_MS);
    await strict.line.set({ loss: 0 });
  };

  await survive('nothing yet', () => errand.standsOn('relay'));
  await survive('20 % loss for 10 s', lose);
  const [relaying, other] = await busierOf(first, second);
  await survive('the relay dies', () => relaying.end());
  await survive('its tracker comes back, and the other relay dies', async () => {
    await relaying.tracker(...(relaying === second ? primary : []));
    await other.end();
  });
  await survive('the tracker that is left restarts', async () => {
    await relaying.end();
    await pause(AWAY_MS);
    await relaying.tracker(...(relaying === second ? primary : []));
  });
  await survive('the routers forget their connections', async () => {
    await Promise.all([home.forget(), strict.forget()]);
  });
  await survive('a path opens', async () => {
    await strict.replaceNat(usualNat);
    await errand.standsOn('punched');
  });
  await survive('the receiver’s address changes', () => bob.move('192.168.1.77'));
  await survive('the sender’s address changes', () => alice.move('192.168.1.88'));
  if (!options.brief)
    await survive('the routers forget again', async () => {
      await Promise.all([home.forget(), strict.forget()]);
    });
  await strict.limit(LIFTED_MBIT);
  return { survived, ...(await errand.end()) };
}
