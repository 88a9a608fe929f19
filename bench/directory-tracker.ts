/** A tracker in a process of its own, measured from outside. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { silentLog } from '../src/base/log.ts';
import { Tracker } from '../src/tracker/tracker.ts';
import { answer } from './child.ts';
import { fill } from './directory-fill.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void; // what the flag makes

let tracker: Tracker | undefined;

answer({
  fill,
  /** Milliseconds until it listened, and where. */
  start: async (home: string) => {
    const at = performance.now();
    tracker = new Tracker({ home, host: '127.0.0.1', port: 0, zone: 'bench', readsPerMinute: 1e12, log: silentLog() });
    await tracker.start();
    return { ms: performance.now() - at, address: `127.0.0.1:${tracker.port}`, peer: tracker.peer };
  },
  /** Resident bytes, all garbage given back. */
  rss: () => {
    collect();
    collect();
    return process.memoryUsage.rss();
  },
  memory: () => process.memoryUsage(),
});
