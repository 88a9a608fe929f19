/**
 * Where a tracker keeps what it must not forget, and by what it is one with other processes that have the same key: embedded
 * (one process, one SQLite file), or a cluster on NATS. See docs/protocol-cluster.md.
 */
import { Fault } from '../../base/fault.ts';
import type { SharedLog, Siblings } from '../../base/shared-log.ts';
import type { Store } from '../../base/sqlite.ts';

/** What the processes of a cluster share. */
type Shared = {
  /** Unix milliseconds at which the cluster was made: the same for all of them, and for good. [D-15] */
  readonly born: number;
  readonly siblings: Siblings;
  /** Whose each handle is; all of it stays. */
  readonly handles: SharedLog;
  /** Records and hidings; of each key only the newest stays. */
  readonly records: SharedLog;
  /** Creations and orders of rooms; all of it stays. */
  readonly rooms: SharedLog;
  /** What is known of zones: whom they were given to, and what was signed; all of it stays. */
  readonly zones: SharedLog;
  /** Letters by recipient and id; of each key only the newest stays. */
  readonly mail: SharedLog;
  /** Why what is shown may be old and nothing can be written; undefined while all is well. */
  readonly trouble: () => Fault | undefined;
};

export type Engine = AsyncDisposable & {
  /** Embedded: the truth. In a cluster: this process' copy, made anew from what is shared if it is lost. */
  readonly store: Store;
  /** Settles when what was written to the store may be answered; undefined if it may already. */
  readonly settled: () => Promise<void> | undefined;
  /** Undefined: this process alone is the tracker. */
  readonly shared: Shared | undefined;
};

/** NATS servers by address, and how to be let in. */
export type NatsPlace = {
  /** `host:port` each. */
  servers: string[];
  tls: boolean;
  user?: string;
  pass?: string;
  token?: string;
};

const NATS_PORT = 4222;
const FORM = 'expected nats://HOST[:PORT][,HOST[:PORT]...], with tls:// for TLS, or "embedded"';

/**
 * What `--engine` says; undefined for the embedded one. A name and password, or a token, may stand before `@`, as everywhere with
 * NATS. Throws `invalid_argument`, without quoting what may be secret.
 */
export function parseEngine(text: string): NatsPlace | undefined {
  if (text === 'embedded') return undefined;
  const [, scheme, , login, hosts = ''] = /^(nats|tls):\/\/((.*)@)?([^@/?#]+)\/?$/.exec(text) ?? [];
  const servers = hosts.split(',').map(address);
  if (scheme === undefined || servers.includes(undefined)) {
    throw new Fault('invalid_argument', `reading the engine: ${FORM}`, { data: { field: 'engine' } });
  }
  const place = { servers: servers.filter((server) => server !== undefined), tls: scheme === 'tls' };
  if (login === undefined) return place;
  const [user = '', pass] = [
    login.split(':', 1)[0],
    login.includes(':') ? login.slice(login.indexOf(':') + 1) : undefined,
  ];
  return pass === undefined ? { ...place, token: user } : { ...place, user, pass };
}

function address(text: string): string | undefined {
  const found = /^(\[[0-9a-f:.]+\]|[^:[\]\s]+)(?::(\d{1,5}))?$/i.exec(text.trim());
  return found ? `${found[1]}:${found[2] ?? NATS_PORT}` : undefined;
}

/** The engine as people and logs may see it: without name, password and token. */
export const engineText = (text: string): string => text.replace(/\/\/.*@/, '//…@');
