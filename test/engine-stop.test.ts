/** An engine that is ended while what it follows is being made: it ends all the same. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '../src/base/clock.ts';
import { silentLog } from '../src/base/log.ts';
import { Key } from '../src/link/identity.ts';
import { parseEngine } from '../src/tracker/engine/engine.ts';
import { openNats } from '../src/tracker/engine/nats.ts';
import { Nats, needsNats } from './nats.ts';

test('an engine ends at whatever moment it is told to, also while its streams are being opened', {
  timeout: 120_000,
}, async ({ skip }) => {
  needsNats(skip);
  const home = await mkdtemp(join(tmpdir(), 'netapp-engine-'));
  await using undo = new AsyncDisposableStack();
  undo.defer(() => rm(home, { recursive: true, force: true }));
  const nats = undo.use(await Nats.start(1));
  const place = parseEngine(nats.url) ?? expect.fail('an engine on NATS');
  const peer = Key.generate().id;
  const moments = [0, 1, 2, 4, 8, 16, 32];
  let ended = 0;
  for (const afterMs of moments) {
    const engine = await openNats({ place, zone: 'stop.test', peer, home, clock: systemClock, log: silentLog() });
    const followed = engine.shared?.handles.follow(0, () => {}).catch((error: unknown) => error);
    await new Promise((done) => setTimeout(done, afterMs));
    await engine[Symbol.asyncDispose]();
    await followed;
    ended += 1;
  }
  expect(ended).toBe(moments.length);
});
