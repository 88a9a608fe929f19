/** Logs: one JSON line each on stderr or in a file; levels have a reader (see docs/architecture.md). */
import { type Logger, pino } from 'pino';

export type Log = Logger;

/** `level` is pino's; `file` is a path, or undefined for stderr. Writes are synchronous: a crash loses no line. */
export function createLog(options: { level?: string; file?: string; name: string }): Log {
  return pino(
    { name: options.name, level: options.level ?? 'info', redact: ['token', 'key', '*.token', '*.key'] },
    pino.destination({ dest: options.file ?? 2, sync: true, mkdir: true }),
  );
}

/** A log that writes nothing. */
export function silentLog(): Log {
  return pino({ level: 'silent' });
}
