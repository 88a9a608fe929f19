/** A shared log on a real nats-server whose leader has at first less than another machine has shown, as it happens under load. */
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { expect, test } from 'vitest';
import { silentLog } from '../src/base/log.ts';
import type { Logged } from '../src/base/shared-log.ts';
import { NatsLog } from '../src/tracker/engine/nats-log.ts';
import { Nats, needsNats } from './nats.ts';

/** As the manager, but that the leader does not have a message yet when it is first asked for it. */
function lagging(manager: JetStreamManager): JetStreamManager {
  const asked = new Set<string>();
  const getMessage: JetStreamManager['streams']['getMessage'] = async (stream, query) => {
    const text = JSON.stringify(query);
    if (asked.has(text)) return await manager.streams.getMessage(stream, query);
    asked.add(text);
    return null;
  };
  const info: JetStreamManager['streams']['info'] = (stream, options) => manager.streams.info(stream, options);
  return { ...manager, streams: { ...manager.streams, getMessage, info } };
}

test('what the leader has a moment later is not left out, and what was removed holds nothing up [K-10]', async ({
  skip,
}) => {
  needsNats(skip);
  await using nats = await Nats.start();
  const connection = await connect({ servers: nats.url });
  await using _end = { [Symbol.asyncDispose]: () => connection.close() };
  const manager = await jetstreamManager(connection);
  const { created: born } = await manager.streams.add({ name: 'S', subjects: ['s.>'], max_msgs_per_subject: 1 });
  const came: Logged[] = [];
  await using log = new NatsLog({
    connection,
    manager: lagging(manager),
    stream: 'S',
    prefix: 's.',
    born,
    away: () => undefined,
    log: silentLog(),
  });
  await log.follow(0, (logged) => void came.push(logged));
  for (const text of ['one', 'two', 'three']) {
    await log.append(text, text);
    expect(came.at(-1)).toMatchObject({ key: text, text });
  }
  // Of these, which are there before anybody reads them, all but the newest are removed.
  await Promise.all(['a', 'b', 'c'].map((text) => log.append('four', text)));
  await log.append('five', 'five');
  expect(came.at(-1)).toMatchObject({ key: 'five', text: 'five', at: 7 });
  expect(came.filter(({ key }) => key === 'four').at(-1)).toMatchObject({ at: 6 });
});
