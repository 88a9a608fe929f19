/** A network in one process: trackers and nodes with real sockets on free loopback ports, in folders of their own. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent } from '../src/agent/agent.ts';
import { backendOf } from '../src/agent/backend.ts';
import type { Backend } from '../src/api/backend.ts';
import { type Client, createClient } from '../src/api/client.ts';
import type { AgentEvent } from '../src/api/shapes.ts';
import { type Clock, systemClock } from '../src/base/clock.ts';
import { silentLog } from '../src/base/log.ts';
import { type ChosenTracker, parseInvite } from '../src/directory/invite.ts';
import type { TierTimes } from '../src/directory/tiers.ts';
import { examineAgent } from '../src/doctor/doctor.ts';
import type { PresenceScope } from '../src/node/contacts.ts';
import { homePaths } from '../src/node/home.ts';
import { Node } from '../src/node/node.ts';
import { Tracker, type TrackerOptions } from '../src/tracker/tracker.ts';

/** Milliseconds after which a wait in a test is a failure: far over what a busy machine needs. */
const PATIENCE_MS = 30_000;

export class TestNet implements AsyncDisposable {
  readonly folder: string;
  readonly #opened = new Set<AsyncDisposable>();

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async create(): Promise<TestNet> {
    return new TestNet(await mkdtemp(join(tmpdir(), 'netapp-net-')));
  }

  /** A tracker; started again on the same `name`, it is the same one at the same port. */
  async tracker(
    options: { name?: string; zone?: string; port?: number } & Partial<TrackerOptions> = {},
  ): Promise<Tracker> {
    const { name: _, ...rest } = options;
    const tracker = new Tracker({
      dns: null,
      ...rest,
      home: join(this.folder, options.name ?? 'tracker'),
      host: '127.0.0.1',
      port: options.port ?? 0,
      zone: options.zone ?? 'lab',
      log: silentLog(),
    });
    await tracker.start();
    this.#opened.add(tracker);
    return tracker;
  }

  /** A node with its agent. `name` is the folder and, without `handle`, the first part of the handle. */
  async member(
    name: string,
    tracker: { invite: string } | undefined,
    options: {
      port?: number;
      /** Its HTTP door: at this port, or at any. */
      http?: boolean | number;
      sharedMemory?: { path: string; size: number };
      presence?: PresenceScope;
      awayAfterMs?: number;
      clock?: Clock;
      ready?: boolean;
      /** Further trackers, or other ways to the one above. */
      trackers?: readonly ChosenTracker[];
      trackerCa?: string;
      tierTimes?: TierTimes;
      dns?: readonly string[];
    } = {},
  ): Promise<Member> {
    const home = join(this.folder, name);
    const paths = homePaths(home);
    const invite = tracker && parseInvite(tracker.invite);
    const trackers = options.trackers ?? (invite ? [invite] : []);
    const node = await Node.start({
      home,
      handle: `${name}@${(invite ?? trackers[0])?.zone ?? 'lab'}`,
      host: '127.0.0.1',
      port: options.port ?? 0,
      trackers,
      trackerCa: options.trackerCa,
      tierTimes: options.tierTimes,
      software: 'netapp/test',
      dns: options.dns ?? null,
      presence: options.presence,
      awayAfterMs: options.awayAfterMs,
      clock: options.clock ?? systemClock,
      log: silentLog(),
    });
    const backend = backendOf(node, {
      version: 'test',
      clock: options.clock ?? systemClock,
      log: silentLog(),
      examine: (agent, { signal = AbortSignal.timeout(PATIENCE_MS) }) =>
        examineAgent({ home, agentPath: paths.socket, version: 'test', agent, config: {}, signal }),
    });
    const agent = new Agent({
      backend,
      socketPath: paths.socket,
      tokenPath: paths.token,
      http: options.http ? { port: options.http === true ? 0 : options.http } : undefined,
      sharedMemory: options.sharedMemory,
      log: silentLog(),
    });
    await agent.start();
    const member = new Member(name, home, node, agent, backend, createClient({ socketPath: paths.socket }));
    this.#opened.add(member);
    if (trackers.length > 0 && options.ready !== false)
      await node.directory.ready({ signal: AbortSignal.timeout(PATIENCE_MS) });
    return member;
  }

  /** Ends one of its trackers or members now. */
  async stop(what: AsyncDisposable): Promise<void> {
    this.#opened.delete(what);
    await what[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const what of [...this.#opened].reverse()) await what[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Somebody in a test: a node, its agent, and a client on the agent's socket. */
export class Member implements AsyncDisposable {
  readonly name: string;
  readonly home: string;
  readonly node: Node;
  readonly agent: Agent;
  readonly backend: Backend;
  readonly client: Client;

  constructor(name: string, home: string, node: Node, agent: Agent, backend: Backend, client: Client) {
    this.name = name;
    this.home = home;
    this.node = node;
    this.agent = agent;
    this.backend = backend;
    this.client = client;
  }

  /** The first event of `type` that fits, kept ones included. */
  event(type: string, fits: (data: Record<string, unknown>) => boolean = () => true): Promise<AgentEvent> {
    return eventOf(this.client, type, fits);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]();
    await this.node[Symbol.asyncDispose]();
  }
}

export async function eventOf(
  client: Client,
  type: string,
  fits: (data: Record<string, unknown>) => boolean,
): Promise<AgentEvent> {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  for await (const event of await client.events.follow({ from: 0, match: type }, { signal })) {
    if (fits(event.data)) return event;
  }
  throw new Error(`no event "${type}" of the wanted kind within ${PATIENCE_MS} ms`);
}

/** Asks again and again until it holds. For what has no event of its own. */
export async function until<T>(
  ask: () => T | Promise<T>,
  holds: (value: T) => boolean,
  patienceMs = PATIENCE_MS,
): Promise<T> {
  const end = performance.now() + patienceMs;
  for (;;) {
    const value = await ask();
    if (holds(value)) return value;
    if (performance.now() > end)
      throw new Error(`not within ${patienceMs} ms; last seen: ${JSON.stringify(value)?.slice(0, 2000)}`);
    await new Promise((done) => setTimeout(done, 10));
  }
}
