/** SIGHUP: a long-running program reads its configuration again. */

import { toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { setLevel } from '../base/log.ts';
import type { HomeConfig } from '../node/home.ts';
import { type Key, keys, type Settings } from './settings.ts';

/** What takes effect at once; all else waits for the next start. */
const AT_ONCE: readonly Key[] = ['log', 'admins', 'policy', 'limits', 'relay', 'relayLimits'];

/**
 * At each SIGHUP reads the settings and gives them to `apply`; what cannot be read leaves everything as it was, and is an error in the log. On
 * a terminal SIGHUP says that the terminal was closed, and ends the program as it always does. The result ends it.
 */
export function onHangup(options: {
  settings: Settings;
  read(): Promise<Settings>;
  apply(settings: Settings): void;
  log: Log;
}): Disposable {
  const { read, apply, log } = options;
  if (process.stdin.isTTY || process.stderr.isTTY) return { [Symbol.dispose]: () => {} };
  let settings = options.settings;
  const reload = async (): Promise<void> => {
    try {
      const next = await read();
      apply(next);
      if (!log.isLevelEnabled('warn')) setLevel(log, next.log);
      const changed = keys.filter((key) => JSON.stringify(settings[key]) !== JSON.stringify(next[key]));
      const later = changed.filter((key) => !AT_ONCE.includes(key));
      // By the more talkative of the two levels: whoever asked for it looks for the answer here.
      const said = {
        changed: changed.filter((key) => AT_ONCE.includes(key)),
        ...(later.length > 0 && { atNextStart: later }),
      };
      log.warn(said, 'the configuration was read again');
      setLevel(log, next.log);
      settings = next;
    } catch (error) {
      const { code, message } = toFault(error, 'reading the configuration again');
      log.error({ code, reason: message }, 'the configuration cannot be used: the old one is kept');
    }
  };
  let running = Promise.resolve();
  const onSignal = (): void => {
    running = running.then(reload);
  };
  process.on('SIGHUP', onSignal);
  return { [Symbol.dispose]: () => process.off('SIGHUP', onSignal) };
}

/** What a tracker can take without being started anew. */
export const ofTracker = ({
  admins,
  policy,
  limits,
  relay,
  relayLimits,
}: Settings): Pick<HomeConfig, 'admins' | 'policy' | 'limits' | 'relay' | 'relayLimits'> => ({
  admins,
  policy,
  limits,
  relay,
  relayLimits,
});
