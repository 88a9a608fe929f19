/**
 * The smallest client: it measures what a path can do, against any server that says again what it is told (`echo.ts`). It
 * shows all that a TCP client has to do: connect within a time, send no faster than the other side reads, take bytes in whatever
 * pieces they come in, and tell an answer from an end, an end from a silence.
 *
 * Half of the time each connection says little, and waits for the answer: that measures delay. The other half it keeps the
 * path full: that measures throughput.
 */
import { connect, type Socket } from 'node:net';
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import { abortable, deadline, reasonOf, sleep } from '../base/async.ts';
import { type Fault, toFault } from '../base/fault.ts';
import { formatAddress, parseAddress } from '../link/address.ts';

/** Connections at once: below the 1,024 open files that a process has on most machines. */
export const MOST_PROBES = 900;
/** Milliseconds that a connection has to come about. */
const CONNECT_MS = 5000;
/** Milliseconds that the other side has to end its half when we have ended ours. */
const GOODBYE_MS = 500;
/** Bytes of one question: more than any header, less than any packet. */
const PING_BYTES = 64;
/** Bytes that are said and not answered yet while the path is kept full: what 1 Gbit/s carries in 32 ms. */
const WINDOW_BYTES = 4 * 2 ** 20;
/** Kinds of trouble that are told apart. */
const MOST_REASONS = 16;

/**
 * What is said, over and over: lines with their numbers, 64 KiB, no two alike. A stream has no pieces of its own, so each byte
 * is known by its place; whatever comes back in another place, twice, or changed, is seen.
 */
const TEXT = Buffer.from(Array.from({ length: 8192 }, (_, line) => `${String(line).padStart(7, '0')}\n`).join(''));

export type ProbeOptions = {
  /** `host:port`. */
  address: string;
  /** Connections at once, 1 to `MOST_PROBES`. */
  connections: number;
  /** Seconds to measure for, beside those to connect in. */
  seconds: number;
  /** Ends it early; what was measured so far is answered. */
  signal?: AbortSignal | undefined;
};

type Spread = { p50Ms: number; p99Ms: number; mostMs: number };

export type ProbeResult = {
  address: string;
  /** Seconds that were measured. */
  seconds: number;
  connections: {
    asked: number;
    made: number;
    /** That did not come about. */
    failed: number;
    /** That ended before we ended them. */
    dropped: number;
    /** On which nothing ever came back. */
    silent: number;
    /** On which something else came back than was said. */
    wrong: number;
  };
  /** Milliseconds until connections were made. */
  connect: Spread | null;
  /** Milliseconds from a question of 64 bytes to its answer. */
  roundTrips: ({ count: number } & Spread) | null;
  /** Bytes that came back, each of which had gone there, too. */
  throughput: { bytes: number; bytesPerSecond: number } | null;
  /** What went wrong, and on how many connections. */
  reasons: { says: string; count: number }[];
};

/** Throws `invalid_argument` where the address is none; what happens on the way is part of the answer. */
export async function probe({ address, connections, seconds, signal }: ProbeOptions): Promise<ProbeResult> {
  const to = parseAddress(address);
  const shown = formatAddress(to);
  const reasons = new Map<string, number>();
  const trouble = (says: string): void => {
    const known = reasons.has(says) || reasons.size < MOST_REASONS ? says : 'something else';
    reasons.set(known, (reasons.get(known) ?? 0) + 1);
  };
  const connects = createHistogram();
  const trips = createHistogram();
  const made: Probe[] = [];

  await Promise.all(
    Array.from({ length: connections }, async () => {
      const began = performance.now();
      try {
        const socket = await connected(to, shown, signal);
        record(connects, began);
        made.push(new Probe(socket, { trips, trouble }));
      } catch (error) {
        if (!signal?.aborted) trouble(toFault(error).message);
      }
    }),
  );

  const ended = Promise.all(made.map(({ closed }) => closed));
  const phase = async (): Promise<number> => {
    const began = performance.now();
    const over = deadline((seconds / 2) * 1000, 'measuring', signal);
    await abortable(ended, over).catch(() => {}); // until the time is over, it is told to end, or nobody is left
    over[Symbol.dispose]();
    return performance.now() - began;
  };
  for (const each of made) each.ask();
  const asking = await phase();
  const before = sum(made, ({ came }) => came);
  for (const each of made) each.fill();
  const filling = await phase();
  const bytes = sum(made, ({ came }) => came) - before;
  await Promise.all(made.map((each) => each.end()));

  const count = (fits: (each: Probe) => boolean): number => made.filter(fits).length;
  return {
    address: shown,
    seconds: (asking + filling) / 1000,
    connections: {
      asked: connections,
      made: made.length,
      failed: connections - made.length,
      dropped: count(({ fate }) => fate === 'dropped'),
      silent: count(({ came }) => came === 0),
      wrong: count(({ fate }) => fate === 'wrong'),
    },
    connect: connects.count === 0 ? null : spread(connects),
    roundTrips: trips.count === 0 ? null : { count: trips.count, ...spread(trips) },
    throughput: bytes === 0 ? null : { bytes, bytesPerSecond: Math.round(bytes / (filling / 1000)) },
    reasons: [...reasons].map(([says, count]) => ({ says, count })),
  };
}

