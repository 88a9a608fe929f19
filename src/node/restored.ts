/** The mark of a store that came out of a backup: since then its node may have done what it does not know of. */
import type { Store } from '../base/sqlite.ts';

const STEPS = ['CREATE TABLE restored (at INTEGER NOT NULL) STRICT'];

/** `at`: when the backup was taken, ISO 8601. */
export function markRestored(store: Store, at: string): void {
  store.migrate('restored', STEPS);
  store.prepare('INSERT INTO restored (at) VALUES (?)').run(Date.parse(at));
}

/** When the backup was taken of which this store came, Unix ms, to whoever asks first. */
export function takeRestored(store: Store): number | undefined {
  store.migrate('restored', STEPS);
  return store.transaction(() => {
    const row = store.prepare<{ at: number | null }>('SELECT max(at) AS at FROM restored').get();
    store.prepare('DELETE FROM restored').run();
    return row?.at ?? undefined;
  });
}
