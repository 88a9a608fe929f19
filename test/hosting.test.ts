/** Accounts hosted by one node: among themselves, and with people on nodes of their own. */
import { expect, test } from 'vitest';
import { openHosting } from '../src/agent/hosting.ts';
import type { HostedEvent, Hosting } from '../src/api/hosting.ts';
import { systemClock } from '../src/base/clock.ts';
import { silentLog } from '../src/base/log.ts';
import { TestNet, until } from './testnet.ts';

async function host(net: TestNet, tracker: { invite: string }, name = 'gateway'): Promise<Hosting> {
  const { node } = await net.member(name, tracker);
  return await openHosting(node, { clock: systemClock, log: silentLog() });
}

test('hosted accounts and somebody on a node of their own talk in one room', async () => {
  await using net = await TestNet.create();
  const tracker = await net.tracker();
  const carol = await net.member('carol', tracker);
  await using hosting = await host(net, tracker);
  const events: HostedEvent[] = [];
  hosting.on((event) => events.push(event));
  const alice = await hosting.open('alice');
  const bob = await hosting.open('bob');
  await alice.setOnline('online', '');
  await bob.setOnline('online', '');
  expect(hosting.names()).toEqual(['alice', 'bob']);
  const room = await alice.backend.rooms.create('team', { members: ['bob', 'carol'], history: 'all' });
  await until(
    () => events,
    (all) => all.some((event) => event.type === 'invited' && event.account === bob.account),
  );
  await bob.backend.rooms.join(room.id);
  await carol.event('room.invited');
  await carol.client.rooms.join({ room: room.id });
  await until(
    () => alice.backend.rooms.show(room.id),
    ({ members }) => members.length === 3,
  );
  await until(
    () => bob.backend.rooms.show(room.id),
    ({ members }) => members.length === 3,
  );
  await until(
    () => carol.client.rooms.show({ room: room.id }),
    ({ members }) => members.length === 3,
  );
  await alice.say(room.id, 'from a hosted one');
  await carol.client.messages.say({ handle: room.id, text: 'from a node' });
  const texts = async (list: Promise<{ text: string }[]>): Promise<string[]> =>
    (await list).map(({ text }) => text).sort();
  const both = ['from a hosted one', 'from a node'];
  const has = (found: string[]): boolean => found.length === both.length;
  expect(await until(() => texts(alice.backend.messages.list(room.id, { limit: 10 })), has)).toEqual(both);
  expect(await until(() => texts(bob.backend.messages.list(room.id, { limit: 10 })), has)).toEqual(both);
  expect(await until(() => texts(carol.backend.messages.list(room.id, { limit: 10 })), has)).toEqual(both);
});
