/**
 * Draws the table of all pairs of machines with the rung that each reached, and says whether it is as what stands between them allows.
 *
 *   npm run lab -- [machine...]
 *
 * Needs root, iproute2, nftables, conntrack and python3; everything happens in network namespaces of its own.
 */
import { parseArgs } from 'node:util';
import { Lab } from './lab.ts';
import { impossible } from './space.ts';
import { draw, isRight, meetAll } from './table.ts';
import { build, everybody } from './world.ts';

const { positionals } = parseArgs({ allowPositionals: true });

const reason = impossible();
if (reason !== undefined) throw new Error(`there can be no lab here: ${reason}`);
await using lab = await Lab.create();
const tracker = await lab.machine('tracker', await lab.site('middle', { ipv6: true }));
await tracker.tracker();
const machines = await build(lab, positionals.length > 0 ? positionals : everybody);
await Promise.all(machines.map((machine) => machine.up([tracker])));
const pairs = await meetAll(machines, {
  onPair: ({ from, to, expected, reached }) =>
    process.stderr.write(
      `${from.name} -> ${to.name}: ${reached}${reached === expected ? '' : `, expected ${expected}`}\n`,
    ),
});
process.stdout.write(`${draw(machines, pairs)}\n`);
process.exitCode = pairs.every(isRight) ? 0 : 1;
