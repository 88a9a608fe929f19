/** One attempt of ICE (RFC 8445) by the library for it, where that is installed: a data channel over UDP. [N-40] */
import type { PeerConnection } from 'node-datachannel';
import { abortable, deadline } from '../base/async.ts';
import { Fault, toFault } from '../base/fault.ts';
import { type Address, formatAddress } from '../link/address.ts';
import { DataStream } from './data-stream.ts';
import { type IceSide, readSide, writeCandidates, writeSide } from './ice-side.ts';

type Library = typeof import('node-datachannel');

/** Milliseconds for the answer of the STUN server; without one, the own addresses have to do. */
const GATHER_MS = 1500;
/** Milliseconds from the other side’s description to the open channel. */
const CONNECT_MS = 10_000;
/** Bytes that SCTP keeps on each side: with less, a long way is slow. */
const SCTP_BYTES = 4 * 1024 * 1024;

/** Channels at once, each with a socket and memory of its own outside of the heap. */
const MOST_SESSIONS = 256;

let library: Promise<Library> | undefined;
/** In this whole process. */
let living = 0;

/**
 * After the last one: what the library keeps of channels that never opened is let go by this alone, and would keep the process
 * alive. It takes a few milliseconds; the next use starts it anew.
 */
function cleanUp({ cleanup }: Library): void {
  living -= 1;
  setImmediate(() => {
    if (living === 0) cleanup();
  });
}

/** Throws `unknown_operation` where it is not installed: it is optional, and there is none for some systems. */
async function load(): Promise<Library> {
  library ??= import('node-datachannel').then((found) => {
    found.setSctpSettings({ recvBufferSize: SCTP_BYTES, sendBufferSize: SCTP_BYTES });
    return found;
  });
  try {
    return await library;
  } catch (error) {
    throw new Fault('unknown_operation', 'making a hole for UDP: "node-datachannel" is not installed here', {
      cause: error,
    });
  }
}

/** Those that are under way or in use: the native side must not lose them, nor outlive the node. */
export class Ice implements Disposable {
  readonly #sessions = new Set<IceSession>();

  async open(stun: Address | undefined): Promise<IceSession> {
    if (this.#sessions.size >= MOST_SESSIONS) {
      throw new Fault('too_many', `making a hole for UDP: this node keeps ${MOST_SESSIONS} already`);
    }
    const found = await load();
    const servers = stun ? [`stun:${formatAddress(stun)}`] : [];
    const connection = new found.PeerConnection('netapp', {
      iceServers: servers,
      enableIceTcp: false,
      maxMessageSize: 262_144,
    });
    const session = new IceSession(connection, () => {
      this.#sessions.delete(session);
      cleanUp(found);
    });
    living += 1;
    this.#sessions.add(session);
    return session;
  }

  [Symbol.dispose](): void {
    for (const session of this.#sessions) session[Symbol.dispose]();
  }
}

export class IceSession implements Disposable {
  readonly #connection: PeerConnection;
  readonly #gone: () => void;
  readonly #stream = Promise.withResolvers<DataStream>();
  readonly #gathered = Promise.withResolvers<void>();
  #open: DataStream | undefined;
  #closed = false;

  constructor(connection: PeerConnection, gone: () => void) {
    this.#connection = connection;
    this.#gone = gone;
    this.#stream.promise.catch(() => {}); // who waits for it hears of it
    connection.onGatheringStateChange((state) => {
      if (state === 'complete') this.#gathered.resolve();
    });
    connection.onStateChange((state) => {
      if (state === 'failed' || state === 'closed' || state === 'disconnected') this.#fail(state);
    });
  }

  /** The asker’s side. */
  async offer(signal: AbortSignal): Promise<IceSide> {
    this.#use(this.#connection.createDataChannel('netapp'));
    return await this.#describe(signal);
  }

  /**
   * The side that was asked. It sends nothing until it is told to begin: checks that come to the asker while that reads the
   * answer would be through before the library knows which certificate to expect.
   */
  async answer(theirs: IceSide, signal: AbortSignal): Promise<IceSide> {
    this.#connection.onDataChannel((channel) => this.#use(channel));
    this.#understand({ ...theirs, candidates: [] }, 'offer');
    return await this.#describe(signal);
  }

  begin({ candidates }: IceSide): void {
    if (this.#closed) return;
    for (const line of writeCandidates(candidates)) this.#connection.addRemoteCandidate(line, '0');
  }

  /** What the asker was answered. */
  accept(theirs: IceSide): void {
    this.#understand(theirs, 'answer');
  }

  /** The channel, once it is open. The session lasts as long as it does. Throws `peer_unreachable`, `timeout`. */
  async stream(signal: AbortSignal): Promise<DataStream> {
    using limit = deadline(CONNECT_MS, 'making a hole for UDP', signal);
    return await abortable(this.#stream.promise, limit);
  }

  /** Whether its channel is in use. */
  get isOpen(): boolean {
    return this.#open !== undefined && !this.#open.destroyed;
  }

  /** `203.0.113.7:4000`: where the other side is reached; undefined before. */
  get address(): string | undefined {
    const remote = this.#connection.getSelectedCandidatePair()?.remote;
    return remote && formatAddress({ host: remote.address, port: remote.port });
  }

  #use(channel: ReturnType<PeerConnection['createDataChannel']>): void {
    channel.onOpen(() => {
      this.#open = new DataStream(channel, () => this[Symbol.dispose]());
      this.#stream.resolve(this.#open);
    });
    channel.onError((text) => this.#fail(text));
  }

  #understand(theirs: IceSide, type: 'offer' | 'answer'): void {
    try {
      this.#connection.setRemoteDescription(writeSide(theirs, type === 'offer' ? 'passive' : 'active'), type);
    } catch (error) {
      throw new Fault('malformed', `making a hole for UDP: ${toFault(error).message}`, { cause: error });
    }
  }

  async #describe(signal: AbortSignal): Promise<IceSide> {
    using limit = deadline(GATHER_MS, 'asking the STUN server', signal);
    await abortable(this.#gathered.promise, limit).catch((error: unknown) => {
      if (signal.aborted) throw error;
    });
    const description = this.#connection.localDescription();
    if (!description) throw new Fault('internal', 'making a hole for UDP: the library describes nothing');
    return readSide(description.sdp);
  }

  #fail(why: string): void {
    this.#stream.reject(
      new Fault('peer_unreachable', `making a hole for UDP: no address answers the other side’s checks (${why})`),
    );
    this.#open?.cut(why);
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#fail('closed');
    this.#connection.close();
    this.#gone();
  }
}
