/** The side that wants bytes: pipelined HTTP/1.1 requests on one TLS connection that it dialled itself. [F-12] */
import type { OnReadOpts } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { reasonOf, sleep } from '../base/async.ts';
import { Fault, isFaultCode, toFault } from '../base/fault.ts';
import { type Origin, originOf, type Rung } from '../link/rung.ts';
import { type ResponseHead, ResponseReader } from './response.ts';
import { type Line, turns } from './turns.ts';
import { ACCOUNT_HEADER } from './wire.ts';

/**
 * A TLS connection to a node of `account` with its key proved, for bulk data; the caller ends it. Throws
 * `peer_unreachable`, `timeout` or any other fault of dialling. `than`: only by a way that is nearer than this rung. `onBetter`:
 * told, maybe again and again, while such a way may be had. [N-78]
 */
export type Bulk = (
  account: string,
  options: { signal: AbortSignal; onread: OnReadOpts; than?: Rung | undefined; onBetter?: (() => void) | undefined },
) => Promise<TLSSocket>;

/**
 * Bytes of the buffer that Node reads into again and again: a TLS record, for it never gives more at a time. And one: a whole buffer is
 * copied into memory that threads share byte by byte (V8's relaxed_memmove), at 4 GB/s; a part of one by memmove, at 50.
 */
const READ_BYTES = 16 * 1024 + 1;
/** Milliseconds without a byte, while some are owed, after which a connection counts as dead. [F-13] */
const STALL_MS = 20_000;

/** A request: the byte range if it is not for all, and where the body goes. */
export type Ask = {
  path: string;
  /** First byte, and first byte after. */
  range?: { start: number; end: number };
  /** Bytes that the body may have; more is `too_large`. */
  mostBytes: number;
  /** Total bytes of the thing, where the asker knows: a 206 that says otherwise is `malformed`. */
  total?: number;
  /** Told how many bytes the body has, before the first of them. */
  begin?(bytes: number): void;
  body(buffer: Buffer, from: number, to: number): void;
};

/** Hears of bytes that came; where it gives a promise, no more are read until that settles. */
export type Meter = (bytes: number) => Promise<void> | undefined;

/** A burst of fewer bytes is not worth its wake-up: the line rests, and the kernel gathers more. */
const WORTH_BYTES = 32 * 1024;
/** Milliseconds that a slow line rests: far less than a slice takes on it. */
const REST_MS = 15;

/** The end of the rest, the same for all lines of a process: one wake-up serves them all. */
let rested: Promise<void> | undefined;

function rest(): Promise<void> {
  rested ??= sleep(REST_MS).then(() => {
    rested = undefined;
  });
  return rested;
}

export class BlobClient {
  readonly #reader = new ResponseReader();
  readonly #pending = new Set<(fault: Fault) => void>();
  readonly #account: string;
  readonly #stallMs: number;
  #socket: TLSSocket | undefined;
  #origin: Origin = { address: '', rung: 'direct' };
  #fault: Fault | undefined;
  #paused = false;
  /** Takes that wait for their turn in a limited bandwidth. */
  #held = 0;
  #meter: Meter | undefined;
  #line: Line | undefined;
  /** Bytes of this turn of the event loop, where they are counted. */
  #burst: number | undefined;
  #rests = false;
  #heardAt = 0;
  #stall: NodeJS.Timeout | undefined;

  private constructor(account: string, stallMs: number) {
    this.#account = account;
    this.#stallMs = stallMs;
  }

  /** `credential` is the value of the account header. The connection ends when `signal` aborts. */
  static async open(options: {
    bulk: Bulk;
    account: string;
    credential: string;
    signal: AbortSignal;
    stallMs?: number;
    /** See `Bulk`. */
    than?: Rung | undefined;
    onBetter?: (() => void) | undefined;
  }): Promise<BlobClient> {
    const client = new BlobClient(options.credential, options.stallMs ?? STALL_MS);
    const onread: OnReadOpts = {
      buffer: Buffer.allocUnsafeSlow(READ_BYTES),
      callback: (length, buffer) => client.#take(length, buffer),
    };
    const { signal, than, onBetter } = options;
    const socket = await options.bulk(options.account, { signal, onread, than, onBetter });
    client.#line = turns.line();
    client.#socket = socket;
    client.#origin = originOf(socket);
    const abort = (): void => client.destroy(reasonOf(options.signal));
    const cut = new Fault('link_closed', 'fetching: the connection was cut');
    socket.on('error', (error) => client.destroy(toFault(error, 'fetching', 'link_closed')));
    socket.on('end', () => client.destroy(cut));
    socket.on('close', () => {
      options.signal.removeEventListener('abort', abort);
      client.destroy(cut);
    });
    options.signal.addEventListener('abort', abort, { once: true });
    if (options.signal.aborted) abort();
    else if (socket.destroyed) client.destroy(cut);
    client.#watch();
    return client;
  }

