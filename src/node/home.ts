/** The node's home: the folder in which everything that it knows and is lives. */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { Fault, toFault } from '../base/fault.ts';
import { nearest } from '../base/nearest.ts';

/** Where a node listens, unless it was told another port. */
export const NODE_PORT = 33_357;

/** What stands in a home, by purpose. */
export function homePaths(home: string) {
  return {
    /** Key of the account: who the user is. */
    accountKey: join(home, 'account.key'),
    nodeKey: join(home, 'node.key'),
    lock: join(home, 'agent.lock'),
    store: join(home, 'netapp.db'),
    /** Of accounts that the node hosts beside its own. */
    hosted: join(home, 'hosted.db'),
    config: join(home, 'config.json'),
    socket: join(home, 'agent.sock'),
    token: join(home, 'token'),
    downloads: join(home, 'downloads'),
    /** What was read from standard input to be sent, until it has arrived. */
    outgoing: join(home, 'outgoing'),
    /** The tracker that `up` runs inside where none is configured. */
    tracker: join(home, 'tracker'),
    /** The door for clients of the classic IM protocol. */
    im: join(home, 'im'),
  };
}

const peerIdText = z
  .string()
  .regex(/^[a-z2-7]{52}$/, 'expected an account id, 52 characters, as "netapp status" shows it');

const aLimit = z.number('expected a whole number, 0 or more').int('expected a whole number, 0 or more').nonnegative();

const aPort = z.number().int().min(0).max(65_535);

/** The settings that a home's `config.json` may have. Flags and environment win over them; `up` remembers some there. */
export const homeConfig = z
  .strictObject({
    /** The part of the handle before `@`. */
    name: z.string(),
    /** IP to listen at. */
    host: z.string(),
    port: aPort,
    /** Invites of the trackers to announce to, `2:INVITE` for one of the second tier; an empty list means: run one inside. */
    trackers: z.array(z.string()),
    /** PEM file of an authority that signed for the proxy of a tracker, beside those known to Node. */
    trackerCa: z.string(),
    /** Zone and port of the tracker inside. */
    zone: z.string(),
    trackerPort: aPort,
    /** Further zones of a tracker run from this home; invites of the trackers above them, and of those that have their keys. */
    zones: z.array(z.string()),
    parents: z.array(z.string()),
    primaries: z.array(z.string()),
    /** DNS servers to ask for zones out in the world, IP or IP:port; `none`: nobody; an empty list: the machine's. */
    dns: z.array(z.string()),
    /** Whether a tracker run from this home holds letters for those who are away. */
    mailbox: z.boolean(),
    /** Where a tracker run from this home keeps what it knows: `embedded`, or `nats://HOST[,HOST]` for one of a cluster. */
    engine: z.string(),
    /** Account ids of those who administer the zone of a tracker run from this home. */
    admins: z.array(peerIdText),
    /** Port, or IP:PORT, at which a tracker run from this home takes plain HTTP from its proxy. */
    behindProxy: z.string(),
    /** `wss://host/path` at which that proxy answers. */
    publicUrls: z.array(z.string()),
    /** IPs and nets of such proxies; none: this machine's. */
    trustedProxies: z.array(z.string()),
    /** Header in which they say who their client is. */
    forwardedHeader: z.enum(['x-forwarded-for', 'forwarded']),
    /** Whom that zone takes in, whatever its admins say. */
    policy: z.enum(['open', 'invite', 'closed'], 'expected open, invite or closed'),
    /** What one address and one key may ask of that tracker; 0: no bound. */
    limits: z
      .strictObject(
        {
          connectionsPerAddress: aLimit,
          handshakesPerAddress: aLimit,
          requestsPerAddress: aLimit,
          linksPerKey: aLimit,
          requestsPerKey: aLimit,
          loopback: z.boolean('expected true or false'),
        },
        'expected limits such as connectionsPerAddress=100,requestsPerKey=6000',
      )
      .partial(),
    /** For whom that tracker passes bytes on between nodes that reach each other in no other way. */
    relay: z.enum(['off', 'zones', 'on'], 'expected off, zones or on'),
    /** How much of it one account, and all together, may have; 0: no bound. */
    relayLimits: z
      .strictObject(
        {
          bytesPerDay: aLimit,
          bytesPerSecond: aLimit,
          totalPerSecond: aLimit,
          pairsPerAccount: aLimit,
          pairs: aLimit,
          idleSeconds: aLimit,
        },
        'expected limits such as bytesPerDay=1000000000,pairsPerAccount=20',
      )
      .partial(),
    /** Where it serves health, readiness and metrics by plain HTTP: PORT, or HOST:PORT. */
    metrics: z.string(),
    /** Addresses of other machines at which a tracker with its key answers. */
    elsewhere: z.array(z.string()),
    /** The most milliseconds that it waits, once told to end, for its nodes to go elsewhere; null: it does not. */
    drainMs: z.number().int().min(1000).nullable(),
    /** Who may see that the user is here. */
    presence: z.enum(['zone', 'contacts']),
    /** Milliseconds without a use of any door until the user is away; null: never. */
    awayAfterMs: z.number().int().min(1000).nullable(),
    /** Loopback port of the HTTP door; without one, there is none. */
    httpPort: aPort,
    /** Whether nodes and trackers of this machine's networks are looked for by multicast, and hear of this one. */
    lan: z.boolean(),
    /** Whether the router is asked to let others in from outside. */
    portMapping: z.boolean(),
    /** Hosts beside this machine to which webhooks may post: `hooks.example.org`, or with a port. */
    webhookTargets: z.array(z.string()),
    log: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
  })
  .partial();

export type HomeConfig = z.infer<typeof homeConfig>;

/** Makes the home, private to its user. Throws `unwritable`. */
export async function createHome(home: string): Promise<void> {
  await mkdir(home, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
    throw toFault(error, `making the home "${home}"`, 'unwritable');
  });
}

/** The home's configuration; empty if there is none yet. Throws `invalid_argument` for an unknown setting, `corrupt` for a damaged file. */
export async function readConfig(home: string): Promise<HomeConfig> {
  const path = homePaths(home).config;
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '{}';
    throw toFault(error, `reading the configuration "${path}"`);
  });
  const parsed = homeConfig.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  const what = `reading the configuration "${path}"`;
  const [issue] = parsed.error.issues;
  if (issue?.code === 'unrecognized_keys') {
    const [key = ''] = issue.keys;
    const near = nearest(key, Object.keys(homeConfig.shape));
    const meant = near === undefined ? '.' : `; did you mean "${near}"?`;
    throw new Fault('invalid_argument', `${what}: "${key}" is no setting${meant} See "netapp config show" for all`, {
      data: { field: key },
    });
  }
  const where = issue?.path.length ? `"${issue.path.join('.')}": ` : '';
  throw new Fault('corrupt', `${what}: ${where}${issue?.message ?? ''}: mend or remove the file`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Replaces the configuration whole: a crash leaves the old one or the new one. */
export async function writeConfig(home: string, value: HomeConfig): Promise<void> {
  const path = homePaths(home).config;
  try {
    await writeFile(`${path}.new`, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600, flush: true });
    await rename(`${path}.new`, path);
  } catch (error) {
    throw toFault(error, `writing the configuration "${path}"`, 'unwritable');
  }
}
