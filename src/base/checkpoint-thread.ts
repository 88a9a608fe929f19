/** The thread of checkpoint.ts: moves pages with a connection of its own, which is open for one round only. */
import { DatabaseSync } from 'node:sqlite';
import { workerData } from 'node:worker_threads';
import { OPEN, STOPPED } from './checkpoint-flags.ts';
import { answerQuestions } from './thread.ts';

const { path, flags } = workerData as { path: string; flags: Int32Array }; // from Checkpoints

answerQuestions((): { pages: number } => {
  Atomics.store(flags, OPEN, 1);
  try {
    if (Atomics.load(flags, STOPPED) !== 0) return { pages: 0 };
    const db = new DatabaseSync(path, { timeout: 0 });
    try {
      db.exec('PRAGMA synchronous = NORMAL');
      const row = db.prepare('PRAGMA wal_checkpoint(PASSIVE)').get();
      return { pages: Number(row?.log ?? 0) };
    } finally {
      db.close();
    }
  } finally {
    Atomics.store(flags, OPEN, 0);
    Atomics.notify(flags, OPEN);
  }
});
