/**
 * Pulls the missing chunks of one content from all who have some of it, and believes nothing that does not hash. [F-13]
 * [F-44] [F-45]
 */
import { Blake3Hasher, blake3 } from '@napi-rs/blake-hash';
import { Backoff } from '../base/async.ts';
import { toBase32 } from '../base/encoding.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Bitmap } from './bitmap.ts';
import type { BlobClient } from './client.ts';
import type { Content } from './content.ts';
import type { Listener, Topic } from './exchange.ts';
import { MOST_STRIKES } from './fetch.ts';
import { Held, sliceBytes } from './held.ts';
import type { Part } from './part.ts';
import { each, Picker, type Run } from './picker.ts';
import { Suspects } from './suspects.ts';

/** Bytes that are written at once, at most a slice. */
const PIECE_BYTES = 128 * 1024;
/** Pieces that may wait for the disk: 16 MiB; past it nothing more is read from the lines. */
const MOST_PIECES = 128;
/** Requests under way to one holder: while one is answered the next is already there, so the line never idles. */
const REQUESTS = 2;
/**
 * Milliseconds of a holder's speed that one request asks for: what is asked for cannot be asked of another, so little of
 * it while there are others; of one holder alone as much as makes a request's cost not count.
 */
const ASK_MS = 150;
const ASK_ALONE_MS = 1000;
/** Bytes of one request. */
const MOST_ASKED_BYTES = 64 * 1024 * 1024;
/** Milliseconds between two looks for what nobody's news would start. */
const LOOK_MS = 100;
/** Milliseconds in which nothing comes of anybody, after which the fetch waits for better times. */
const QUIET_MS = 20_000;
/** The waits before a holder whose connection ended is dialled again. */
const RETRY = { firstMs: 300, mostMs: 20_000 };

/** Threads that write folders see the same memory. */
const sharedBuffer = (): Buffer => Buffer.from(new SharedArrayBuffer(PIECE_BYTES));

export type SwarmOptions = {
  content: Content;
  /** Account that wrote the ticket. */
  author: string;
  /** Chunks verified and written; grows as they come. */
  have: Bitmap;
  /** The same with slices, as it is told to others. */
  held: Held;
  part: Pick<Part, 'read' | 'write' | 'put'>;
  connect(account: string): Promise<BlobClient>;
  /** Begins the exchange of news. */
  open(listener: Listener): Topic;
  /** Holders that gave wrong data three times, in this run or an earlier one; grows. */
  banned: Set<string>;
  /** Told before chunks `first` to `first + count - 1` are asked for. */
  onAsk(first: number, count: number): void;
  /** These chunks are verified and written, for the first time. */
  onChunks(indexes: readonly number[], bytes: number): void;
  /** The connection to a holder ended, or did not come about. */
  onCut(account: string, client: BlobClient | undefined): void;
  /** Whether it ended because another one takes its place. */
  hasMoved(client: BlobClient): boolean;
  quietMs?: number | undefined;
  log: Log;
  signal: AbortSignal;
};

type Source = {
  account: string;
  held: Held;
  client: BlobClient | undefined;
  isConnecting: boolean;
  /** It serves no more; what it was asked for may still come. */
  isLeaving: boolean;
  requests: number;
  /** Bytes a millisecond. */
  rate: number;
  lastAt: number;
  strikes: number;
  backoff: Backoff;
  notBefore: number;
};

/** A chunk on its way: whose slices are written, and hashed as far as they came in order. */
type Growing = {
  hasher: Blake3Hasher;
  hashed: number;
  /** Who gave each slice. */
  givers: (string | undefined)[];
  /** Slices of which pieces are still to come. */
  open: Set<number>;
};

/**
 * Settles when all chunks are verified and written. Throws the fault of the disk, or why nobody gives the rest; by then no
 * write is under way.
 */
export async function fetchSwarm(options: SwarmOptions): Promise<void> {
  if (options.have.full) return;
  await new SwarmRun(options).run();
}

/** Small chunks that lie in a row, as they come. */
type Small = { piece: Buffer; length: number; position: number; chunks: { chunk: number; growing: Growing }[] };

