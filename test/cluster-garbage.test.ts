/** What somebody with access to NATS writes there, what comes late, and what comes twice: it changes nothing, and stops nothing. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { expect, test } from 'vitest';
import { toBase64url } from '../src/base/encoding.ts';
import { deposit, fetch } from '../src/chat/mailbox-wire.ts';
import { roomId } from '../src/chat/membership.ts';
import { changeRoom, createRoom } from '../src/chat/room-wire.ts';
import * as directory from '../src/directory/messages.ts';
import { Doors } from './doors.ts';
import { Nats, needsNats } from './nats.ts';
import { until } from './testnet.ts';
import { answerOf, orderOf } from './visitor.ts';

test('garbage, forgeries, late and double texts have no effect at any door, also one that starts anew [K-4] [K-5] [K-7] [K-8]', async ({
  skip,
}) => {
  needsNats(skip);
  await using nats = await Nats.start(1);
  await using doors = await Doors.open(nats);
  using alice = await doors.visitor('alice');
  using bob = await doors.visitor('bob');
  const [a, b] = [await alice.to(doors.at(0)), await bob.to(doors.at(1))];
  await alice.announce(a, { text: 'first' });
  await bob.announce(b);
  const creation = alice.room('team', doors.at(0).peer);
  const id = roomId(creation);
  await a.request(createRoom, { creation });
  const change = alice.change(id, 'invite', { target: bob.id, role: 'member' });
  const { ordered } = await a.request(changeRoom, { change });
  const letter = { enc: toBase64url(new Uint8Array(32).fill(3)), data: toBase64url(new Uint8Array(64).fill(3)) };
  await until(
    () => answerOf(b, directory.find, { handle: alice.handle }),
    (answer) => typeof answer === 'object',
  );
  await a.request(deposit, { to: bob.id, letters: [letter] });

  await using raw = await connect({ servers: nats.url });
  const manager = await jetstreamManager(raw);
  const jetstream = manager.jetstream();
  const newest = async (stream: string, subject: string): Promise<string> =>
    (await manager.streams.getMessage(stream, { last_by_subj: subject }))?.string() ?? expect.fail(`no ${subject}`);
  const records = '$KV.netapp_lab_records.';
  const late = await newest('KV_netapp_lab_records', `${records}record.${alice.id}`);
  await alice.announce(a, { text: 'second' });

  // An old record once more, somebody else's claim to a name that is taken, the same order again and a forged one.
  await jetstream.publish(`${records}record.${alice.id}`, late);
  await jetstream.publish(`netapp_lab.handles.${alice.handle.replace('@', '/')}`, bob.id);
  await jetstream.publish(`netapp_lab.rooms.${id}`, JSON.stringify({ ordered }));
  await jetstream.publish(`netapp_lab.rooms.${id}`, JSON.stringify({ ordered: { ...ordered, number: 2 } }));
  await jetstream.publish(`netapp_lab.rooms.${id}`, JSON.stringify({ creation: bob.room('other', bob.id) }));
  const held = await newest('netapp_lab_mail', 'netapp_lab.mail.>');
  await jetstream.publish(`netapp_lab.mail.${alice.id}.x`, held);
  for (const text of [
    '',
    'null',
    '{',
    '[]',
    '{"record":1}',
    '\u0000',
    JSON.stringify({ turn: 1, by: 'x', hiding: 'x' }),
  ]) {
    await jetstream.publish(`${records}record.${bob.id}x`, text);
    await jetstream.publish(`${records}hiding.${bob.id}`, text);
    await jetstream.publish(`${records}other.thing`, text);
    await jetstream.publish('netapp_lab.handles.x/lab', text);
    await jetstream.publish(`netapp_lab.rooms.${id}`, text);
    await jetstream.publish('netapp_lab.mail.x.y', text);
    raw.publish('netapp_lab.alive', text);
  }

  const holds = async (): Promise<void> => {
    for (const door of [0, 1]) {
      const [link, other] = [await alice.to(doors.at(door)), await bob.to(doors.at(door))];
      const { entry } = await until(
        () => link.request(directory.find, { handle: alice.handle }),
        ({ entry }) => entry.record.text === 'second',
      );
      expect(entry.record.account).toBe(alice.id);
      expect(await orderOf(link, id)).toEqual([ordered]);
      expect((await other.request(fetch, { after: 0 })).letters).toMatchObject([{ from: alice.id, ...letter }]);
      expect((await link.request(fetch, { after: 0 })).letters).toEqual([]);
    }
  };
  await holds();
  // And all goes on: for the next change each door has read past what was written.
  const stranger = await doors.visitor('stranger');
  const next = alice.change(id, 'invite', { target: stranger.id, role: 'member', base: 1 });
  expect((await (await alice.to(doors.at(1))).request(changeRoom, { change: next })).ordered.number).toBe(2);
  await doors.stop(1);
  await rm(join(doors.home(1), 'cluster.db'), { force: true });
  await doors.start(1);
  for (const door of [0, 1]) {
    const link = await alice.to(doors.at(door));
    await until(
      () => orderOf(link, id),
      (order) => order.length === 2,
    );
    // What was overwritten by the late one is said again by the door at which she is.
    await until(
      () => link.request(directory.find, { handle: alice.handle }),
      ({ entry }) => entry.record.text === 'second',
    );
  }
});
