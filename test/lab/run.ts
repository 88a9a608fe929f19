/**
 * Draws the table of all pairs of machines with the rung that each reached, and says whether it is as what stands between them allows.
 *
 *   npm run lab -- [machine...]
 *   npm run lab -- --transfer [--mib 1024] [--mbit 200]
 *
 * `--transfer` sends a file through all troubles that a network has, instead. Needs root, iproute2, nftables, conntrack and python3;
 * everything happens in network namespaces of its own.
 */
import { parseArgs } from 'node:util';
import { Lab } from './lab.ts';
import { impossible } from './space.ts';
import { draw, isRight, meetAll } from './table.ts';
import { surviveAll } from './troubles.ts';
import { build, everybody, upAll } from './world.ts';

async function drawTable(names: readonly string[]): Promise<boolean> {
  await using lab = await Lab.create();
  const tracker = await lab.machine('tracker', await lab.site('middle', { ipv6: true }));
  await tracker.tracker();
  const machines = await build(lab, names);
  await upAll(machines, [tracker]);
  const pairs = await meetAll(machines, {
    onPair: ({ from, to, expected, reached }) =>
      process.stderr.write(
        `${from.name} -> ${to.name}: ${reached}${reached === expected ? '' : `, expected ${expected}`}\n`,
      ),
  });
  process.stdout.write(`${draw(machines, pairs)}\n`);
  return pairs.every(isRight);
}

async function transfer(mib: number, mbit: number): Promise<boolean> {
  const { messages, wrong } = await surviveAll({
    mib,
    mbit,
    onSurvived: ({ trouble, rung, ms }) =>
      process.stdout.write(`${trouble.padEnd(45)} ${rung.padEnd(8)} ${(ms / 1000).toFixed(1)} s\n`),
  });
  process.stdout.write(
    `${mib} MiB and ${messages} messages: ${wrong.length === 0 ? 'all there, once' : wrong.join('; ')}\n`,
  );
  return wrong.length === 0;
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    transfer: { type: 'boolean', default: false },
    mib: { type: 'string', default: '1024' },
    mbit: { type: 'string', default: '200' },
  },
});
const reason = impossible();
if (reason !== undefined) throw new Error(`there can be no lab here: ${reason}`);
const isRightAll = values.transfer
  ? await transfer(Number(values.mib), Number(values.mbit))
  : await drawTable(positionals.length > 0 ? positionals : everybody);
process.exitCode = isRightAll ? 0 : 1;
