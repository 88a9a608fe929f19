/** Logs: one JSON line each on stderr or in a file; levels have a reader (see docs/architecture.md). */
import { type Logger, pino } from 'pino';

export type Log = Logger;

/** `level` is pino's; `file` is a path, or undefined for stderr. Writes are synchronous: a crash loses no line. */
export function createLog(options: { level?: string; file?: string; name: string }): Log {
  const children = new Children();
  const log = pino(
    {
      name: options.name,
      level: options.level ?? 'info',
      redact: ['token', 'key', '*.token', '*.key'],
      onChild: (child) => children.add(child),
    },
    pino.destination({ dest: options.file ?? 2, sync: true, mkdir: true }),
  );
  families.set(log, children);
  return log;
}

/** Sets the level of a log that `createLog` made and of all that were made of it, whose levels are their own. */
export function setLevel(log: Log, level: string): void {
  log.level = level;
  for (const child of families.get(log)?.all() ?? []) child.level = level;
}

/** Logs made of another: each link has one, so they are let go with it. */
class Children {
  readonly #living = new Set<WeakRef<Log>>();
  readonly #ended = new FinalizationRegistry<WeakRef<Log>>((ref) => this.#living.delete(ref));

  add(child: Log): void {
    const ref = new WeakRef(child);
    this.#living.add(ref);
    this.#ended.register(child, ref);
  }

  *all(): Generator<Log> {
    for (const ref of this.#living) {
      const child = ref.deref();
      if (child) yield child;
    }
  }
}

const families = new WeakMap<Log, Children>();

/** A log that writes nothing. */
export function silentLog(): Log {
  return pino({ level: 'silent' });
}
