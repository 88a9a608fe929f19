/** One tracker with two doors, on each of the engines: what must hold is asked at both. */
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../src/base/clock.ts';
import { createLog, silentLog } from '../src/base/log.ts';
import type { MailLimits } from '../src/chat/mailbox-store.ts';
import { Tracker, type TrackerOptions } from '../src/tracker/tracker.ts';
import type { Nats } from './nats.ts';
import { Visitor } from './visitor.ts';

type Options = {
  zone?: string;
  mailLimits?: MailLimits;
  ttlMs?: number;
  graceMs?: number;
  clock?: Clock;
} & Pick<TrackerOptions, 'admins' | 'zones' | 'parents' | 'zoneTimes'>;

/** Tracker processes on one engine; of the embedded one there is one, with itself as its second door. */
export class Doors implements AsyncDisposable {
  readonly #folder: string;
  readonly #nats: Nats | undefined;
  readonly #options: Options;
  readonly #trackers: (Tracker | undefined)[] = [];
  /** Where each listens, so that it is the same after a restart. */
  readonly #ports: number[] = [];

  private constructor(folder: string, nats: Nats | undefined, options: Options) {
    this.#folder = folder;
    this.#nats = nats;
    this.#options = options;
  }

  static async open(nats: Nats | undefined, options: Options = {}, count = nats ? 2 : 1): Promise<Doors> {
    const doors = new Doors(await mkdtemp(join(tmpdir(), 'netapp-doors-')), nats, options);
    for (let index = 0; index < count; index++) await doors.start(index);
    return doors;
  }

  get zone(): string {
    return this.#options.zone ?? 'lab';
  }

  visitor(name: string): Promise<Visitor> {
    return Visitor.create(name, this.zone);
  }

  home(index: number): string {
    return join(this.#folder, `tracker${index}`);
  }

  /** Starts, or starts again, one of the processes on its home; all have the key of the first. */
  async start(index: number): Promise<Tracker> {
    if (index > 0) await copyKey(this.home(0), this.home(index));
    const tracker = new Tracker({
      home: this.home(index),
      host: '127.0.0.1',
      port: this.#ports[index] ?? 0,
      engine: this.#nats?.url,
      log: process.env.DEBUG_ENGINE ? createLog({ name: `door${index}`, level: 'warn' }) : silentLog(),
      check: async () => false,
      ...this.#options,
      zone: this.zone,
    });
    await tracker.start();
    this.#trackers[index] = tracker;
    this.#ports[index] = tracker.port;
    return tracker;
  }

  async stop(index: number): Promise<void> {
    await this.#trackers[index]?.[Symbol.asyncDispose]();
    this.#trackers[index] = undefined;
  }

  /** Stops all, then starts all. */
  async restart(): Promise<void> {
    for (const index of this.#trackers.keys()) await this.stop(index);
    for (const index of this.#ports.keys()) await this.start(index);
  }

  at(index: number): Tracker {
    const tracker = this.#trackers[index % this.#trackers.length];
    if (!tracker) throw new Error(`door ${index} is closed`);
    return tracker;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const index of this.#trackers.keys()) await this.stop(index);
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** What an operator does to add a machine. */
export async function copyKey(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  await copyFile(join(from, 'tracker.key'), join(to, 'tracker.key'));
}