class SwarmRun implements Listener {
  readonly #options: SwarmOptions;
  readonly #picker: Picker;
  readonly #suspects: Suspects;
  readonly #sources = new Map<string, Source>();
  readonly #growing = new Map<number, Growing>();
  /** Writes, and what follows from each; and the writes alone. */
  readonly #writes = new Set<Promise<void>>();
  readonly #underWay = new Set<Promise<void>>();
  readonly #paused = new Set<BlobClient>();
  readonly #free: Buffer[] = [];
  readonly #end = Promise.withResolvers<void>();
  readonly #topic: Topic;
  #over = false;
  #lastFault: Fault | undefined;
  #heardAt = performance.now();

  constructor(options: SwarmOptions) {
    this.#options = options;
    this.#picker = new Picker(options.content, options.have);
    this.#suspects = new Suspects(options.content, options.part);
    this.#end.promise.catch(() => {}); // `run` waits for it
    this.#topic = options.open(this);
  }

  async run(): Promise<void> {
    const { signal } = this.#options;
    const abort = (): void => this.#fail(toFault(signal.reason));
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    const look = setInterval(() => this.#look(), LOOK_MS).unref();
    try {
      await this.#end.promise;
    } finally {
      this.#over = true;
      clearInterval(look);
      signal.removeEventListener('abort', abort);
      for (const { client } of this.#sources.values()) client?.destroy(new Fault('cancelled', 'fetching: it is over'));
      await Promise.all(this.#writes);
    }
  }

  #fail(fault: Fault): void {
    this.#over = true;
    this.#end.reject(fault);
  }

  // What neighbours say

  joined(account: string, held: Held): void {
    const { banned } = this.#options;
    if (this.#over || banned.has(account)) return;
    const source = this.#sources.get(account) ?? {
      account,
      held,
      client: undefined,
      isConnecting: false,
      isLeaving: false,
      requests: 0,
      rate: 0,
      lastAt: 0,
      strikes: 0,
      backoff: new Backoff(RETRY),
      notBefore: 0,
    };
    source.isLeaving = false;
    source.held = held;
    this.#sources.set(account, source);
    this.#picker.add(account, held);
    this.#pump(source);
  }

  gained(account: string, chunk: number): void {
    if (this.#sources.has(account)) this.#picker.gained(chunk);
  }

  news(account: string): void {
    const source = this.#sources.get(account);
    if (source) this.#pump(source);
  }

  left(account: string): void {
    const source = this.#sources.get(account);
    if (!source) return;
    source.isLeaving = true;
    if (source.requests === 0) this.#drop(source);
  }

  missed(account: string, fault: Fault): void {
    this.#lastFault = fault;
    const { author, content } = this.#options;
    // A node of an earlier version exchanges no news; who wrote the ticket has it all.
    if (fault.code === 'unknown_operation' && account === author) {
      const held = new Held(content.chunks);
      for (let chunk = 0; chunk < content.chunks; chunk++) held.gain(chunk);
      return this.joined(account, held);
    }
    this.#look();
  }

  #drop(source: Source): void {
    this.#sources.delete(source.account);
    for (const chunk of this.#picker.remove(source.account)) this.#growing.delete(chunk);
    source.client?.destroy(new Fault('cancelled', 'fetching: this holder is not asked any more'));
  }

  // Asking

  /** Starts what no news would start, and ends what nobody can go on with. */
  #look(): void {
    if (this.#over) return;
    for (const source of this.#sources.values()) this.#pump(source);
    if (this.#over) return;
    const sources = [...this.#sources.values()];
    if (sources.some(({ requests, isConnecting }) => requests > 0 || isConnecting)) return;
    const quietMs = this.#options.quietMs ?? QUIET_MS;
    const isNobody = sources.length === 0 && this.#topic.seeking === 0;
    if (!isNobody && performance.now() - this.#heardAt < quietMs) return;
    const nobody = new Fault('peer_unreachable', 'fetching a file: nobody who is there has what is missing');
    this.#fail(isNobody ? (this.#lastFault ?? nobody) : nobody);
  }

  #pump(source: Source): void {
    if (this.#over || source.isLeaving) return;
    if (!source.client) {
      if (source.isConnecting || performance.now() < source.notBefore) return;
      // Also to who has nothing yet that is wanted, one at a time: when they have, all want it of them in the same moment, and a
      // handshake takes longer than the slice. More would take the processor from what moves already.
      if (!this.#isConnecting || this.#picker.needs(source.account)) void this.#connect(source);
      return;
    }
    while (!this.#over && source.requests < REQUESTS && !this.#paused.has(source.client)) {
      const run = this.#picker.next(source.account, this.#mostSlices(source), performance.now());
      if (!run) return;
      this.#ask(source, source.client, run);
    }
  }

  get #isConnecting(): boolean {
    for (const { isConnecting } of this.#sources.values()) if (isConnecting) return true;
    return false;
  }

  #mostSlices({ rate }: Source): number {
    const slice = sliceBytes(this.#options.content);
    const ms = this.#sources.size > 1 ? ASK_MS : ASK_ALONE_MS;
    return Math.max(1, Math.floor(Math.min(MOST_ASKED_BYTES, rate * ms) / slice));
  }

  async #connect(source: Source): Promise<void> {
    source.isConnecting = true;
    try {
      const client = await this.#options.connect(source.account);
      if (this.#over || this.#sources.get(source.account) !== source) {
        client.destroy(new Fault('cancelled', 'fetching: nothing more is wanted of this holder'));
        return;
      }
      client.unhurried();
      source.client = client;
    } catch (error) {
      this.#cut(source, toFault(error, 'fetching'));
    } finally {
      source.isConnecting = false;
    }
    this.#pump(source);
    for (const other of this.#sources.values()) if (!other.client) this.#pump(other);
  }

  /** A holder's connection is gone, or did not come about. */
  #cut(source: Source, fault: Fault): void {
    if (this.#over) return;
    const { client } = source;
    if (client) this.#paused.delete(client);
    source.client = undefined;
    const hasMoved = client !== undefined && this.#options.hasMoved(client);
    this.#options.onCut(source.account, client);
    source.requests = 0;
    source.rate = 0;
    source.notBefore = hasMoved ? 0 : performance.now() + source.backoff.next();
    for (const chunk of this.#picker.release(source.account)) this.#growing.delete(chunk);
    for (const growing of this.#growing.values()) this.#disown(growing, source.account);
    this.#lastFault = fault;
    this.#options.log.debug({ code: fault.code, peer: source.account.slice(0, 8) }, 'a holder was cut');
    // What it refuses now, it will refuse again.
    const isFinal = !hasMoved && !fault.retry && fault.code !== 'wrong_state' && fault.code !== 'cancelled';
    if (source.isLeaving || isFinal || this.#options.banned.has(source.account)) this.#drop(source);
    for (const other of this.#sources.values()) this.#pump(other);
  }

  #disown(growing: Growing, account: string): void {
    for (const [slice, giver] of growing.givers.entries()) {
      if (giver !== account || !growing.open.has(slice)) continue;
      growing.givers[slice] = undefined;
      growing.hashed = Number.NaN; // what was hashed of it may not be what is written in the end: it is read again
    }
  }

  #ask(source: Source, client: BlobClient, run: Run): void {
    const { content, onAsk } = this.#options;
    const slice = sliceBytes(content);
    const slices = [...each(run, content)];
    const last = slices.at(-1);
    if (!last) return;
    onAsk(run.first, last.chunk - run.first + 1);
    const start = content.startOf(run.first) + run.from * slice;
    const end = content.startOf(last.chunk) + Math.min(content.lengthOf(last.chunk), (last.slice + 1) * slice);
    source.requests += 1;
    const askedAt = performance.now();
    client
      .get({
        path: content.path,
        range: { start, end },
        mostBytes: end - start,
        total: content.bytes,
        body: this.#sink(source, client, slices),
      })
      .then(
        () => {
          if (source.client !== client) return;
          const now = performance.now();
          const took = Math.max(0.05, now - Math.max(askedAt, source.lastAt));
          source.lastAt = now;
          const rate = (end - start) / took;
          source.rate = source.rate === 0 ? rate : source.rate * 0.7 + rate * 0.3;
          source.requests -= 1;
          source.backoff.reset();
          if (source.isLeaving && source.requests === 0) this.#drop(source);
          else this.#pump(source);
        },
        (error: unknown) => {
          if (source.client === client) this.#cut(source, toFault(error, 'fetching'));
        },
      );
  }

  // Taking

  /** Takes the bytes of these slices, in order, piece by piece. */
  #sink(source: Source, client: BlobClient, slices: { chunk: number; slice: number }[]) {
    const { content } = this.#options;
    const size = sliceBytes(content);
    let n = 0;
    let offset = 0; // in the slice
    let filled = 0;
    let piece: Buffer | undefined;
    let growing: Growing | undefined;
    let small: Small | undefined;
    return (buffer: Buffer, from: number, to: number): void => {
      this.#heardAt = performance.now();
      for (let at = from; at < to; ) {
        const place = slices[n];
        if (!place) return;
        const { chunk, slice } = place;
        const length = Math.min(size, content.lengthOf(chunk) - slice * size);
        if (offset === 0 && filled === 0) growing = this.#claim(source.account, chunk, slice);
        const wanted = Math.min(PIECE_BYTES, length - offset);
        const count = Math.min(to - at, wanted - filled);
        const isSmall = content.lengthOf(chunk) <= PIECE_BYTES;
        if (isSmall) {
          if (small && (!growing || small.length + length > PIECE_BYTES)) {
            this.#put(small, source.account, client);
            small = undefined;
          }
          if (growing) {
            small ??= { piece: this.#piece(), length: 0, position: content.startOf(chunk), chunks: [] };
            buffer.copy(small.piece, small.length + filled, at, at + count);
          }
        } else if (growing) {
          piece ??= this.#piece();
          buffer.copy(piece, filled, at, at + count);
        }
        at += count;
        filled += count;
        if (filled < wanted) return;
        if (isSmall) {
          if (growing && small) {
            small.chunks.push({ chunk, growing });
            small.length += length;
          } else this.#picker.spent(source.account, chunk, slice);
          const next = slices[n + 1];
          if (small && (!next || content.lengthOf(next.chunk) > PIECE_BYTES)) {
            this.#put(small, source.account, client);
            small = undefined;
          }
        } else if (growing && piece) {
          const isLast = offset + wanted === length;
          this.#write({ growing, chunk, slice, isLast, piece, length: wanted, offset: slice * size + offset, client });
        } else if (offset + wanted === length) this.#picker.spent(source.account, chunk, slice);
        piece = undefined;
        offset += wanted;
        filled = 0;
        if (offset < length) continue;
        offset = 0;
        n += 1;
      }
    };
  }

  #piece(): Buffer {
    return this.#free.pop() ?? sharedBuffer();
  }

  /** Verifies and writes many small chunks at once; one that is wrong came from this holder alone, which had it whole. */
  #put({ piece, length, position, chunks }: Small, account: string, client: BlobClient): void {
    const { part, content, have, onChunks } = this.#options;
    for (const { growing } of chunks) growing.open.delete(0);
    const putting = part.put(piece, length, position).then((wrong) => {
      const right: number[] = [];
      let bytes = 0;
      for (const { chunk, growing } of chunks) {
        if (this.#growing.get(chunk) !== growing) continue; // given by another meanwhile
        this.#growing.delete(chunk);
        if (have.has(chunk) || !this.#picker.got(chunk, 0)) continue;
        if (wrong.includes(chunk)) {
          this.#picker.failed(chunk);
          this.#strike(account);
          continue;
        }
        have.set(chunk);
        this.#picker.verified(chunk);
        this.#topic.gained(chunk);
        right.push(chunk);
        bytes += content.lengthOf(chunk);
      }
      if (right.length > 0) onChunks(right, bytes);
      if (have.full) this.#end.resolve();
      else if (wrong.length > 0) for (const source of this.#sources.values()) this.#pump(source);
    });
    this.#await(putting, piece, client);
  }

  /** Makes a holder the giver of a slice; undefined where another is, or nobody wants it any more. */
  #claim(account: string, chunk: number, slice: number): Growing | undefined {
    if (this.#over || !this.#picker.isAsked(account, chunk, slice)) return undefined;
    let growing = this.#growing.get(chunk);
    if (!growing) {
      growing = { hasher: new Blake3Hasher(), hashed: 0, givers: [], open: new Set() };
      this.#growing.set(chunk, growing);
    }
    if (growing.givers[slice] !== undefined) return undefined;
    growing.givers[slice] = account;
    growing.open.add(slice);
    return growing;
  }

  #write(options: {
    growing: Growing;
    chunk: number;
    slice: number;
    isLast: boolean;
    piece: Buffer;
    length: number;
    offset: number;
    client: BlobClient;
  }): void {
    const { growing, chunk, slice, isLast, piece, length, offset, client } = options;
    const { part, content } = this.#options;
    if (growing.hashed === offset) {
      growing.hasher.update(piece.subarray(0, length));
      growing.hashed += length;
    }
    if (isLast) growing.open.delete(slice);
    const writing = part.write(piece, length, content.startOf(chunk) + offset);
    this.#underWay.add(writing);
    const written = writing
      .finally(() => this.#underWay.delete(writing))
      .then(() => {
        if (isLast && this.#growing.get(chunk) === growing) return this.#wrote(growing, chunk, slice);
        return undefined;
      });
    this.#await(written, piece, client);
  }

  /** Keeps count of what waits for the disk; past the bound this holder's line is read no more. */
  #await(written: Promise<void>, piece: Buffer, client: BlobClient): void {
    const settled = written
      .catch((error: unknown) => this.#fail(toFault(error)))
      .finally(() => {
        this.#writes.delete(settled);
        this.#free.push(piece);
        if (this.#writes.size >= MOST_PIECES / 2) return;
        const paused = [...this.#paused];
        this.#paused.clear();
        for (const each of paused) each.resume();
      });
    this.#writes.add(settled);
    if (this.#writes.size < MOST_PIECES) return;
    this.#paused.add(client);
    client.pause();
  }

  async #wrote(growing: Growing, chunk: number, slice: number): Promise<void> {
    const isWhole = this.#picker.got(chunk, slice);
    if (!isWhole) {
      if (!this.#picker.isAlone(chunk)) this.#topic.wrote(chunk, slice);
      return;
    }
    this.#growing.delete(chunk);
    const { content, have, onChunks } = this.#options;
    const length = content.lengthOf(chunk);
    // Of a chunk that is fetched once more, what was written before may be under way still.
    if (this.#picker.isAlone(chunk)) await Promise.allSettled([...this.#underWay]);
    const isHashed = growing.hashed === length && !this.#picker.isAlone(chunk);
    const digest = isHashed ? growing.hasher.digestBuffer() : await this.#hashOf(chunk, length);
    if (toBase32(digest) !== content.hashOf(chunk)) return await this.#wrong(growing, chunk);
    have.set(chunk);
    this.#picker.verified(chunk);
    this.#topic.gained(chunk);
    onChunks([chunk], length);
    await this.#judge(chunk);
    if (have.full) this.#end.resolve();
  }

  async #hashOf(chunk: number, length: number): Promise<Buffer> {
    const { content, part } = this.#options;
    const buffer = Buffer.from(new SharedArrayBuffer(Math.min(length, 1024 * 1024)));
    const hasher = new Blake3Hasher();
    for (let at = 0; at < length; at += buffer.length) {
      const count = Math.min(buffer.length, length - at);
      await part.read(buffer, count, content.startOf(chunk) + at);
      if (count === length) return blake3(buffer);
      hasher.update(buffer.subarray(0, count));
    }
    return hasher.digestBuffer();
  }

  // Whom to believe

  /** A chunk did not hash. Who gave all of it is to blame; of several, the right bytes will tell later who. [F-45] */
  async #wrong(growing: Growing, chunk: number): Promise<void> {
    const givers = new Set(growing.givers);
    const [giver] = givers;
    await this.#suspects.note(
      chunk,
      growing.givers.map((account) => account ?? ''),
      (account) => this.#sources.get(account)?.held.whole.has(chunk) ?? false,
    );
    this.#topic.lost(chunk);
    this.#picker.failed(chunk);
    if (givers.size === 1 && giver !== undefined && this.#sources.get(giver)?.held.whole.has(chunk))
      this.#strike(giver);
    for (const source of this.#sources.values()) this.#pump(source);
  }

  async #judge(chunk: number): Promise<void> {
    for (const { account, claimedWhole } of await this.#suspects.judge(chunk)) {
      if (claimedWhole) this.#strike(account);
      else this.#picker.wholeOnly(account);
    }
  }

  #strike(account: string): void {
    const source = this.#sources.get(account);
    if (!source) return;
    source.strikes += 1;
    if (source.strikes < MOST_STRIKES) return;
    this.#options.banned.add(account);
    this.#lastFault = new Fault('hash_mismatch', `fetching a file: the holder gave wrong data ${MOST_STRIKES} times`);
    this.#drop(source);
    this.#look();
  }
}
