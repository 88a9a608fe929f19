/** The settings of a home: flags win over the environment, that over the home's `config.json`, that over defaults. */
import { isIP } from 'node:net';
import { userInfo } from 'node:os';
import { Fault } from '../base/fault.ts';
import { parseSpan } from '../cli/units.ts';
import { parseAddress } from '../link/address.ts';
import { type HomeConfig, homeConfig, NODE_PORT } from '../node/home.ts';
import { TRACKER_PORT } from '../tracker/tracker.ts';

const ZONE = 'lab';
/** Long enough for a talk at the door, short enough to be true. */
const AWAY_AFTER_MS = 10 * 60_000;
/** Enough for 14,000 links at the pace at which a tracker sends them away, and well below what a service manager waits. */
const DRAIN_MS = 30_000;

export type Key = keyof HomeConfig;

type Setting<K extends Key> = {
  flag?: string;
  env: string;
  /** From what the variable says to what the setting is; its form is checked afterwards. */
  read(text: string): unknown;
  /** Undefined where nothing is a choice, too. */
  fallback(): HomeConfig[K];
};

const asIs = (text: string): unknown => text;
const asNumber = (text: string): unknown => (/^\d+$/.test(text) ? Number(text) : text);
const asFlag = (text: string): unknown =>
  ({ true: true, 1: true, on: true, false: false, 0: false, off: false })[text] ?? text;
const asList = (text: string): unknown => text.split(/[\s,]+/).filter((each) => each !== '');

/** `connectionsPerAddress=100,loopback=true` */
const asLimits = (text: string): unknown => {
  const pairs = text.split(/[\s,]+/).flatMap((each) => (each === '' ? [] : [each.split('=')]));
  if (pairs.some(({ length }) => length !== 2)) return text;
  return Object.fromEntries(
    pairs.map(([name = '', value = '']) => [name, name === 'loopback' ? asFlag(value) : asNumber(value)]),
  );
};

