/** What happens to a network while a file is on its way, one trouble after the other; after each, the file must go on. */
import { setTimeout as pause } from 'node:timers/promises';
import { Errand } from './errand.ts';
import { Lab } from './lab.ts';
import { usualNat } from './nat.ts';

/** Milliseconds of 20 % loss, and that a tracker is away. */
const LOSS_MS = 10_000;
const AWAY_MS = 2000;

export type Survived = { trouble: string; rung: string; ms: number };

/**
 * Sends so many MiB, over a line of so many Mbit/s, from a machine behind a usual router to one behind a router with which punching is
 * impossible, and then possible. Gives what was survived in which time, and what is wrong in the end.
 */
export async function surviveAll(options: {
  mib: number;
  mbit: number;
  onSurvived?: (survived: Survived) => void;
}): Promise<{ survived: Survived[]; messages: number; wrong: string[] }> {
  await using lab = await Lab.create();
  const first = await lab.machine('first', await lab.site('north'));
  const second = await lab.machine('second', await lab.site('south'));
  await first.tracker();
  await second.tracker('--primary', first.inviteText);
  const [home, strict] = [
    await lab.site('home', { nat: usualNat }),
    await lab.site('strict', { nat: { ...usualNat, mapping: 'per-destination' } }),
  ];
  const [alice, bob] = [await lab.machine('alice', home), await lab.machine('bob', strict)];
  await strict.limit(options.mbit);
  await Promise.all([alice.up([first, second]), bob.up([first, second])]);

  const errand = await Errand.begin(alice, bob, options.mib);
  const survived: Survived[] = [];
  const survive = async (trouble: string, act: () => Promise<void>): Promise<void> => {
    const began = performance.now();
    await act();
    await errand.goesOn();
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
  await survive('a tracker restarts', async () => {
    await first.end();
    await pause(AWAY_MS);
    await first.tracker();
  });
  await survive('the other tracker, and its relay, dies', () => second.end());
  await survive('the routers forget their connections', async () => {
    await Promise.all([home.forget(), strict.forget()]);
  });
  await survive('a path opens', async () => {
    await strict.replaceNat(usualNat);
    await errand.standsOn('punched');
  });
  await survive('the receiver’s address changes', () => bob.move('192.168.1.77'));
  await survive('the sender’s address changes', () => alice.move('192.168.1.88'));
  await survive('the routers forget again', async () => {
    await Promise.all([home.forget(), strict.forget()]);
  });
  return { survived, ...(await errand.end()) };
}
