/** Takes up what was left in the home's spool while the agent was away, and what is left there while it runs. */
import { constants, type FSWatcher, watch } from 'node:fs';
import { chmod, mkdir, open, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { JobDesk } from '../api/backend.ts';
import { SPOOLED_BYTES_MAX, SPOOLED_NAME, type Spooled, spooled, spoolFolder } from '../api/spool.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';

/** Milliseconds until the folder is looked at again where something could not be taken; and in any case, should no event come. */
const AGAIN_MS = 5000;
const LOOK_MS = 60_000;
/** Milliseconds that a file which is no JSON must have rested: until then its program may still be writing it. */
const RESTED_MS = 2000;
/** Drafts that are older were left by a program that was killed. */
const DRAFT_MS = 3_600_000;

export type SpoolOptions = {
  home: string;
  jobs: JobDesk;
  /** Settles when all that was taken survives a power cut. */
  settled(): Promise<void> | undefined;
  log: Log;
  emit(type: string, data: Record<string, unknown>): void;
};

export class Spool implements AsyncDisposable {
  readonly #options: SpoolOptions;
  readonly #folder: string;
  #watcher: FSWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #again = false;
  #stopped = false;

  constructor(options: SpoolOptions) {
    this.#options = options;
    this.#folder = spoolFolder(options.home);
  }

  /** Takes up what is there; answers when that is done. Throws `unwritable`. */
  async start(): Promise<void> {
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      await chmod(this.#folder, 0o700);
    } catch (error) {
      throw toFault(error, `opening the spool "${this.#folder}"`, 'unwritable');
    }
    try {
      this.#watcher = watch(this.#folder, { persistent: false }, () => void this.#look());
      this.#watcher.on('error', (error) => this.#unwatched(error));
    } catch (error) {
      this.#unwatched(error);
    }
    await this.#look();
  }

  #unwatched(error: unknown): void {
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#options.log.warn({ err: error }, 'the spool cannot be watched: it is looked at by the clock');
  }

  /** One look at a time; what comes meanwhile is seen by the next. */
  #look(): Promise<void> {
    this.#again = true;
    this.#looking ??= this.#takeAll().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #takeAll(): Promise<void> {
    let wait = LOOK_MS;
    while (this.#again && !this.#stopped) {
      this.#again = false;
      try {
        wait = await this.#takeWaiting();
      } catch (error) {
        this.#options.log.warn({ err: error }, 'the spool could not be read; it will be again');
        wait = AGAIN_MS;
      }
    }
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    if (!this.#watcher) wait = Math.min(wait, AGAIN_MS);
    this.#timer = setTimeout(() => void this.#look(), wait).unref();
  }

  /** Milliseconds until the next look is worth it. */
  async #takeWaiting(): Promise<number> {
    let wait = LOOK_MS;
    const names = await readdir(this.#folder);
    await this.#sweep(names);
    for (const name of names.filter((each) => SPOOLED_NAME.test(each)).sort()) {
      if (this.#stopped) return wait;
      const path = join(this.#folder, name);
      try {
        if (!(await this.#take(path))) wait = RESTED_MS;
      } catch (error) {
        const fault = toFault(error, `taking "${path}" from the spool`);
        if (fault.retry) {
          this.#options.log.warn({ err: fault, path }, 'a request stays in the spool; it will be taken later');
          return AGAIN_MS;
        }
        await this.#setAside(path, fault);
      }
    }
    return wait;
  }

  /** False where it is still being written. */
  async #take(path: string): Promise<boolean> {
    const read = await readSpooled(path);
    if (!read) return false;
    const { id, at, request } = read;
    if (!path.endsWith(`-${id}.json`)) throw new Fault('corrupt', `reading "${path}": it is of the job "${id}"`);
    this.#options.jobs.create(request, { id, at, source: 'spool' });
    // Only once it is kept; a kill in between finds the job there, by its id.
    await this.#options.settled();
    await rm(path, { force: true });
    return true;
  }

  /** Kept for a person to look at, with the reason beside it. */
  async #setAside(path: string, fault: Fault): Promise<void> {
    const folder = join(this.#folder, 'damaged');
    const place = join(folder, basename(path));
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await writeFile(`${place}.reason`, `${fault.code}: ${fault.message}\n`, { mode: 0o600 });
    await rename(path, place);
    this.#options.log.error(
      { path: place, reason: fault.message },
      'a request in the spool cannot be taken; it is set aside',
    );
    this.#options.emit('spool.refused', { file: place, error: { code: fault.code, message: fault.message } });
  }

  async #sweep(names: readonly string[]): Promise<void> {
    for (const name of names.filter((each) => /^\.[a-z2-7]{16}\.new$/.test(each))) {
      const path = join(this.#folder, name);
      await using draft = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch(() => undefined);
      const { mtimeMs } = (await draft?.stat()) ?? {};
      if (mtimeMs !== undefined && Date.now() - mtimeMs > DRAFT_MS) await rm(path, { force: true });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    this.#watcher?.close();
    clearTimeout(this.#timer);
    await this.#looking;
    clearTimeout(this.#timer);
  }
}

/** Nothing while it is still being written. Throws `corrupt`, `too_large`, `unreadable`. Links are not followed, and nothing waits for a pipe. */
async function readSpooled(path: string): Promise<Spooled | undefined> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  await using file = await open(path, flags).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ELOOP') throw new Fault('corrupt', `reading "${path}": it is a link`);
    throw toFault(error, `reading "${path}"`, 'unreadable');
  });
  const stat = await file.stat();
  const { size, uid, mtimeMs } = stat;
  if (!stat.isFile()) throw new Fault('corrupt', `reading "${path}": it is no file`);
  if (process.getuid && uid !== process.getuid()) {
    throw new Fault('forbidden', `reading "${path}": it belongs to another user`);
  }
  if (size > SPOOLED_BYTES_MAX)
    throw new Fault('too_large', `reading "${path}": ${size} bytes, at most ${SPOOLED_BYTES_MAX}`);
  const value = parseJson(await file.readFile('utf8'));
  if (value === undefined && Math.abs(Date.now() - mtimeMs) < RESTED_MS) return undefined;
  const parsed = spooled.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Fault('corrupt', `reading "${path}": ${issue?.path.join('.')}: ${issue?.message}`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
