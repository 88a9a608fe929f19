/** Whether a tracker should be sent anybody: it listens, can write what it must not forget, and is not about to stop. */
import type { Clock } from '../base/clock.ts';
import { type Fault, type FaultCode, toFault } from '../base/fault.ts';
import type { Statement, Store } from '../base/sqlite.ts';

/** Milliseconds that one look at the store counts, so that whoever asks often makes no load. */
const LOOK_MS = 1000;

export type Readiness = { ready: boolean; store: 'ok' | FaultCode; draining: boolean };

export class ReadinessCheck {
  /** Set once it is about to stop. */
  draining = false;
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #trouble: () => Fault | undefined;
  readonly #write: Statement;
  #looked: { at: number; said: Promise<'ok' | FaultCode> } | undefined;

  /** `store` is open; its table is made here. `trouble`: why it can change nothing now, though it answers; of a cluster. */
  constructor(options: { store: Store; clock: Clock; trouble?: (() => Fault | undefined) | undefined }) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#trouble = options.trouble ?? (() => undefined);
    this.#store.migrate('readiness', [
      'CREATE TABLE tracker_readiness (one INTEGER PRIMARY KEY CHECK (one = 1), at INTEGER NOT NULL) STRICT',
    ]);
    this.#write = this.#store.prepare('INSERT OR REPLACE INTO tracker_readiness (one, at) VALUES (1, ?)');
  }

  async look(): Promise<Readiness> {
    const now = this.#clock.now();
    if (!this.#looked || Math.abs(now - this.#looked.at) >= LOOK_MS) this.#looked = { at: now, said: this.#try(now) };
    const store = await this.#looked.said;
    return { ready: store === 'ok' && !this.draining, store, draining: this.draining };
  }

  async #try(now: number): Promise<'ok' | FaultCode> {
    const trouble = this.#trouble();
    if (trouble) return trouble.code;
    try {
      this.#write.run(now);
      await this.#store.settled();
      return 'ok';
    } catch (error) {
      return toFault(error).code;
    }
  }
}