  /** Settles when the whole answer is here. Requests may be many; answers come in their order. Throws what refused it. */
  async get(ask: Ask): Promise<ResponseHead> {
    if (this.#fault || !this.#socket) throw this.#fault ?? new Fault('wrong_state', 'fetching: not connected');
    const { promise, resolve, reject } = Promise.withResolvers<ResponseHead>();
    this.#pending.add(reject);
    let head: ResponseHead | undefined;
    this.#reader.expect({
      head: (got) => {
        checkHead(got, ask);
        head = got;
        ask.begin?.(got.length);
      },
      body: ask.body,
      end: () => {
        this.#pending.delete(reject);
        if (head) resolve(head);
      },
    });
    if (this.#pending.size === 1) this.#heardAt = performance.now();
    const range = ask.range ? `range: bytes=${ask.range.start}-${ask.range.end - 1}\r\n` : '';
    // The host is named for HTTP's sake alone: the connection's key says who answers.
    this.#socket.write(
      `GET ${ask.path} HTTP/1.1\r\nhost: netapp\r\n${ACCOUNT_HEADER}: ${this.#account}\r\n${range}\r\n`,
      'latin1',
    );
    return await promise;
  }

  /** The other end, and how it is reached. */
  get origin(): Origin {
    return this.#origin;
  }

  /** From now on `meter` says when more may be read. */
  set meter(meter: Meter) {
    this.#meter = meter;
  }

  /** From now on it reads less often while little comes: with many slow lines, each wake-up costs more than it brings. */
  unhurried(): void {
    this.#rests = true;
  }

  #countBurst(length: number): void {
    if (this.#burst !== undefined) {
      this.#burst += length;
      return;
    }
    this.#burst = length;
    setImmediate(() => {
      const isSmall = (this.#burst ?? 0) < WORTH_BYTES;
      this.#burst = undefined;
      if (!isSmall || this.#fault || this.#paused || this.#held > 0) return;
      this.#socket?.pause();
      this.#hold(rest());
    });
  }

  /** Stops reading. What TLS has already read still comes: at most 64 KiB. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#goOn();
  }

  #goOn(): void {
    if (this.#paused || this.#held > 0) return;
    this.#heardAt = performance.now();
    this.#socket?.resume();
  }

  #hold(wait: Promise<void>): void {
    this.#held += 1;
    void wait.then(() => {
      this.#held -= 1;
      this.#goOn();
    });
  }

  /** Ends the connection; requests under way fail with `fault`. */
  destroy(fault: Fault): void {
    if (this.#fault) return;
    this.#fault = fault;
    clearInterval(this.#stall);
    this.#line?.[Symbol.dispose]();
    this.#socket?.destroy();
    for (const reject of this.#pending) reject(fault);
    this.#pending.clear();
  }

  #take(length: number, buffer: Uint8Array): boolean {
    if (this.#fault) return false;
    this.#heardAt = performance.now();
    try {
      this.#reader.push(buffer as Buffer, length); // the one that was handed in
    } catch (error) {
      this.destroy(toFault(error, 'fetching'));
    }
    if (this.#rests) this.#countBurst(length);
    const wait = this.#meter?.(length); // also what still comes while it is held
    if (wait) this.#hold(wait);
    const later = this.#line?.take(length);
    if (later) this.#hold(later);
    return !this.#paused && this.#held === 0;
  }

  #watch(): void {
    this.#stall = setInterval(
      () => {
        const isOwed = this.#pending.size > 0 && !this.#paused && this.#held === 0;
        if (!isOwed || performance.now() - this.#heardAt < this.#stallMs) return;
        this.destroy(new Fault('timeout', `fetching: no byte came within ${this.#stallMs} ms`));
      },
      Math.max(10, this.#stallMs / 8),
    );
    this.#stall.unref();
  }
}

/** Throws the fault that the other side names, or `malformed` where the answer is not to what was asked. */
function checkHead({ status, headers, length }: ResponseHead, { range, path, mostBytes, total }: Ask): void {
  if (status >= 300) {
    const code = headers.get('x-netapp-fault');
    throw new Fault(isFaultCode(code) ? code : 'malformed', `fetching "${path}": refused with HTTP ${status}`);
  }
  if (length > mostBytes) throw new Fault('too_large', `fetching "${path}": ${length} bytes, at most ${mostBytes}`);
  if (!range) {
    if (status !== 200) throw new Fault('malformed', `fetching "${path}": HTTP ${status} to a request for all`);
    return;
  }
  const said = headers.get('content-range');
  const isWhat = said === `bytes ${range.start}-${range.end - 1}/${total ?? '*'}`;
  if (status !== 206 || !isWhat || length !== range.end - range.start) {
    throw new Fault('malformed', `fetching "${path}": another range came than was asked for`);
  }
}
