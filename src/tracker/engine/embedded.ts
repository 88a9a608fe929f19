/** The engine of a tracker that is one process: what it must not forget stands in one SQLite file. */
import { join } from 'node:path';
import { Store } from '../../base/sqlite.ts';
import type { Engine } from './engine.ts';

/** Throws `corrupt`. */
export function openEmbedded(home: string): Engine {
  const store = new Store(join(home, 'tracker.db'));
  return {
    store,
    settled: () => store.settled(),
    shared: undefined,
    [Symbol.asyncDispose]: async () => store[Symbol.dispose](),
  };
}
