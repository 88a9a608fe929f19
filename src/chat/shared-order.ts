/** The order of rooms where several processes of one tracker share it: what follows in the log has its place, all else has no effect. [K-7] */
import { z } from 'zod';
import { Fault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Logged, SharedLog } from '../base/shared-log.ts';
import type { Store } from '../base/sqlite.ts';
import { creation, ordered } from './membership.ts';
import { Statements } from './tables.ts';

const STEPS = [
  'CREATE TABLE rooms_applied (one INTEGER PRIMARY KEY CHECK (one = 1), place INTEGER NOT NULL) STRICT',
] as const;

const item = z.union([z.strictObject({ creation }), z.strictObject({ ordered })]);

/** A room is founded, or a change of it has its place. */
export type OrderItem = z.infer<typeof item>;

export class SharedOrder {
  readonly #shared: SharedLog;
  readonly #store: Store;
  readonly #sql: Statements;
  readonly #take: (item: OrderItem) => void;
  readonly #undo: (id: string) => void;
  readonly #log: Log;

  constructor(options: {
    shared: SharedLog;
    /** This process' copy. */
    store: Store;
    /** Writes it into the copy, unless its place is taken; throws `malformed`, `bad_signature`, `forked` or `wrong_state` for what does not follow. */
    take(item: OrderItem): void;
    /** What was taken of the room last may not be in the copy. */
    undo(id: string): void;
    log: Log;
  }) {
    this.#shared = options.shared;
    this.#store = options.store;
    this.#sql = new Statements(options.store);
    this.#take = options.take;
    this.#undo = options.undo;
    this.#log = options.log;
  }

  /** Settles when the copy has all that there was. */
  start(): Promise<void> {
    this.#store.migrate('rooms-shared', STEPS);
    const applied = this.#sql.of<{ place: number }>('SELECT place FROM rooms_applied').get();
    return this.#shared.follow(applied?.place ?? 0, (logged) => this.#apply(logged));
  }

  /** Says it to all, and waits until the copy shows whether it was first. Throws `tracker_down`. */
  append(id: string, item: OrderItem): Promise<void> {
    return this.#shared.append(id, JSON.stringify(item));
  }

  #apply({ key, text, at }: Logged): void {
    try {
      this.#store.transaction(() => {
        this.#sql.of('INSERT OR REPLACE INTO rooms_applied (one, place) VALUES (1, ?)').run(at);
        this.#takeText(text ?? '');
      });
    } catch (error) {
      this.#undo(key);
      throw error;
    }
  }

  /** What is not of its form, or does not follow, was not written by this tracker's key: it has no effect anywhere. */
  #takeText(text: string): void {
    try {
      const parsed = item.safeParse(JSON.parse(text));
      if (!parsed.success) throw new Fault('malformed', 'taking the order of a room: it is not of its form');
      this.#take(parsed.data);
    } catch (error) {
      const harmless = ['malformed', 'bad_signature', 'forked', 'wrong_state'];
      if (!(error instanceof SyntaxError) && !(error instanceof Fault && harmless.includes(error.code))) throw error;
      this.#log.error({ err: error }, 'the cluster holds an order of a room that does not follow; it is left out');
    }
  }
}
