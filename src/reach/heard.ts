/** What was heard of others on the networks of this machine, each claim by itself, and all of it bounded. [N-55] */
import { formatAddress } from '../link/address.ts';
import type { Advert } from './advert.ts';

/** Somebody heard of; nothing of it is proved before a handshake. */
export type Found = Advert & {
  /** `host:port`, where its packets came from, the first first; at most 8. [N-53] */
  addresses: string[];
  /** Names of the interfaces. */
  networks: string[];
  /** Unix milliseconds. */
  since: number;
  until: number;
};

type Claim = { advert: Advert; address: string; source: string; network: string; since: number; until: number };

/** Claims at once, and of these from one address: a house full of people, and a machine with the nodes of several. */
const MOST_CLAIMS = 512;
const MOST_PER_SOURCE = 16;
const MOST_ADDRESSES = 8;

export class HeardTable {
  /** By who is claimed, and from where: what one address says neither changes nor ends what another one said. [N-54] */
  readonly #claims = new Map<string, Claim>();

  /** Gives `new` where nobody said this before, `full` where there is no place for it. */
  take(
    advert: Advert,
    from: { source: string; network: string },
    { now, seconds }: { now: number; seconds: number },
  ): 'new' | 'known' | 'full' {
    const key = `${advert.id} ${from.source}`;
    const known = this.#claims.get(key);
    const address = formatAddress({ host: from.source, port: advert.port });
    const until = now + seconds * 1000;
    const isSame = known && known.address === address && statementOf(known.advert) === statementOf(advert);
    if (isSame) {
      known.until = until;
      return 'known';
    }
    if (!known && !this.#hasPlace(from.source)) return 'full';
    this.#claims.set(key, { advert, address, ...from, since: now, until });
    return 'new';
  }

  #hasPlace(source: string): boolean {
    if (this.#claims.size >= MOST_CLAIMS) return false;
    let count = 0;
    for (const claim of this.#claims.values()) if (claim.source === source) count++;
    return count < MOST_PER_SOURCE;
  }

  /** Its own goodbye ends a claim. Says whether there was one. */
  drop(id: string, source: string): boolean {
    return this.#claims.delete(`${id} ${source}`);
  }

  /** Forgets what holds no longer, and what was heard on networks that are gone. Says whether there was any. */
  sweep(now: number, networks: ReadonlySet<string>): boolean {
    const before = this.#claims.size;
    for (const [key, { until, network }] of this.#claims) {
      if (until <= now || !networks.has(network)) this.#claims.delete(key);
    }
    return this.#claims.size < before;
  }

  /** Seconds for which each that was heard on a network still holds. */
  known(network: string, now: number): Map<string, number> {
    const claims = [...this.#claims.values()].filter((claim) => claim.network === network);
    return new Map(claims.map(({ advert, until }) => [advert.id, Math.floor((until - now) / 1000)]));
  }

  /** Each statement once, with all addresses from which it came; those heard first come first. */
  list(): Found[] {
    const found = new Map<string, Found>();
    for (const { advert, address, network, since, until } of this.#claims.values()) {
      const statement = statementOf(advert);
      const known = found.get(statement);
      if (!known) {
        found.set(statement, { ...advert, addresses: [address], networks: [network], since, until });
        continue;
      }
      if (known.addresses.length < MOST_ADDRESSES) known.addresses.push(address);
      if (!known.networks.includes(network)) known.networks.push(network);
      known.until = Math.max(known.until, until);
    }
    return [...found.values()];
  }
}

const statementOf = ({ id, role, account, handle, zone }: Advert): string =>
  [id, role, account ?? '', handle ?? '', zone ?? ''].join(' ');