const SETTINGS: { readonly [K in Key]-?: Setting<K> } = {
  name: { flag: '--name', env: 'NETAPP_NAME', read: asIs, fallback: loginName },
  host: { flag: '--host', env: 'NETAPP_HOST', read: asIs, fallback: () => undefined },
  port: { flag: '--port', env: 'NETAPP_PORT', read: asNumber, fallback: () => NODE_PORT },
  trackers: { flag: '--join, --tracker', env: 'NETAPP_JOIN', read: asList, fallback: () => [] },
  trackerCa: { flag: '--tracker-ca', env: 'NETAPP_TRACKER_CA', read: asIs, fallback: () => undefined },
  zone: { flag: '--zone', env: 'NETAPP_ZONE', read: asIs, fallback: () => ZONE },
  trackerPort: { flag: '--tracker-port', env: 'NETAPP_TRACKER_PORT', read: asNumber, fallback: () => TRACKER_PORT },
  zones: { flag: '--zone', env: 'NETAPP_ZONES', read: asList, fallback: () => [] },
  parents: { flag: '--parent', env: 'NETAPP_PARENT', read: asList, fallback: () => [] },
  primaries: { flag: '--primary', env: 'NETAPP_PRIMARY', read: asList, fallback: () => [] },
  dns: { flag: '--dns', env: 'NETAPP_DNS', read: asList, fallback: () => [] },
  mailbox: { flag: '--mailbox', env: 'NETAPP_MAILBOX', read: asFlag, fallback: () => true },
  engine: { flag: '--engine', env: 'NETAPP_ENGINE', read: asIs, fallback: () => 'embedded' },
  admins: { flag: '--admin', env: 'NETAPP_ADMINS', read: asList, fallback: () => [] },
  behindProxy: { flag: '--behind-proxy', env: 'NETAPP_BEHIND_PROXY', read: asIs, fallback: () => undefined },
  publicUrls: { flag: '--public-url', env: 'NETAPP_PUBLIC_URLS', read: asList, fallback: () => [] },
  trustedProxies: { flag: '--trusted-proxy', env: 'NETAPP_TRUSTED_PROXIES', read: asList, fallback: () => [] },
  forwardedHeader: {
    flag: '--forwarded-header',
    env: 'NETAPP_FORWARDED_HEADER',
    read: asIs,
    fallback: () => 'x-forwarded-for',
  },
  policy: { flag: '--policy', env: 'NETAPP_POLICY', read: asIs, fallback: () => undefined },
  limits: { flag: '--limit', env: 'NETAPP_LIMITS', read: asLimits, fallback: () => ({}) },
  relay: { flag: '--relay', env: 'NETAPP_RELAY', read: asIs, fallback: () => 'zones' },
  relayLimits: { flag: '--relay-limit', env: 'NETAPP_RELAY_LIMITS', read: asLimits, fallback: () => ({}) },
  metrics: { flag: '--metrics', env: 'NETAPP_METRICS', read: asIs, fallback: () => undefined },
  elsewhere: { flag: '--elsewhere', env: 'NETAPP_ELSEWHERE', read: asList, fallback: () => [] },
  drainMs: { flag: '--drain', env: 'NETAPP_DRAIN', read: parseSpan, fallback: () => DRAIN_MS },
  presence: { flag: '--presence', env: 'NETAPP_PRESENCE', read: asIs, fallback: () => 'zone' },
  awayAfterMs: { flag: '--away-after', env: 'NETAPP_AWAY_AFTER', read: parseSpan, fallback: () => AWAY_AFTER_MS },
  httpPort: { flag: '--http-port', env: 'NETAPP_HTTP_PORT', read: asNumber, fallback: () => undefined },
  lan: { flag: '--lan', env: 'NETAPP_LAN', read: asFlag, fallback: () => true },
  portMapping: { flag: '--port-mapping', env: 'NETAPP_PORT_MAPPING', read: asFlag, fallback: () => true },
  webhookTargets: { env: 'NETAPP_WEBHOOK_TARGETS', read: asList, fallback: () => [] },
  log: { env: 'NETAPP_LOG', read: asIs, fallback: () => 'warn' },
};

export type Settings = {
  [K in
    | 'name'
    | 'port'
    | 'trackers'
    | 'zone'
    | 'zones'
    | 'parents'
    | 'primaries'
    | 'dns'
    | 'trackerPort'
    | 'mailbox'
    | 'engine'
    | 'admins'
    | 'publicUrls'
    | 'trustedProxies'
    | 'forwardedHeader'
    | 'limits'
    | 'relay'
    | 'relayLimits'
    | 'elsewhere'
    | 'presence'
    | 'lan'
    | 'portMapping'
    | 'webhookTargets'
    | 'log']-?: Exclude<HomeConfig[K], undefined>;
} & Pick<
  HomeConfig,
  'host' | 'awayAfterMs' | 'httpPort' | 'trackerCa' | 'behindProxy' | 'policy' | 'metrics' | 'drainMs'
>;

export type Origin = { from: 'flag' | 'environment' | 'config.json' | 'default'; name: string };

/** Throws `invalid_argument` for a variable that does not have the form of its setting. */
export function settle(
  given: HomeConfig,
  env: NodeJS.ProcessEnv,
  kept: HomeConfig,
): { settings: Settings; origins: ReadonlyMap<Key, Origin> } {
  const origins = new Map<Key, Origin>();
  const one = (key: Key): unknown => {
    const { flag = '', env: variable, read, fallback } = SETTINGS[key];
    const from = (where: Origin['from'], name: string): void => void origins.set(key, { from: where, name });
    if (given[key] !== undefined) {
      from('flag', flag);
      return given[key];
    }
    const text = env[variable];
    if (text) {
      from('environment', variable);
      return checked(key, variable, text, read(text));
    }
    if (kept[key] !== undefined) {
      from('config.json', key);
      return kept[key];
    }
    from('default', '');
    return fallback();
  };
  const values = Object.fromEntries(keys.map((key) => [key, one(key)]));
  return { settings: values as Settings, origins }; // each is a value of its own key: by its type, or checked by its schema
}

