/** A node's side of the relay: it comes to a tracker's port with a token, to meet another node there. [N-10] [N-12] [N-15] */
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { race } from '../base/race.ts';
import { formatProxied, isProxied, parseProxied } from '../link/address.ts';
import type { Identity } from '../link/certificate.ts';
import { askHeaders, isProved, newNonce, proofHeaders, prove, readProof, visitChallenge } from '../link/challenge.ts';
import { dial } from '../link/dial.ts';
import { dialProxy } from '../link/dial-proxied.ts';
import type { Link } from '../link/link.ts';
import type { Origin } from '../link/rung.ts';
import type { Sessions } from '../link/sessions.ts';
import { FOR_HEADER } from '../link/visit.ts';
import { visit } from '../link/visit-dial.ts';
import type { Way } from './ladder.ts';
import { type Meeting, meeting, RELAY_PATH, RELAY_UPGRADE, relay } from './relay-wire.ts';
import type { Endpoint } from './signal-wire.ts';
import type { Signals } from './signals.ts';

type Wait = { signal?: AbortSignal | undefined };

/** Milliseconds that one address of a tracker has before the next one is tried beside it. */
const HEAD_START_MS = 250;
/**
 * What must be kept from those who record it today and break it later is encrypted within, with Node's own choice of exchanges. Without ML-KEM in
 * the outer handshake the tracker needs 10 KiB less for each connection.
 */
const OUTER_CURVES = 'X25519:P-256';
/** Meetings that others asked for, to which this node is on its way. */
const MOST_COMING = 64;

export type ComeOptions = {
  identity: Identity;
  /** The tracker's key. */
  expect: string;
  /** Where to try, the likeliest first. */
  addresses: readonly string[];
  meeting: { token: string; withinMs: number };
  /** PEM of an authority that signed for the tracker's proxy, beside the known ones. */
  ca?: string | undefined;
  sessions?: Sessions | undefined;
  /** For a tracker that brings somebody to another process of itself: the node's key. */
  onBehalfOf?: string | undefined;
  signal?: AbortSignal | undefined;
};

/**
 * Comes to a meeting at a tracker; the stream goes to the other node. Throws what the tracker refuses it with, `peer_unreachable`,
 * `timeout`, `wrong_key`, `cancelled`.
 */
export async function come(options: ComeOptions): Promise<Duplex> {
  const { identity, expect, addresses, ca, sessions, signal } = options;
  const { token, withinMs } = options.meeting;
  const end = await race(
    addresses.map((address) => ({
      headStartMs: HEAD_START_MS,
      attempt: async (limit) => {
        const socket = isProxied(address)
          ? await dialProxy({ address, ca, signal: limit, sessions: sessions && { kept: sessions, peer: expect } })
          : await dial({ address, expect, identity, sessions, signal: limit, curves: OUTER_CURVES });
        return { socket, address };
      },
    })),
    { signal, discard: ({ socket }: { socket: TLSSocket }) => socket.destroy() },
  );
  if ('faults' in end) {
    throw end.faults.at(-1) ?? new Fault('peer_unreachable', 'coming to be relayed: the tracker names no address');
  }
  // The token is good once: it is said at one address alone.
  const { socket, address } = end.won;
  const asked = { protocol: RELAY_UPGRADE, timeoutMs: withinMs, signal };
  if (!isProxied(address)) {
    const headers: Record<string, string> = options.onBehalfOf ? { [FOR_HEADER]: options.onBehalfOf } : {};
    const made = await visit(socket, { ...asked, path: `${RELAY_PATH}${token}`, host: address, headers });
    return made.stream;
  }
  const place = parseProxied(address); // [N-14]
  const challenge = visitChallenge(
    { node: identity.id, nodeNonce: newNonce(), at: formatProxied(place) },
    expect,
    `${RELAY_PATH}${token}`,
  );
  const headers = { ...askHeaders(challenge), ...proofHeaders(prove(identity.key, 'node', challenge)) };
  const path = `${place.path}${RELAY_PATH}${token}`;
  const made = await visit(socket, { ...asked, path, host: place.host, headers });
  if (isProved('tracker', challenge, readProof(made.headers) ?? '')) return made.stream;
  made.stream.destroy();
  throw new Fault('wrong_key', `coming to be relayed at "${address}": what answers there is not the tracker`);
}

