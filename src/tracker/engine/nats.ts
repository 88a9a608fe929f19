/** The engine of a tracker that is several processes: what they must not forget stands in JetStream. [E-1] to [E-9] */
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
const ASK_MS = 5000;
const START_AGAIN = { firstMs: 200, mostMs: 2000 };
/** Milliseconds between signs of life asked of a NATS server; two that do not come, and another one is taken. */
const PING_MS = 2000;
const RECONNECT_MS = 500;
/** Milliseconds without NATS after which writes are refused at once instead of after a wait. */
const AWAY_MS = 3000;
/** Copies in a cluster of NATS servers: one may die, and what was acknowledged stays. [E-3] */
const REPLICAS = 3;
/** Days that a letter, or the word that it is gone, stays in its stream: one more than a letter is held. [M-9] */
const MAIL_DAYS = 31;
const DAY_MS = 24 * 3600_000;

/** JetStream's error code for a stream that is not there (JSStreamNotFoundErr). */
const NO_STREAM = 10_059;

/** What the first process of a cluster wrote about it, under the key `cluster`. */
const founding = z.object({ peer: peerId, born: z.int().positive() });
const CLUSTER = 'cluster';

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
  const replicas = connection.info?.cluster === undefined ? 1 : REPLICAS;
  const streams = await patiently(what, limit, () => makeStreams(connection, manager, base, replicas));
  const { born } = await patiently(what, limit, () => found(connection, manager, base, options));
  if (streams.some(({ config }) => config.num_replicas < replicas)) {
    log.warn({ wanted: replicas }, 'streams have too few replicas: raise them with "nats stream edit --replicas"');
  }

  const siblings = opened.use(new NatsSiblings(connection, `${base}.alive`));
  let since: number | undefined;
  const away = (): Fault | undefined => {
    if (since === undefined || performance.now() - since < AWAY_MS) return undefined;
    return new Fault(
      'tracker_down',
      `asking the cluster of "${zone}": this tracker has lost NATS and changes nothing until it is back; it tries by itself`,
    );
  };
  const logOf = (stream: StreamInfo, prefix: string): NatsLog =>
    opened.use(
      new NatsLog({ connection, manager, stream: stream.config.name, prefix, born: stream.created, away, log }),
    );
  const [directoryStream, roomsStream, mailStream] = streams;
  const store = opened.use(openCopy(options.home, streams, log));
  const directory = logOf(directoryStream, `$KV.${base}_directory.`);
  const rooms = logOf(roomsStream, `${base}.rooms.`);
  const mail = logOf(mailStream, `${base}.mail.`);
  void watch(connection, (connected) => {
    siblings.connected = connected;
    since = connected ? undefined : (since ?? performance.now());
    log.warn({ connected }, connected ? 'NATS is back' : 'NATS is lost; it is tried again');
  });
  const trouble = (): Fault | undefined => directory.broken ?? rooms.broken ?? mail.broken ?? away();
  const all = opened.move();
  return {
    store,
    settled: () => undefined,
    shared: { born, siblings, directory, rooms, mail, trouble },
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

async function makeStreams(
  connection: NatsConnection,
  manager: JetStreamManager,
  base: string,
  replicas: number,
): Promise<[StreamInfo, StreamInfo, StreamInfo]> {
  const bucket = `${base}_directory`;
  const info = (name: string): Promise<StreamInfo | undefined> =>
    manager.streams.info(name).catch((error: unknown) => {
      if (apiCodeOf(error) === NO_STREAM) return undefined;
      throw error;
    });
  const add = async (config: Partial<StreamConfig> & { name: string }): Promise<StreamInfo> =>
    (await info(config.name)) ?? (await manager.streams.add({ ...shared, ...config }));
  const shared = { storage: 'file', discard: 'new', num_replicas: replicas, allow_direct: false } as const;
  if (!(await info(`KV_${bucket}`))) await new Kvm(connection).create(bucket, { history: 1, replicas });
  return [
    await manager.streams.info(`KV_${bucket}`),
    await add({ name: `${base}_rooms`, subjects: [`${base}.rooms.>`], deny_delete: true, deny_purge: true }),
    await add({
      name: `${base}_mail`,
      subjects: [`${base}.mail.>`],
      max_msgs_per_subject: 1,
      max_age: nanos(MAIL_DAYS * DAY_MS),
    }),
  ];
}

/** Writes whose cluster this is, where nobody did; else makes sure that it is the own key's. [E-1] */
async function found(
  connection: NatsConnection,
  manager: JetStreamManager,
  base: string,
  { peer, zone, home, clock }: Options,
): Promise<z.infer<typeof founding>> {
  const bucket = `${base}_directory`;
  const known = await manager.streams.getMessage(`KV_${bucket}`, { last_by_subj: `$KV.${bucket}.${CLUSTER}` });
  if (!known) {
    const kv = await new Kvm(connection).open(bucket);
    const mine = { peer, born: clock.now() };
    // Whoever is second is told so, and reads what the first one wrote.
    await kv.create(CLUSTER, JSON.stringify(mine)).catch((error: unknown) => {
      if (isTransient(error)) throw error;
    });
    return found(connection, manager, base, { peer, zone, home, clock } as Options);
  }
  const parsed = founding.safeParse(known.json());
  const what = `joining the cluster of "${zone}"`;
  if (!parsed.success) throw new Fault('corrupt', `${what}: its bucket "${bucket}" does not say whose it is`);
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
