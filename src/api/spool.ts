/**
 * The spool: requests left in a home for an agent that does not run. One file each, private, put in place whole; the agent
 * takes them up in the order of their names.
 */
import { randomBytes } from 'node:crypto';
import { access, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { toBase32 } from '../base/encoding.ts';
import { Fault, toFault } from '../base/fault.ts';
import { type JobRequest, jobOptions, spanMs } from './job.ts';

/** Requests that may wait, and bytes of one: the longest message with its escapes, and room. */
const MOST_FILES = 1000;
export const SPOOLED_BYTES_MAX = 1_048_576;

export const spoolFolder = (home: string): string => join(home, 'spool');

/** A request that waits; what is no such name is a draft, or somebody else's. */
export const SPOOLED_NAME = /^\d{13}-[a-z2-7]{16}\.json$/;

export const spooled = z.object({
  spool: z.literal(1, 'of a version that is not known here'),
  id: z.string().regex(/^[a-z2-7]{16}$/),
  /** When it was asked for, Unix ms. */
  at: z.number().int().positive(),
  request: jobOptions.extend({
    operation: z.string(),
    input: z.record(z.string(), z.unknown()),
  }),
});

export type Spooled = z.infer<typeof spooled>;

/** Whether this is the home of a node that was up before: only then somebody will look into its spool. */
export async function isHome(home: string): Promise<boolean> {
  return access(join(home, 'account.key')).then(
    () => true,
    () => false,
  );
}

/**
 * Leaves a request; durable when this settles. Answers with its id, which is the job's later on, and its file. Throws
 * `invalid_argument`, `queue_full`, `too_large`, `unwritable`, `disk_full`.
 */
export async function leaveInSpool(
  home: string,
  { in: span, ...request }: JobRequest,
  now = Date.now(),
): Promise<{ id: string; file: string }> {
  if (request.every !== undefined) {
    const { checkCron } = await import('./schedule.ts'); // most requests need none of it
    checkCron(request.every);
  }
  const id = toBase32(randomBytes(10));
  // Counted from now, not from when somebody looks.
  const at = span === undefined ? {} : { at: new Date(now + (spanMs(span) ?? 0)).toISOString() };
  const text = JSON.stringify({ spool: 1, id, at: now, request: { input: {}, ...request, ...at } });
  if (Buffer.byteLength(text) > SPOOLED_BYTES_MAX) {
    throw new Fault('too_large', `leaving a request in the spool: it is over ${SPOOLED_BYTES_MAX} bytes`);
  }
  const folder = spoolFolder(home);
  const draft = join(folder, `.${id}.new`);
  const file = join(folder, `${String(now).padStart(13, '0')}-${id}.json`);
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const waiting = (await readdir(folder)).filter((name) => SPOOLED_NAME.test(name));
    if (waiting.length >= MOST_FILES) {
      throw new Fault(
        'queue_full',
        `leaving a request in the spool "${folder}": ${waiting.length} wait there already; start the agent with "netapp up"`,
      );
    }
    await using handle = await open(draft, 'wx', 0o600);
    await handle.writeFile(text);
    await handle.sync();
    await rename(draft, file);
    await using entries = await open(folder, 'r'); // the name is to survive a power cut, too
    await entries.sync();
  } catch (error) {
    await rm(draft, { force: true }).catch(() => {}); // what is said is the first failure
    throw toFault(error, `leaving a request in the spool "${folder}"`, 'unwritable');
  }
  return { id, file };
}
