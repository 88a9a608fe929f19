/**
 * The door for programs that know nothing but a mapped file: a command is written into it as text, and the answer is
 * found there. Nothing tells a process that another wrote to a mapping, so the agent looks. (docs/shared-memory.md)
 */
import { callByName } from '../api/call.ts';
import type { Client } from '../api/contract.ts';
import { faultOf } from '../api/failure.ts';
import { isOver } from '../api/job.ts';
import { outcomeOfJob } from '../api/outcome.ts';
import { isStream } from '../api/stream.ts';
import { Fault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { Answers } from './answers.ts';
import { AREA_BYTES, AREA_BYTES_MAX, AREA_BYTES_MIN, Area } from './area.ts';
import { commandOf } from './command-text.ts';

export type SharedMemoryOptions = {
  path: string;
  /** Bytes of an area that is made here, 100 to 16 MiB; default: 4,096. */
  size?: number | undefined;
  client: Client;
  log: Log;
};

/** Between two looks while programs are at work, and while none has been for a second: 40 looks a second cost nothing. */
const BUSY_MS = 4;
const IDLE_MS = 25;
const BUSY_FOR_MS = 1_000;
/** A command without a newline at its end is whole when nothing of it has changed for so long: copying it takes less. */
const SETTLED_MS = 20;

/** Seconds that the answer of a job is waited for. */
const JOB_WAIT_S = 1;

/** What the agent writes: never a command. */
const STATUS = /^(?:$|done(?:\s|$)|error(?:\s|$)|running(?:\s|$))/;
const PIECE = /^answer\s+([a-z2-7]{1,52})(?:\s+(\d{1,15}))?$/i;

type Answered = { text: string | Uint8Array };

export class SharedMemory {
  readonly #options: SharedMemoryOptions;
  readonly #area: Area;
  readonly #answers = new Answers();
  readonly #closing = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #seen = { line: '', at: 0 };
  #busyUntil = 0;
  #running: AbortController | undefined;

  /** Faults: `invalid_argument`. */
  constructor(options: SharedMemoryOptions) {
    const { path, size = AREA_BYTES } = options;
    if (!Number.isInteger(size) || size < AREA_BYTES_MIN || size > AREA_BYTES_MAX) {
      throw new Fault(
        'invalid_argument',
        `serving shared memory at "${path}": ${size} bytes are not ${AREA_BYTES_MIN} to ${AREA_BYTES_MAX}`,
      );
    }
    this.#options = options;
    this.#area = new Area(path, size);
  }

  /** Faults: `exists`, `forbidden`, `unwritable`. */
  async start(): Promise<void> {
    this.#open();
    this.#look();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer);
    this.#closing.abort(new Fault('link_closed', 'the agent is closing'));
    if (this.#running) this.#area.write('error link_closed', Buffer.from('the agent is closing'));
    this.#answers.clear();
    this.#area.close();
  }

  #open(): void {
    this.#area.open((line) => STATUS.test(line) || PIECE.test(line) || isCommand(line));
    // The agent that took it is gone; whether the work was done, it could not say any more.
    if (/^running/.test(this.#area.head())) {
      this.#area.write('error agent_down', Buffer.from('the agent ended before it answered'));
    }
  }

  #look(): void {
    try {
      if (this.#area.replaced) {
        this.#area.close();
        this.#open();
      }
      const taken = this.#take();
      if (taken !== undefined) void this.#answer(taken);
    } catch (error) {
      this.#options.log.warn({ err: error, path: this.#options.path }, 'shared memory cannot be read; trying again');
    }
    const wait = performance.now() < this.#busyUntil ? BUSY_MS : IDLE_MS;
    this.#timer = setTimeout(() => this.#look(), wait).unref();
  }

  /** A command that is written to its end; undefined if there is none. */
  #take(): string | undefined {
    const head = this.#area.head();
    if (this.#running) {
      if (/^cancel$/i.test(head)) this.#running.abort(new Fault('cancelled', 'it was cancelled'));
      return undefined;
    }
    if (STATUS.test(head)) return undefined;
    const now = performance.now();
    this.#busyUntil = now + BUSY_FOR_MS;
    const { line, whole } = this.#area.read();
    if (STATUS.test(line)) return undefined; // since the head was read, a program cut the file to nothing
    if (line !== this.#seen.line) this.#seen = { line, at: now };
    if (!whole && now - this.#seen.at < SETTLED_MS) return undefined;
    this.#seen = { line: '', at: 0 };
    return line;
  }

  async #answer(line: string): Promise<void> {
    const running = new AbortController();
    this.#running = running;
    let head = 'done';
    let body: string | Uint8Array;
    try {
      this.#area.write('running');
      body = (await this.#carryOut(line, AbortSignal.any([running.signal, this.#closing.signal]))).text;
    } catch (error) {
      const fault = faultOf(error) ?? new Fault('internal', 'a defect in NetApp; the agent’s log says more');
      if (!faultOf(error)) this.#options.log.error({ err: error }, 'a command in shared memory failed by a defect');
      head = `error ${fault.code}`;
      const whole = JSON.stringify(fault);
      body = Buffer.byteLength(whole) <= this.#area.room ? whole : fault.message;
    }
    if (this.#closing.signal.aborted) return;
    this.#running = undefined;
    this.#busyUntil = performance.now() + BUSY_FOR_MS;
    try {
      this.#area.write(head, Buffer.from(body));
    } catch (error) {
      this.#options.log.warn(
        { err: error, path: this.#options.path },
        'an answer could not be written to shared memory',
      );
    }
  }

  async #carryOut(line: string, signal: AbortSignal): Promise<Answered> {
    const piece = PIECE.exec(line);
    if (piece) return await this.#piece(piece[1] ?? '', Number(piece[2] ?? 0));
    const { operation, input } = commandOf(line);
    const ended = new AbortController();
    const ends = operation.stream ? ended.signal : signal;
    const answer = await callByName(this.#options.client, operation.path, input, { signal: ends });
    if (isStream(answer)) return { text: `job ${this.#answers.follow(answer, () => ended.abort())}` };
    const text = JSON.stringify(answer ?? null);
    return { text: Buffer.byteLength(text) <= this.#area.room ? text : `job ${this.#answers.keep(text)}` };
  }

  /** `NEXT STATE`, a newline, and as many bytes as fit. */
  async #piece(id: string, offset: number): Promise<Answered> {
    const room = (end: number) => Math.max(1, this.#area.room - `${end} more\n`.length);
    if (!this.#answers.has(id)) this.#answers.keep(await this.#ofJob(id), id);
    const { bytes, next, state } = await this.#answers.read(id, offset, room);
    return { text: Buffer.concat([Buffer.from(`${next} ${state}\n`), bytes]) };
  }

  /** What a job of the agent's came to, whichever door asked for it. Throws its fault; `wrong_state` while it is not over. */
  async #ofJob(id: string): Promise<string> {
    const job = await this.#options.client.jobs.show({ id, wait: JOB_WAIT_S });
    if (!isOver(job.state)) {
      throw new Fault('wrong_state', `reading the answer of the job "${id}": it is ${job.state}; ask again`);
    }
    const fault = outcomeOfJob(job);
    if (fault) throw fault;
    return JSON.stringify(job.answer ?? null);
  }
}

function isCommand(line: string): boolean {
  try {
    return commandOf(line) !== undefined;
  } catch {
    return false;
  }
}