/** A tracker as a node knows it: its link, where it dialled it, and what people call it. */
export type RelayTracker = { link: Link; address: string; name: string };

type RelayOptions = {
  identity: Identity;
  signals: Signals;
  /** Trackers at which the account is, the likeliest first; some may have to be dialled. */
  trackersOf(account: string, wait: Wait): Promise<readonly RelayTracker[]>;
  /** One of the own trackers, by its link. */
  trackerOf(link: Link): RelayTracker | undefined;
  /** The tracker that will be asked first, as far as is known without asking. */
  likeliest(account: string): RelayTracker | undefined;
  /** Treats a stream from another node as a connection to this node's port. */
  take(stream: Duplex, origin: Origin): void;
  ca?: string | undefined;
  sessions?: Sessions | undefined;
  log: Log;
};

export class Relay {
  readonly #options: RelayOptions;
  readonly #stop = new AbortController();
  #coming = 0;

  constructor(options: RelayOptions) {
    this.#options = options;
    options.signals.answer('relay', meeting, (from, asked, { tracker }) => this.#asked(from, asked, tracker));
  }

  /** The way to an account by a tracker that both have links with. Whoever takes it says nothing on it but TLS. [N-11] */
  ways(to: Endpoint): Way<Duplex>[] {
    const first = this.#options.likeliest(to.account);
    const label = first ? `relay by ${first.name}` : 'relay';
    return [{ rung: 'relay', label, attempt: (signal) => this.#reach(to, signal) }];
  }

  async #reach(to: Endpoint, signal: AbortSignal): Promise<Duplex> {
    const trackers = await this.#options.trackersOf(to.account, { signal });
    let last = new Fault('peer_unreachable', `relaying to "${to.account}": no tracker that knows it is linked now`);
    for (const tracker of trackers) {
      try {
        const asked = await tracker.link.request(relay, { to }, { signal });
        return await this.#come(tracker, asked, signal);
      } catch (error) {
        last = toFault(error, `relaying to "${to.account}" by ${tracker.name}`);
        if (signal.aborted) break;
      }
    }
    throw last;
  }

  #come(
    { link, address }: RelayTracker,
    { token, addresses, withinMs }: Meeting,
    signal: AbortSignal,
  ): Promise<Duplex> {
    const { identity, ca, sessions } = this.#options;
    // In a cluster, the process that the token names; otherwise where this node's own link stands.
    const order = token.includes('.') ? [...addresses, address] : [address, ...addresses];
    return come({
      identity,
      expect: link.peer,
      addresses: [...new Set(order)],
      meeting: { token, withinMs },
      ca,
      sessions,
      signal,
    });
  }

  /** Somebody wants to be relayed to here. It is let in as at the port: who it is shows in the connection itself. */
  #asked(from: Endpoint, asked: Meeting, link: Link): null {
    const tracker = this.#options.trackerOf(link);
    if (!tracker) throw new Fault('wrong_state', 'being relayed to: the link to that tracker has ended');
    if (this.#coming >= MOST_COMING) throw new Fault('queue_full', 'being relayed to: too many come at once');
    this.#coming += 1;
    this.#come(tracker, asked, this.#stop.signal)
      .then(
        (stream) => this.#options.take(stream, { address: `relay by ${tracker.name}`, rung: 'relay' }),
        (error: unknown) => {
          const { code, message } = toFault(error, 'being relayed to');
          this.#options.log.info({ from: from.node.slice(0, 8), code, reason: message }, 'a relayed connection failed');
        },
      )
      .finally(() => {
        this.#coming -= 1;
      });
    return null;
  }

  [Symbol.dispose](): void {
    this.#stop.abort(new Fault('cancelled', 'the node stops'));
  }
}
