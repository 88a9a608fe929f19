/** The side that has bytes: serves manifests and files over HTTP to the accounts that were offered them. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Budget, reasonOf } from '../base/async.ts';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { type Binding, bindingHolds } from '../link/binding.ts';
import type { HttpHandler } from '../link/listen.ts';
import { type Origin, originOf } from '../link/rung.ts';
import { BlockPool } from './blocks.ts';
import { CAPABILITY_PARAMETER } from './capability.ts';
import type { Layout } from './layout.ts';
import type { Flow } from './limits.ts';
import { type ByteRange, namesEtag, readRange } from './range.ts';
import { BLOCK_BYTES } from './source.ts';
import { turns } from './turns.ts';
import { ACCOUNT_HEADER, decodeAccount } from './wire.ts';

/** Bodies under way at once in all; others wait in order, at most as many as the queue. */
const MOST_SERVING = 16;
const MOST_QUEUED = 256;
/** Requests of one peer under way or waiting: a receiver pipelines two on each of three transfers. */
const MOST_PER_PEER = 8;
/** Bytes of one write: larger ones gain nothing, smaller ones cost a system call each. */
const WRITE_BYTES = 256 * 1024;
/** Bytes of a manifest that are read from the store at once: as it keeps them, so that none is read twice. */
const MANIFEST_BYTES = 512 * 1024;
/** Milliseconds for which a connection's right to a content is not looked up again. */
const OFFERED_MS = 1000;
/**
 * Bytes of one write near the end of a body. Node's server stops its parser when more than 64 KiB wait in the socket, and
 * cuts the connection ("Parse Error: Paused") if the next request comes before it has noticed that they left: so at the end
 * of a body, when the reader may ask for more, there are never as many.
 */
const LAST_WRITE_BYTES = 60 * 1024;
/** Milliseconds in which a reader must take one write: slower than 4 KB/s is cut. [F-15] */
const STALL_MS = 60_000;
/** Blocks for read-ahead: two a body. */
const MOST_BLOCKS = 2 * MOST_SERVING;

/** Bodies at once for those who come with a link, so that members of the conversation keep places; and how many wait. [F-52] */
const MOST_LINKED = 8;
const MOST_LINKED_QUEUED = 64;
/** Requests with one link under way or waiting: a download manager opens the next connection before the last one is gone. */
const MOST_PER_LINK = 16;

/** Bytes that are served: of one file, or of a whole content as one linear space. [F-16] */
export interface Bytes extends AsyncDisposable {
  readonly size: number;
  /** Of a file in a folder. */
  readonly name?: string | undefined;
  /** Of a folder. */
  readonly layout?: Layout | undefined;
  /** Throws where not even the first byte of the range can be had: then no answer has begun. `changed`, or `wrong_state`. */
  begin?(range: ByteRange): Promise<void>;
  /** Fills `buffer` from `position`, gives how many bytes: fewer where what follows has changed. Throws `changed`, `unreadable`. */
  read(buffer: Buffer, length: number, position: number): Promise<number>;
  /** Throws `changed` if what was read is no longer what was hashed. [F-14] */
  check(): Promise<void>;
}

/** What an account was offered under one manifest hash. */
export type Offered = {
  /** Id of the transfer that this serves. */
  transfer: string;
  /** Of those who come with a link: which one, and the name of the whole. */
  link?: { id: string; name: string };
  manifest(): { size: number; read(start: number, end: number): Uint8Array };
  /** The file at this place of the manifest, or all of them; undefined if there is none such. Throws `changed`, `unreadable`. */
  open(which: number | 'all', signal: AbortSignal): Promise<Bytes | undefined>;
};

export type BlobServerOptions = {
  /** Undefined if `account` was not offered this. Asked before anything is verified: it must cost little. */
  offered(account: string, hash: string): Offered | undefined;
  /** Another number whenever what is offered to somebody may have changed. */
  version?(): number;
  /** Somebody for whom nobody is here: their connection is cut without a word. */
  blocked?: ((account: string) => boolean) | undefined;
  clock: Clock;
  /** Told of each body of a file: its start, its bytes as they are taken, its end. */
  onServe?(transfer: string): void;
  onBytes?(transfer: string, bytes: number): void;
  onServed?(transfer: string): void;
  stallMs?: number;
  /** What somebody without a certificate may have by what their URL carries: none where it gives nothing for this hash. */
  capability?(text: string, hash: string): Offered | undefined;
  /** Opens a connection's share in a transfer; the bytes of a body go by its pace. */
  flow?(transfer: string, peer: string | null, origin: Origin): Flow;
};

