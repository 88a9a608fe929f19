/** The engine of a tracker that is several processes: what they must not forget stands in JetStream. [K-1] to [K-9] */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type JetStreamManager, jetstreamManager, type StreamConfig, type StreamInfo } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { connect, type NatsConnection, nanos } from '@nats-io/transport-node';
import { z } from 'zod';
import { Backoff, deadline, sleep } from '../../base/async.ts';
import type { Clock } from '../../base/clock.ts';
import { Fault, toFault } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';
import { Store } from '../../base/sqlite.ts';
import { peerId } from '../../link/identity.ts';
import type { Engine, NatsPlace } from './engine.ts';
import { apiCodeOf, isTransient } from './nats-errors.ts';
import { NatsLog } from './nats-log.ts';
import { NatsSiblings } from './nats-siblings.ts';

/** Milliseconds that a start waits for NATS: a cluster of it that starts at the same time elects itself first. */
const START_MS = 30_000;
const ASK_MS = 3000;
const START_AGAIN = { firstMs: 200, mostMs: 2000 };
/** Milliseconds between signs of life asked of a NATS server; two that do not come, and another one is taken. */
const PING_MS = 2000;
const RECONNECT_MS = 500;
/** Milliseconds without NATS after which writes are refused at once instead of after a wait. */
const AWAY_MS = 3000;
/** Copies in a cluster of NATS servers: one may die, and what was acknowledged stays. [K-3] */
const REPLICAS = 3;
/** Days that a letter, or the word that it is gone, stays in its stream: one more than a letter is held. [M-9] */
const MAIL_DAYS = 31;
const DAY_MS = 24 * 3600_000;

/** JetStream's error code for a stream that is not there (JSStreamNotFoundErr). */
const NO_STREAM = 10_059;

/** What the first process of a cluster wrote about it, under the key `cluster`. */
const founding = z.object({ peer: peerId, born: z.int().positive() });
const CLUSTER = 'cluster';

type Stream = StreamInfo & {
  /** Of its subjects; ends with a dot. */
  prefix: string;
};
type Streams = Record<'handles' | 'records' | 'rooms' | 'mail' | 'zones', Stream>;

type Options = {
  place: NatsPlace;
  /** The zone that the cluster serves. */
  zone: string;
  /** Peer id of the tracker's key, which all processes of the cluster have. */
  peer: string;
  home: string;
  clock: Clock;
  log: Log;
};

/** Throws `tracker_down` (no NATS, or not enough of it), `unauthenticated` (NATS refuses the login), `wrong_key` (the cluster is of another key). */
export async function openNats(options: Options): Promise<Engine> {
  await using opened = new AsyncDisposableStack();
  const { place, zone, log } = options;
  const what = `joining the cluster of "${zone}" on NATS at ${place.servers.join(', ')}`;
  using limit = deadline(START_MS, what);
  const connection = await patiently(what, limit, () => dial(place));
  opened.defer(() => connection.close());
  const base = `netapp_${zone.replaceAll('.', '_')}`;
  const manager = await patiently(what, limit, () => jetstreamManager(connection, { timeout: ASK_MS }));
  const streams = await patiently(what, limit, () => makeStreams(connection, manager, base));
  const { born } = await patiently(what, limit, () => found(manager, streams.handles, options));
  const few = Object.values(streams).filter(({ config }) => config.num_replicas < REPLICAS);
  if (connection.info?.cluster !== undefined && few.length > 0) {
    const names = few.map(({ config }) => config.name);
    log.warn({ streams: names }, 'these have too few replicas: raise them with "nats stream edit NAME --replicas=3"');
  }

  const siblings = opened.use(new NatsSiblings(connection, base));
  let since: number | undefined;
  const away = (): Fault | undefined => {
    if (since === undefined || performance.now() - since < AWAY_MS) return undefined;
    return new Fault(
      'tracker_down',
      `asking the cluster of "${zone}": this tracker has lost NATS and changes nothing until it is back; it tries by itself`,
    );
  };
  const logOf = ({ config: { name: stream }, created: born, prefix }: Stream): NatsLog =>
    opened.use(new NatsLog({ connection, manager, stream, prefix, born, away, log }));
  const store = opened.use(openCopy(options.home, [streams.rooms, streams.mail], log));
  const logs = {
    handles: logOf(streams.handles),
    records: logOf(streams.records),
    rooms: logOf(streams.rooms),
    mail: logOf(streams.mail),
    zones: logOf(streams.zones),
  };
  void watch(connection, (connected) => {
    siblings.connected = connected;
    since = connected ? undefined : (since ?? performance.now());
    log.warn({ connected }, connected ? 'NATS is back' : 'NATS is lost; it is tried again');
  });
  const trouble = (): Fault | undefined => Object.values(logs).find(({ broken }) => broken)?.broken ?? away();
  const all = opened.move();
  return {
    store,
    settled: () => undefined,
    shared: { born, siblings, ...logs, trouble },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

function dial({ servers, tls, user, pass, token }: NatsPlace): Promise<NatsConnection> {
  return connect({
    servers,
    name: 'netapp tracker',
    timeout: ASK_MS,
    maxReconnectAttempts: -1,
    reconnectTimeWait: RECONNECT_MS,
    pingInterval: PING_MS,
    maxPingOut: 2,
    ...(tls && { tls: {} }),
    ...(user !== undefined && { user }),
    ...(pass !== undefined && { pass }),
    ...(token !== undefined && { token }),
  });
}

/** Tries until it works, the limit is over, or it is refused for good. */
async function patiently<T>(what: string, limit: AbortSignal, work: () => Promise<T>): Promise<T> {
  const backoff = new Backoff(START_AGAIN);
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (error instanceof Fault && !error.retry) throw error;
      const name = error instanceof Error ? error.name : '';
      const reason = error instanceof Error ? error.message : String(error);
      if (name === 'AuthorizationError') throw new Fault('unauthenticated', `${what}: it refuses the login: ${reason}`);
      if (!isTransient(error)) throw toFault(error, what, 'wrong_state');
      await sleep(backoff.next(), limit).catch(() => {});
      if (!limit.aborted) continue;
      throw new Fault(
        'tracker_down',
        `${what}: ${reason}; see that nats-server runs there with JetStream, and of a cluster at least two of three`,
        { cause: error },
      );
    }
  }
}