/** In the order in which they are shown. */
// The table has each key of the configuration, and no other.
export const keys = Object.keys(SETTINGS) as readonly Key[];

function checked(key: Key, variable: string, text: string, value: unknown): unknown {
  const parsed = homeConfig.shape[key].safeParse(value);
  if (parsed.success && value !== undefined) return parsed.data;
  const expected =
    key === 'awayAfterMs' || key === 'drainMs'
      ? 'expected 1s to 24h such as 90s, 10m or 2h, or off'
      : parsed.error?.issues[0]?.message;
  throw new Fault('invalid_argument', `reading ${variable} "${text}": ${expected}`, { data: { field: variable } });
}

/** The login name as the first part of a handle; `me` where nothing of it fits. */
function loginName(): string {
  const name = userInfo()
    .username.toLowerCase()
    .replaceAll(/[^a-z0-9._-]/g, '');
  return /^[a-z0-9]/.test(name) ? name.slice(0, 64) : 'me';
}

/** DNS servers as nodes and trackers take them: none named, the machine's; `none`: nobody is asked. Throws `invalid_argument`. */
export function dnsOf(servers: readonly string[]): readonly string[] | null | undefined {
  if (servers.length === 0) return undefined;
  if (servers.includes('none')) return null;
  const wrong = servers.find((text) => isIP(text) === 0 && isIP(addressOf(text)?.host ?? '') === 0);
  if (wrong === undefined) return servers;
  throw new Fault('invalid_argument', `reading the DNS server "${wrong}": expected an IP, IP:port, or none`, {
    data: { field: '--dns' },
  });
}

function addressOf(text: string): { host: string } | undefined {
  try {
    return parseAddress(text);
  } catch {
    return undefined;
  }
}

/** What `netapp tracker` is told by flags, as the settings that they are. Throws `invalid_argument`. */
export function givenToTracker(input: {
  host?: string | undefined;
  port?: number | undefined;
  zone: string[];
  parent: string[];
  primary: string[];
  dns: string[];
  mailbox?: boolean | undefined;
  admin: string[];
  policy?: HomeConfig['policy'];
  limit: string[];
  relay?: HomeConfig['relay'];
  relayLimit: string[];
  metrics?: string | undefined;
  elsewhere: string[];
  lan?: boolean | undefined;
  drain?: number | null | undefined;
  behindProxy?: string | undefined;
  publicUrl: string[];
  trustedProxy: string[];
  forwardedHeader?: HomeConfig['forwardedHeader'];
}): HomeConfig {
  const { port, admin, zone, parent, primary, dns, limit, elsewhere, drain, publicUrl, trustedProxy, ...rest } = input;
  const { relayLimit, ...given } = rest;
  const [first, ...others] = zone;
  const some = <T>(list: T[]): T[] | undefined => (list.length > 0 ? list : undefined);
  const numbers = <K extends 'limits' | 'relayLimits'>(flag: string, key: K, said: string[]): HomeConfig[K] => {
    if (said.length === 0) return undefined;
    const text = said.join(',');
    const parsed = homeConfig.shape[key].safeParse(asLimits(text));
    if (parsed.success) return parsed.data;
    throw new Fault('invalid_argument', `reading ${flag} "${text}": ${parsed.error.issues[0]?.message}`);
  };
  return {
    ...given,
    zone: first,
    zones: some(others),
    parents: some(parent),
    primaries: some(primary),
    dns: some(dns),
    trackerPort: port,
    admins: some(admin),
    limits: numbers('--limit', 'limits', limit),
    relayLimits: numbers('--relay-limit', 'relayLimits', relayLimit),
    elsewhere: some(elsewhere),
    publicUrls: some(publicUrl),
    trustedProxies: some(trustedProxy),
    drainMs: drain,
  };
}