type Connection = {
  /** Aborts when the socket closes. A response that waits behind another one would not hear of it. */
  closed: AbortSignal;
  /** The account header that was believed, so that a signature is checked once; and until when. */
  header: string;
  claimed: Binding | undefined;
  until: number;
  /** What its account was offered last, so that one look into the tables does for many ranges. */
  offered: { account: string; hash: string; at: number; version: number | undefined; what: Offered } | undefined;
  /** Who that is. */
  account: string | null;
};

type Body = { transfer: string; link: string | undefined; stop(fault: Fault): void };

export class BlobServer {
  readonly #options: BlobServerOptions;
  readonly #serving = new Budget(MOST_SERVING, { queue: MOST_QUEUED });
  readonly #linked = new Budget(MOST_LINKED, { queue: MOST_LINKED_QUEUED });
  readonly #peers = new Map<string, number>();
  readonly #pool = new BlockPool(MOST_BLOCKS);
  readonly #bodies = new Set<Body>();
  readonly #connections = new WeakMap<Socket, Connection>();

  constructor(options: BlobServerOptions) {
    this.#options = options;
  }

  /** For `Listener.route('/blobs/', ...)`. */
  readonly handler: HttpHandler = async (request, response, { peer, path, query }) => {
    const match = /^\/blobs\/([a-z2-7]{52})(?:\/(\d{1,7}|all))?$/.exec(path);
    if (!match?.[1]) {
      throw new Fault('unknown_operation', 'asking for a blob: expected /blobs/{hash}, then nothing, /{index} or /all');
    }
    const [, hash, text] = match;
    const which = text === undefined || text === 'all' ? text : Number(text);
    const capability = query.get(CAPABILITY_PARAMETER);
    const offered = capability === null ? this.#admit(request, peer, hash) : this.#admitLinked(capability, hash);
    response.setHeader('x-content-type-options', 'nosniff');
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.writeHead(405, { allow: 'GET, HEAD', 'content-length': 0, 'x-netapp-fault': 'unknown_operation' }).end();
      return;
    }
    const etag = which === undefined ? `"${hash}"` : `"${hash}.${which}"`;
    response.setHeader('etag', etag);
    // What a hash names never changes; whose it is to have may.
    response.setHeader('cache-control', 'private, max-age=31536000, immutable');
    if (namesEtag(request.headers['if-none-match'], etag)) {
      response.writeHead(304).end();
      return;
    }
    using _place =
      capability === null ? this.#place(peer ?? '', MOST_PER_PEER) : this.#place(capability, MOST_PER_LINK);
    const { closed } = this.#connection(request.socket);
    using _linked = capability === null ? undefined : await this.#linked.take(1, closed);
    using _permit = await this.#serving.take(1, closed);
    if (which === undefined) await this.#sendManifest(request, response, offered, closed);
    else await this.#sendBytes(request, response, offered, which, closed);
  };

  /** Cuts whatever serves this transfer, or goes by this link: it was cancelled. */
  stop(id: string, fault: Fault): void {
    for (const body of this.#bodies) if (body.transfer === id || body.link === id) body.stop(fault);
  }

  /**
   * What is offered to whoever asks. The cheap questions come first: a stranger costs a look into the table, and learns
   * the same of what is here for others and what is not here. [F-10]
   */
  #admit(request: IncomingMessage, peer: string | undefined, hash: string): Offered {
    if (!peer) throw new Fault('unauthenticated', 'asking for a blob: no client certificate was shown');
    const header = request.headers[ACCOUNT_HEADER];
    if (typeof header !== 'string') {
      throw new Fault('unauthenticated', `asking for a blob: the header "${ACCOUNT_HEADER}" is missing`);
    }
    const connection = this.#connection(request.socket);
    const claimed = connection.header === header && connection.claimed ? connection.claimed : decodeAccount(header);
    const now = this.#options.clock.now();
    if (this.#options.blocked?.(claimed.account)) {
      request.socket.destroy(); // [D-60]
      throw new Fault('link_closed', 'asking for a blob: nobody is here');
    }
    const offered = this.#offered(connection, claimed.account, hash);
    if (connection.header !== header || connection.until <= now) {
      if (!bindingHolds(claimed, peer, now)) {
        throw new Fault('forbidden', 'asking for a blob: the account does not vouch for this node, or no longer');
      }
      connection.header = header;
      connection.claimed = claimed;
      connection.until = claimed.until;
      connection.account = claimed.account;
    }
    return offered;
  }

  /** Who has the link may have what it is for: no certificate is asked for. Why it gives nothing is nobody's concern. [F-51] */
  #admitLinked(capability: string, hash: string): Offered {
    const offered = this.#options.capability?.(capability, hash);
    if (offered) return offered;
    throw new Fault('forbidden', 'asking for a blob: this link gives nothing here, or no longer; ask for a new one');
  }

  #offered(connection: Connection, account: string, hash: string): Offered {
    const last = connection.offered;
    const [at, version] = [performance.now(), this.#options.version?.()];
    const isSame = last?.account === account && last.hash === hash && last.version === version;
    if (isSame && at - last.at < OFFERED_MS) return last.what;
    const what = this.#options.offered(account, hash);
    if (!what) throw new Fault('forbidden', 'asking for a blob: this account was not offered it');
    connection.offered = { account, hash, at, version, what };
    return what;
  }

  #connection(socket: Socket): Connection {
    const known = this.#connections.get(socket);
    if (known) return known;
    const stop = new AbortController();
    const gone = (): void => stop.abort(new Fault('link_closed', 'serving: the reader went away'));
    socket.once('close', gone);
    const connection: Connection = {
      closed: stop.signal,
      header: '',
      claimed: undefined,
      until: 0,
      offered: undefined,
      account: null,
    };
    this.#connections.set(socket, connection);
    return connection;
  }

  #place(peer: string, most: number): Disposable {
    const count = this.#peers.get(peer) ?? 0;
    if (count >= most) {
      throw new Fault(
        'too_many',
        `asking for a blob: ${most} requests of this node or with this link are under way already`,
      );
    }
    this.#peers.set(peer, count + 1);
    return {
      [Symbol.dispose]: () => {
        const left = (this.#peers.get(peer) ?? 1) - 1;
        if (left > 0) this.#peers.set(peer, left);
        else this.#peers.delete(peer);
      },
    };
  }

  async #sendManifest(request: IncomingMessage, response: ServerResponse, offered: Offered, closed: AbortSignal) {
    const manifest = offered.manifest();
    const range = await this.#head(request, response, manifest.size, 'application/json');
    if (!range) return;
    await using writer = new Writer(response, closed, this.#options.stallMs ?? STALL_MS);
    for (let at = range.start; at < range.end; at += MANIFEST_BYTES) {
      const { buffer, byteOffset, length } = manifest.read(at, Math.min(range.end, at + MANIFEST_BYTES));
      const piece = Buffer.from(buffer, byteOffset, length);
      for (let from = 0; from < length; from += WRITE_BYTES) {
        await writer.write(piece.subarray(from, from + WRITE_BYTES));
      }
    }
    response.end();
  }

  async #sendBytes(
    request: IncomingMessage,
    response: ServerResponse,
    offered: Offered,
    which: number | 'all',
    closed: AbortSignal,
  ): Promise<void> {
    await using source = await offered.open(which, closed);
    if (!source) throw new Fault('unknown_id', `asking for a blob: the manifest has no file ${which}`);
    response.setHeader('content-disposition', disposition(offered.link && (source.name ?? offered.link.name)));
    const begin = async (range: ByteRange): Promise<void> => await source.begin?.(range);
    const range = await this.#head(request, response, source.size, 'application/octet-stream', begin);
    if (!range) return;
    await using writer = new Writer(response, closed, this.#options.stallMs ?? STALL_MS);
    const stopped = new AbortController();
    const stop = (fault: Fault): void => {
      writer.stop(fault);
      stopped.abort(fault);
    };
    const body: Body = { transfer: offered.transfer, link: offered.link?.id, stop };
    const signal = AbortSignal.any([closed, stopped.signal]);
    const { socket } = request;
    const account = offered.link ? null : this.#connection(socket).account;
    using flow = this.#options.flow?.(offered.transfer, account, originOf(socket));
    this.#bodies.add(body);
    this.#options.onServe?.(offered.transfer);
    try {
      await this.#pump(source, range, writer, {
        piece: () => flow?.piece ?? WRITE_BYTES,
        onBytes: (bytes) => {
          this.#options.onBytes?.(offered.transfer, bytes);
          return flow?.moved(bytes, signal);
        },
      });
      await source.check(); // the head is out: what is thrown here cuts the connection [F-14]
      response.end();
    } finally {
      this.#bodies.delete(body);
      this.#options.onServed?.(offered.transfer);
    }
  }

  /** Writes the response's head, if `begin` lets it. Gives the range whose bytes follow; undefined if none do. [F-11] */
  async #head(
    request: IncomingMessage,
    response: ServerResponse,
    size: number,
    type: string,
    begin?: (range: ByteRange) => Promise<void>,
  ): Promise<ByteRange | undefined> {
    response.setHeader('content-type', type);
    response.setHeader('accept-ranges', 'bytes');
    const ifRange = request.headers['if-range'];
    const isRangeMeant = request.method === 'GET' && (ifRange === undefined || ifRange === response.getHeader('etag'));
    const range = isRangeMeant ? readRange(request.headers.range, size) : 'all';
    if (range === 'outside') {
      const headers = { 'content-range': `bytes */${size}`, 'content-length': 0, 'x-netapp-fault': 'invalid_argument' };
      response.writeHead(416, headers).end();
      return undefined;
    }
    const { start, end } = range === 'all' ? { start: 0, end: size } : range;
    if (end > start) await begin?.({ start, end });
    response.setHeader('content-length', end - start);
    if (range === 'all') response.writeHead(200);
    else response.writeHead(206, { 'content-range': `bytes ${start}-${end - 1}/${size}` });
    if (request.method === 'GET' && end > start) return { start, end };
    response.end();
    return undefined;
  }

  /** Reads one block ahead of the one that is being written. */
  async #pump(
    source: Bytes,
    { start, end }: ByteRange,
    writer: Writer,
    pace: { piece(): number; onBytes(bytes: number): Promise<void> | undefined },
  ): Promise<void> {
    using line = turns.line();
    const blocks = [this.#pool.take(), this.#pool.take()] as const;
    const read = (block: Buffer, at: number): Promise<number> => {
      const reading = source.read(block, Math.min(BLOCK_BYTES, end - at), at);
      reading.catch(() => {}); // waited for below, or in the end
      return reading;
    };
    let [current, next] = blocks;
    let reading = read(current, start);
    try {
      for (let at = start; at < end; at += BLOCK_BYTES) {
        const length = await reading;
        const isCut = length < Math.min(BLOCK_BYTES, end - at);
        if (!isCut && at + BLOCK_BYTES < end) reading = read(next, at + BLOCK_BYTES);
        for (let from = 0; from < length; ) {
          const isNearEnd = end - at - from <= WRITE_BYTES;
          const to = Math.min(length, from + Math.min(pace.piece(), isNearEnd ? LAST_WRITE_BYTES : WRITE_BYTES));
          await writer.write(current.subarray(from, to));
          const wait = pace.onBytes(to - from);
          if (wait) await wait;
          const later = line.take(to - from);
          if (later) await later;
          from = to;
        }
        if (isCut) throw new Fault('changed', 'serving: a file has changed since it was offered');
        [current, next] = [next, current];
      }
    } finally {
      await reading.catch(() => {}); // the blocks are free only when nothing reads into them
      for (const block of blocks) this.#pool.give(block);
    }
  }
}