/** A connection, or the fault that it did not come about with: refused, no answer in time, no such name. */
async function connected(to: { host: string; port: number }, shown: string, signal?: AbortSignal): Promise<Socket> {
  const what = `connecting to "${shown}"`;
  using limit = deadline(CONNECT_MS, what, signal);
  if (limit.aborted) throw reasonOf(limit);
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  // Of a name with several addresses, Node tries one after the other, each for a moment (RFC 8305).
  const socket = connect({ ...to, noDelay: true, autoSelectFamily: true });
  const give = (fault: Fault): void => {
    socket.destroy();
    reject(fault);
  };
  limit.addEventListener('abort', () => give(reasonOf(limit)), { once: true });
  socket.once('error', (error) => give(toFault(error, what, 'peer_unreachable')));
  socket.once('connect', () => resolve(socket));
  return await promise;
}

/** One connection that is measured. `sent` and `came` are places in an endless repetition of the text. */
class Probe {
  came = 0;
  fate: 'open' | 'ended' | 'dropped' | 'wrong' = 'open';
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #trips: RecordableHistogram;
  readonly #trouble: (says: string) => void;
  #sent = 0;
  #asked = 0;
  #does: 'nothing' | 'asks' | 'fills' = 'nothing';

  constructor(socket: Socket, { trips, trouble }: { trips: RecordableHistogram; trouble: (says: string) => void }) {
    this.#socket = socket;
    this.#trips = trips;
    this.#trouble = trouble;
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('drain', () => this.#say());
    socket.on('end', () => this.#lost('dropped', 'the other side ended the connection'));
    socket.on('error', (error) => this.#lost('dropped', toFault(error, 'talking to the other side').message));
  }

  /** From now on: a question, its answer, the next question. */
  ask(): void {
    this.#does = 'asks';
    this.#say();
  }

  /** From now on: as much as the path takes. */
  fill(): void {
    this.#does = 'fills';
    this.#say();
  }

  /** Says goodbye, and hears out the other side, for a moment. */
  async end(): Promise<void> {
    this.#does = 'nothing';
    if (this.fate === 'open') this.fate = 'ended';
    this.#socket.end();
    await Promise.race([this.closed, sleep(GOODBYE_MS)]);
    this.#socket.destroy();
    await this.closed;
  }

  #say(): void {
    if (this.#does === 'asks' && this.came === this.#sent) {
      this.#asked = performance.now();
      this.#write(PING_BYTES);
    }
    // Bounded twice: by the kernel, which says when it has enough, and by what the other side has not answered yet.
    while (this.#does === 'fills' && this.#sent - this.came < WINDOW_BYTES && this.#write(TEXT.length));
  }

  /** Writes on from where the last write ended, at most to the end of the text; false where the kernel has enough. */
  #write(most: number): boolean {
    const at = this.#sent % TEXT.length;
    const piece = TEXT.subarray(at, at + most);
    this.#sent += piece.length;
    return this.#socket.write(piece);
  }

  /** A stream keeps its order, but not its pieces: one answer may come in two, two in one. */
  #take(chunk: Buffer): void {
    if (this.came + chunk.length > this.#sent || !isText(chunk, this.came)) {
      this.#lost('wrong', 'something else came back than was said');
      this.#socket.destroy();
      return;
    }
    this.came += chunk.length;
    if (this.#does === 'asks' && this.came === this.#sent) record(this.#trips, this.#asked);
    this.#say();
  }

  #lost(fate: 'dropped' | 'wrong', says: string): void {
    if (this.fate !== 'open') return;
    this.fate = fate;
    this.#does = 'nothing';
    this.#socket.end();
    this.#trouble(says);
  }
}

/** Whether the bytes are those of the endless text from `at` on. */
function isText(bytes: Buffer, at: number): boolean {
  for (let done = 0; done < bytes.length; ) {
    const from = (at + done) % TEXT.length;
    const length = Math.min(bytes.length - done, TEXT.length - from);
    if (bytes.compare(TEXT, from, from + length, done, done + length) !== 0) return false;
    done += length;
  }
  return true;
}

/** A histogram keeps numbers in a bounded place however many there are; it takes whole ones above 0, so nanoseconds. */
const record = (into: RecordableHistogram, began: number): void =>
  into.record(Math.max(1, Math.round((performance.now() - began) * 1e6)));

function spread(of: RecordableHistogram): Spread {
  const ms = (nanoseconds: number): number => Number((nanoseconds / 1e6).toPrecision(3));
  return { p50Ms: ms(of.percentile(50)), p99Ms: ms(of.percentile(99)), mostMs: ms(of.max) };
}

const sum = (all: readonly Probe[], of: (each: Probe) => number): number =>
  all.reduce((total, each) => total + of(each), 0);
