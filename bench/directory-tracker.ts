/** A tracker in a process of its own, measured from outside. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { silentLog } from '../src/base/log.ts';
import { Tracker } from '../src/tracker/tracker.ts';
import { answer } from './child.ts';
import { fill } from './directory-fill.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as (how: { type: 'major'; flavor: 'last-resort' }) => void; // what the flag makes

/** More than is asked: what is counted is counted all the same. */
const MANY = 1e12;

let tracker: Tracker | undefined;

async function start(home: string, port: number) {
  const at = performance.now();
  tracker = new Tracker({
    home,
    host: '127.0.0.1',
    port,
    zone: 'bench',
    readsPerMinute: MANY,
    limits: { requestsPerKey: MANY },
    log: silentLog(),
  });
  await tracker.start();
  return { ms: performance.now() - at, address: `127.0.0.1:${tracker.port}`, peer: tracker.peer };
}

answer({
  fill,
  /** Milliseconds until it listened, and where. */
  start: (home: string) => start(home, 0),
  /** Says goodbye to all and listens again at the same port. */
  restart: async (home: string) => {
    const port = tracker?.port ?? 0;
    await tracker?.[Symbol.asyncDispose]();
    return await start(home, port);
  },
  /** Resident bytes, all garbage given back, and the pages that it was in: V8 does so itself where nothing happens for long. */
  rss: () => {
    collect({ type: 'major', flavor: 'last-resort' });
    collect({ type: 'major', flavor: 'last-resort' });
    return process.memoryUsage.rss();
  },
});