/** A plain client may be told the name to keep it under (RFC 6266); a node knows it from the manifest. */
function disposition(name: string | undefined): string {
  if (name === undefined) return 'attachment';
  const encoded = encodeURIComponent(name.toWellFormed()).replace(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `attachment; filename*=UTF-8''${encoded}`;
}

/** Writes one piece after another to a response; a reader that takes none for too long is cut. [F-15] */
class Writer implements AsyncDisposable {
  readonly #response: ServerResponse;
  readonly #closed: AbortSignal;
  readonly #timer: NodeJS.Timeout;
  readonly #gone = (): void => this.stop(reasonOf(this.#closed));
  #since = performance.now();
  #writing = false;
  #fault: Fault | undefined;
  #fail: ((fault: Fault) => void) | undefined;

  constructor(response: ServerResponse, closed: AbortSignal, stallMs: number) {
    this.#response = response;
    this.#closed = closed;
    if (closed.aborted) this.#gone();
    closed.addEventListener('abort', this.#gone);
    const look = (): void => {
      // Without a socket the response waits for the one before it, which is somebody else's slowness; between two writes
      // it waits for a limit of our own.
      if (!response.socket || !this.#writing) this.#since = performance.now();
      else if (performance.now() - this.#since >= stallMs) {
        this.stop(new Fault('timeout', `serving: the reader took nothing within ${stallMs} ms`));
      }
    };
    this.#timer = setInterval(look, Math.max(10, stallMs / 8));
    this.#timer.unref();
  }

  /** Fails the write under way, and those to come. */
  stop(fault: Fault): void {
    this.#fault ??= fault;
    this.#fail?.(this.#fault);
  }

  /** Settles when the bytes have left for the network. Throws why it was stopped. */
  write(bytes: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#fault) return reject(this.#fault);
      this.#since = performance.now();
      this.#writing = true;
      this.#fail = reject;
      this.#response.write(bytes, (error) => {
        this.#writing = false;
        if (error) reject(new Fault('link_closed', 'serving: the reader went away', { cause: error }));
        else resolve();
      });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#closed.removeEventListener('abort', this.#gone);
  }
}
