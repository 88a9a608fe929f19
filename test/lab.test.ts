/** Wherever two machines are, they get a connection, and the best that what stands between them allows. */
import { expect, test } from 'vitest';
import { Lab } from './lab/lab.ts';
import { impossible } from './lab/space.ts';
import { draw, isRight, meetAll } from './lab/table.ts';
import { build, everybody, upAll } from './lab/world.ts';
import { needs } from './needs.ts';

const reason = impossible();

test('every pair of machines reaches the rung that is possible', { timeout: 300_000 }, async ({ skip }) => {
  needs(reason === undefined, `there can be no lab here: ${reason}`, skip);
  await using lab = await Lab.create();
  const tracker = await lab.machine('tracker', await lab.site('middle', { ipv6: true }));
  await tracker.tracker();
  const machines = await build(lab);
  await upAll(machines, [tracker]);
  const pairs = await meetAll(machines);
  expect(pairs).toHaveLength((everybody.length * (everybody.length - 1)) / 2);
  expect(pairs.filter((pair) => !isRight(pair)).length, draw(machines, pairs)).toBe(0);
});