/** Makes those that are not there. What is there stays as its operator wants it. */
async function makeStreams(connection: NatsConnection, manager: JetStreamManager, base: string): Promise<Streams> {
  const replicas = connection.info?.cluster === undefined ? 1 : REPLICAS;
  const info = async (name: string): Promise<StreamInfo | undefined> => {
    try {
      return await manager.streams.info(name);
    } catch (error) {
      if (apiCodeOf(error) === NO_STREAM) return undefined;
      throw error;
    }
  };
  const made = async (what: string, config: Partial<StreamConfig>): Promise<Stream> => {
    const [name, prefix] = [`${base}_${what}`, `${base}.${what}.`];
    const all = { name, subjects: [`${prefix}>`], num_replicas: replicas };
    return { ...((await info(name)) ?? (await manager.streams.add({ ...all, ...config }))), prefix };
  };
  const bucket = `${base}_records`;
  if (!(await info(`KV_${bucket}`))) await new Kvm(connection).create(bucket, { history: 1, replicas });
  return {
    handles: await made('handles', { deny_delete: true, deny_purge: true }),
    records: { ...(await manager.streams.info(`KV_${bucket}`)), prefix: `$KV.${bucket}.` },
    rooms: await made('rooms', { deny_delete: true, deny_purge: true }),
    zones: await made('zones', { deny_delete: true, deny_purge: true }),
    mail: await made('mail', { max_msgs_per_subject: 1, max_age: nanos(MAIL_DAYS * DAY_MS) }),
  };
}

/** Whose cluster it is: the first word in its stream of handles says it, and is written where there is none. [K-1] */
async function found(
  manager: JetStreamManager,
  { config: { name }, prefix }: Stream,
  { peer, zone, home, clock }: Options,
): Promise<z.infer<typeof founding>> {
  const first = await manager.streams.getMessage(name, { seq: 1 });
  if (!first) {
    await manager
      .jetstream()
      .publish(prefix + CLUSTER, JSON.stringify({ peer, born: clock.now() }), { timeout: ASK_MS });
    throw new Fault('tracker_down', 'it was founded just now'); // whoever was first is seen at the next look
  }
  const parsed = founding.safeParse(first.json());
  const what = `joining the cluster of "${zone}"`;
  if (!parsed.success) throw new Fault('corrupt', `${what}: its stream "${name}" does not say whose it is`);
  if (parsed.data.peer === peer) return parsed.data;
  throw new Fault(
    'wrong_key',
    `${what}: it is of the tracker "${parsed.data.peer}", and the key in "${home}" is of "${peer}": copy tracker.key from one of its machines to here, or serve another zone`,
  );
}

/** This process' copy of rooms and mail: made anew where it is not of these streams. */
function openCopy(home: string, streams: readonly StreamInfo[], log: Log): Store {
  const path = join(home, 'cluster.db');
  const of = streams.map(({ config, created }) => `${config.name} ${created}`).join('\n');
  const open = (): Store => {
    const store = new Store(path);
    store.migrate('cluster', [
      'CREATE TABLE cluster_of (one INTEGER PRIMARY KEY CHECK (one = 1), streams TEXT NOT NULL) STRICT',
    ]);
    return store;
  };
  const ofIn = (store: Store): string | undefined =>
    store.prepare<{ streams: string }>('SELECT streams FROM cluster_of').get()?.streams;
  let store = open();
  const was = ofIn(store);
  if (was !== undefined && was !== of) {
    log.warn('the copy here is of other streams; it is made anew');
    store[Symbol.dispose]();
    for (const end of ['', '-wal', '-shm']) rmSync(`${path}${end}`, { force: true });
    store = open();
  }
  store.prepare('INSERT OR REPLACE INTO cluster_of (one, streams) VALUES (1, ?)').run(of);
  return store;
}

async function watch(connection: NatsConnection, tell: (connected: boolean) => void): Promise<void> {
  for await (const { type } of connection.status()) {
    if (type === 'disconnect') tell(false);
    if (type === 'reconnect') tell(true);
  }
}
