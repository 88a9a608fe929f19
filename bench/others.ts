/** Row "others": one file, memory disk to memory disk until verified, beside the programs that people use for it. */
import { mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Columns } from './columns.ts';
import { contenders, isHere } from './contenders.ts';
import { makeFile, ours, warm } from './file.ts';
import type { Measured, Row } from './run.ts';

const MiB = 1024 * 1024;

async function run({ runs, size: sizeMiB = 2048 }: { runs: number; size: number | undefined }): Promise<Measured> {
  const home = await mkdtemp('/dev/shm/netapp-bench-');
  const size = sizeMiB * MiB;
  const columns = new Columns();
  const here = contenders.filter(({ name, needs }) => {
    const missing = needs.filter((program) => !isHere(program));
    if (missing.length > 0) process.stderr.write(`NOT MEASURED: ${name}: there is no ${missing.join(', ')} here\n`);
    return missing.length === 0;
  });
  try {
    const source = join(home, 'source.bin');
    await makeFile(source, size);
    for (let n = 0; n < runs; n++) {
      for (const contender of here) {
        const folder = join(home, 'run');
        await mkdir(folder);
        const out = join(folder, 'out.bin');
        {
          await using running = await contender.start(folder, source, size);
          await warm(folder, size);
          const at = performance.now();
          await running.fetch(out);
          columns.note(`${contender.name}, GB/s`, size / (performance.now() - at) / 1e6);
        }
        if ((await stat(out)).size !== size) throw new Error(`${contender.name}: the file that came is not as long`);
        await rm(folder, { recursive: true });
      }
      const place = join(home, 'netapp');
      columns.note('netapp, accept to verified, GB/s', (await ours(place, source, size)).accepted);
      await rm(place, { recursive: true });
    }
  } finally {
    await rm(home, { recursive: true, force: true });
  }
  const theirs = here.map(({ name }) => name);
  return {
    what: `${sizeMiB} MiB, ${runs} runs, medians`,
    columns: columns.all,
    ratios: Object.fromEntries(
      theirs.map((name) => [`netapp / ${name}`, ['netapp, accept to verified, GB/s', `${name}, GB/s`]]),
    ),
  };
}

export const othersRow: Row = { name: 'others', run };
