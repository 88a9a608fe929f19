/** Row "start": the help, and a node with agent and tracker inside, beside an empty Node program. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Columns } from './columns.ts';
import { startUp } from './nodes.ts';
import type { Measured, Row } from './run.ts';

const LAUNCHER = resolve(import.meta.dirname, '../netapp');

function timed(program: string, args: string[]): Promise<number> {
  const at = performance.now();
  return new Promise((done, fail) => {
    execFile(program, args, (error) => (error ? fail(error) : done(performance.now() - at)));
  });
}

async function run({ runs }: { runs: number }): Promise<Measured> {
  const columns = new Columns();
  await timed(LAUNCHER, ['--help']); // fills the compile cache
  for (let n = 0; n < runs; n++) {
    const folder = await mkdtemp(join(tmpdir(), 'netapp-bench-'));
    try {
      columns.note('node -e 0, ms', await timed(process.execPath, ['-e', '0']));
      columns.note('netapp --help, ms', await timed(LAUNCHER, ['--help']));
      columns.note('netapp up, new home, until the agent answers, ms', await startUp(join(folder, 'home')));
      columns.note('netapp up, known home, until the agent answers, ms', await startUp(join(folder, 'home')));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  return {
    what: `${runs} runs, medians`,
    columns: columns.all,
    ratios: {
      'help / node -e 0': ['netapp --help, ms', 'node -e 0, ms'],
      'up / node -e 0': ['netapp up, new home, until the agent answers, ms', 'node -e 0, ms'],
    },
  };
}

export const startRow: Row = { name: 'start', run };
