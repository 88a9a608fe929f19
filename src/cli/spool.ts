/** Keeps what standard input says as a file in the home, until the agent has sent it. */
import { randomUUID } from 'node:crypto';
import { mkdir, open, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { reasonOf } from '../base/async.ts';
import { Fault, toFault } from '../base/fault.ts';

const MiB = 1024 * 1024;
/** Bytes between two looks at how much room is left, and what must be left: the home's own store must go on. */
const LOOK_BYTES = 16 * MiB;
const RESERVE_BYTES = 64 * MiB;

/** The file's path. Throws `disk_full` before the disk is, `unwritable`, or why `signal` aborted; then no file is left. */
export async function spool(input: Readable, home: string, signal: AbortSignal): Promise<string> {
  const folder = join(home, 'outgoing');
  const path = join(folder, randomUUID());
  const what = 'reading standard input';
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await using file = await open(path, 'wx', 0o600);
    let sinceLook = LOOK_BYTES;
    for await (const piece of input) {
      if (signal.aborted) throw reasonOf(signal);
      const bytes = Buffer.from(piece);
      sinceLook += bytes.length;
      if (sinceLook >= LOOK_BYTES) {
        sinceLook = 0;
        const { bavail, bsize } = await statfs(folder);
        if (bavail * bsize < RESERVE_BYTES + LOOK_BYTES) {
          throw new Fault('disk_full', `${what}: less than ${RESERVE_BYTES + LOOK_BYTES} bytes are free in "${home}"`);
        }
      }
      await file.writeFile(bytes);
    }
    await file.sync();
    return path;
  } catch (error) {
    await rm(path, { force: true });
    throw toFault(error, what, 'unwritable');
  }
}
