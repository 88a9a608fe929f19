/** A file and a talk go on over everything that happens to a network: nothing is lost, and nothing comes twice. */
import { expect, test } from 'vitest';
import { impossible } from './lab/space.ts';
import { surviveAll } from './lab/troubles.ts';
import { needs } from './needs.ts';

/** A file that takes so long that all troubles fall into it, also where a path that opens is used late; what is left then comes at once. */
const MIB = 160;
const MBIT = 12;
const MESSAGES = 100;

const reason = impossible();

test(`${MIB} MiB through loss, dead relays, restarts, NATs that forget, and moves`, { timeout: 600_000 }, async ({
  skip,
}) => {
  needs(reason === undefined, `there can be no lab here: ${reason}`, skip);
  const { survived, messages, wrong } = await surviveAll({ mib: MIB, mbit: MBIT, brief: true });
  expect(wrong).toEqual([]);
  expect(messages).toBeGreaterThan(MESSAGES);
  const rungs = survived.map(({ rung }) => rung);
  expect(rungs.slice(0, 2), 'at first there is no way but the relay').toEqual(['relay', 'relay']);
  expect(rungs, 'then a path opens').toContain('punched');
});
