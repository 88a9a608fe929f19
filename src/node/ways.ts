/** The ways to another node, each with what is made at its end: a link, or a connection for bytes alone. */
import type { OnReadOpts } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { Identity } from '../link/certificate.ts';
import { type DialOptions, dial, dialLink } from '../link/dial.ts';
import type { HelloInfo } from '../link/hello.ts';
import type { Link } from '../link/link.ts';
import type { Router } from '../link/router.ts';
import type { Sessions } from '../link/sessions.ts';
import { type Way, waysTo } from '../reach/ladder.ts';

/** The node at which an account is: the key that must answer there, and the addresses to try. */
export type Place = { account: string; node: string; addresses: readonly string[] };

export type WaysOptions = {
  identity: Identity;
  router: Router;
  self: () => HelloInfo;
  clock: Clock;
  log: Log;
  /** Where sessions with nodes are kept to be resumed; without it each handshake is a whole one. [L-6] */
  sessions?: Sessions | undefined;
  /** Ways to a node that are no addresses: the streams that they give carry TLS to it. */
  detours?(to: { account: string; node: string }): Way<Duplex>[];
};

type How = Pick<DialOptions, 'over' | 'onConnect'>;

export class Ways {
  readonly #options: WaysOptions;
  readonly #hasLink: (node: string) => boolean;

  /** `hasLink`: whether there is an open link to a node, instead of which another one is dialled. */
  constructor(options: WaysOptions, hasLink: (node: string) => boolean) {
    this.#options = options;
    this.#hasLink = hasLink;
  }

  links(to: Place): Way<Link>[] {
    return this.#all(to, (address, signal, how) => this.link(address, to.node, signal, how));
  }

  bulks(to: Place, onread: OnReadOpts | undefined): Way<TLSSocket>[] {
    const { identity, sessions } = this.#options;
    return this.#all(to, (address, signal, how) =>
      dial({ address, expect: to.node, identity, sessions, signal, ...how, ...(onread && { onread }) }),
    );
  }

  #all<T>(
    { account, node, addresses }: Place,
    make: (address: string, signal: AbortSignal, how: How) => Promise<T>,
  ): Way<T>[] {
    const detours = this.#options.detours?.({ account, node }) ?? [];
    return [
      ...waysTo(addresses, (address, signal, onConnect) => make(address, signal, { onConnect })),
      ...detours.map((way) => ({
        ...way,
        attempt: async (signal: AbortSignal, answered?: () => void) =>
          make(way.label, signal, { over: { stream: await way.attempt(signal, answered), rung: way.rung } }),
      })),
    ];
  }

  /** A greeted link by one way. */
  link(address: string, expect: string, signal: AbortSignal, how: How = {}): Promise<Link> {
    const { identity, router, self, clock, log, sessions } = this.#options;
    const instead = (): boolean => this.#hasLink(expect);
    return dialLink({ address, expect, identity, router, self, clock, log, sessions, signal, instead, ...how });
  }
}
