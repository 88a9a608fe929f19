/** Whom one verifies, blocks and shows oneself to, and what becomes of a handle whose key changes: on real sockets. */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { AgentEvent } from '../src/api/shapes.ts';
import { systemClock } from '../src/base/clock.ts';
import type { Tracker } from '../src/tracker/tracker.ts';
import { type Member, TestNet, until } from './testnet.ts';

let net: TestNet;
let tracker: Tracker;

beforeEach(async () => {
  net = await TestNet.create();
  tracker = await net.tracker();
});
afterEach(() => net[Symbol.asyncDispose]());

const status = (at: Member, handle: string, wanted: string) =>
  until(
    () => at.client.people.find({ handle }),
    (person) => person.status === wanted,
  );

const delivered = (at: Member, id: string) => at.event('message.delivered', (data) => data.id === id);

/** All events that are there now. */
async function eventsOf(at: Member, after: number): Promise<AgentEvent[]> {
  const last = at.node.events.last;
  const events: AgentEvent[] = [];
  if (last <= after) return events;
  for await (const event of await at.client.events.follow({ from: after })) {
    events.push(event);
    if (event.cursor >= last) break;
  }
  return events;
}

describe('verifying', () => {
  test('both sides see the same, compare it in any form, and remember that they did', async () => {
    const [alice, bob] = [await net.member('alice', tracker), await net.member('bob', tracker)];
    const hers = await alice.client.people.verify({ handle: 'bob' });
    const his = await bob.client.people.verify({ handle: 'alice' });
    for (const form of ['number', 'words', 'uri'] as const) {
      expect(hers[form]).toBe(his[form]);
      const confirmed = await alice.client.people.verify({ handle: 'bob', confirm: his[form] });
      expect(confirmed).toMatchObject({ verifiedBy: form, verifiedAt: expect.any(String) });
    }
    const [, listed] = await alice.client.people.list();
    expect(listed).toMatchObject({ handle: 'bob@lab', verifiedBy: 'uri', verifiedAt: expect.any(String) });
    expect(await bob.client.people.find({ handle: 'alice' })).toMatchObject({ verifiedAt: null, verifiedBy: null });
    await net.stop(alice);
    const again = await net.member('alice', tracker);
    expect(await again.client.people.find({ handle: 'bob' })).toMatchObject({ verifiedBy: 'uri' });
  });

  test('the number of another pair verifies nobody', async () => {
    const [alice, carol] = [await net.member('alice', tracker), await net.member('carol', tracker)];
    await net.member('bob', tracker);
    const { number } = await carol.client.people.verify({ handle: 'alice' });
    const wrong = alice.client.people.verify({ handle: 'bob', confirm: number });
    await expect(wrong).rejects.toMatchObject({ code: 'wrong_key' });
    await expect(alice.client.people.verify({ handle: 'alice' })).rejects.toMatchObject({ code: 'invalid_argument' });
    expect(await alice.client.people.find({ handle: 'bob' })).toMatchObject({ verifiedAt: null });
  });
});

describe('blocking', () => {
  const hostless = (text: string): string =>
    text.replaceAll(/127\.0\.0\.1:\d+/g, 'HOST').replaceAll(/\b[a-z2-7]{52}\b/g, 'ID');

  /** What bob's program shows him of alice from `after` on: all that it says by itself, and that he can ask for. */
  async function seenBy(bob: Member, after: number, id: string) {
    const person = await status(bob, 'alice', 'offline');
    await bob.event('link.down', ({ handle }) => handle === 'alice@lab');
    const connecting = await bob.client.links.connect({ target: 'alice' }).then(
      () => 'connected',
      (error: unknown) => hostless(String(error)),
    );
    const { state, error } = await until(
      () => bob.client.messages.show({ id }),
      (message) => message.state === 'held',
    );
    const links = (await bob.client.links.list()).filter(({ role }) => role === 'node');
    const types = (await eventsOf(bob, after)).map(({ type }) => type).filter((type) => type !== 'message.sent');
    const { lastSeen: _, addresses: __, node: ___, id: ____, ...shown } = person;
    const why = error && { ...error, message: hostless(error.message) };
    return { shown, connecting, state, why, links, types: [...new Set(types)].sort() };
  }

  async function acquainted(): Promise<[Member, Member, number]> {
    const [alice, bob] = [await net.member('alice', tracker), await net.member('bob', tracker)];
    const said = await bob.client.messages.say({ handle: 'alice', text: 'hello' });
    await delivered(bob, said.id);
    await until(
      () => bob.client.people.find({ handle: 'alice' }),
      (person) => person.status === 'online' && person.addresses.length > 0,
    );
    return [alice, bob, bob.node.events.last];
  }

  test('the blocked one sees exactly what he sees when the other has left [D-60]', async () => {
    const [alice, bob, before] = await acquainted();
    await alice.client.people.block({ handle: 'bob' });
    await status(bob, 'alice', 'offline');
    const first = await bob.client.messages.say({ handle: 'alice', text: 'are you there?' });
    await alice.client.people.status({ status: 'busy', text: 'not for bob' });
    const blocked = await seenBy(bob, before, first.id);
    expect(alice.node.peers.links.size).toBe(0);
    await net.stop(alice);
    await net.stop(bob);
    for (const name of ['alice', 'bob']) await rm(join(net.folder, name), { recursive: true });
    tracker = await net.tracker({ name: 'other' });
    const [gone, other, then] = await acquainted();
    await net.stop(gone);
    await status(other, 'alice', 'offline');
    const second = await other.client.messages.say({ handle: 'alice', text: 'are you there?' });
    expect(blocked).toEqual(await seenBy(other, then, second.id));
    expect(blocked).toMatchObject({
      shown: { text: '', status: 'offline' },
      connecting: expect.stringContaining('nobody answers'),
      state: 'held',
    });
  });

  test('messages and offers wait at the blocked one’s side, also over a restart, and come when let in again', async () => {
    const [alice, bob] = await acquainted();
    expect(await alice.client.people.block({ handle: 'bob' })).toMatchObject({ handle: 'bob@lab', blocked: true });
    const said = await bob.client.messages.say({ handle: 'alice', text: 'while blocked' });
    const path = join(net.folder, 'offer.txt');
    await writeFile(path, 'offered while blocked');
    await bob.client.files.send({ handle: 'alice', path });
    const [, listed] = await alice.client.people.list();
    expect(listed).toMatchObject({ handle: 'bob@lab', blocked: true });
    await expect(alice.client.messages.say({ handle: 'bob', text: 'x' })).rejects.toMatchObject({
      code: 'wrong_state',
    });
    await expect(alice.client.links.connect({ target: 'bob' })).rejects.toMatchObject({ code: 'wrong_state' });
    await expect(alice.client.files.send({ handle: 'bob', path })).rejects.toMatchObject({ code: 'wrong_state' });
    await net.stop(alice);
    const again = await net.member('alice', tracker);
    await expect(bob.client.links.connect({ target: 'alice' })).rejects.toMatchObject({ code: 'peer_unreachable' });
    expect(await bob.client.people.find({ handle: 'alice' })).toMatchObject({ status: 'offline' });
    const texts = async () => (await again.client.messages.list({ handle: 'bob' })).map(({ text }) => text);
    expect(await texts()).toEqual(['hello']);
    expect(await again.client.files.list()).toEqual([]);
    expect(await bob.client.messages.show({ id: said.id })).toMatchObject({ state: 'held' });
    expect(await again.client.people.unblock({ handle: 'bob' })).toMatchObject({ blocked: false });
    await delivered(bob, said.id);
    await again.event('file.offered', ({ name }) => name === 'offer.txt');
    expect(await texts()).toEqual(['hello', 'while blocked', 'offer.txt']);
    await status(bob, 'alice', 'online');
  });

  test('bytes that are being served to the blocked one stop, and go on when he is let in again', async () => {
    const [alice, bob] = await acquainted();
    const path = join(net.folder, 'large.bin');
    await writeFile(path, Buffer.alloc(256 * 1024 * 1024, 7));
    await alice.client.files.send({ handle: 'bob', path });
    const offer = await bob.event('file.offered', ({ name }) => name === 'large.bin');
    const id = String(offer.data.id);
    await bob.client.files.accept({ id });
    await bob.event('file.progress', ({ progress }) => Number(progress) > 0);
    await alice.client.people.block({ handle: 'bob' });
    const stopped = await until(
      () => bob.client.files.show({ id }),
      ({ state, rate }) => state === 'done' || (state === 'accepted' && rate === 0),
    );
    expect(stopped.state).toBe('accepted');
    await alice.client.people.unblock({ handle: 'bob' });
    await until(
      () => bob.client.files.show({ id }),
      ({ state }) => state === 'done',
    );
  });

  test('others see and reach her as ever; a key that nobody knows can be blocked, and oneself cannot', async () => {
    const [alice] = await acquainted();
    const carol = await net.member('carol', tracker);
    await alice.client.people.block({ handle: 'bob' });
    await status(carol, 'alice', 'online');
    await delivered(carol, (await carol.client.messages.say({ handle: 'alice', text: 'hi' })).id);
    const stranger = 'rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oa';
    expect(await alice.client.people.block({ handle: stranger })).toMatchObject({ id: stranger, blocked: true });
    const blocked = (await alice.client.people.list()).filter((person) => person.blocked);
    expect(blocked.map(({ handle }) => handle)).toEqual(['bob@lab', stranger]);
    await expect(alice.client.people.block({ handle: 'alice' })).rejects.toMatchObject({ code: 'invalid_argument' });
  });
});

describe('a handle with another key', () => {
  /** The tracker loses all that it knew but its own key; somebody else takes bob's handle there. */
  async function changed(): Promise<{ alice: Member; bob: Member; waits: string }> {
    const alice = await net.member('alice', tracker);
    const before = await net.member('bob', tracker);
    await delivered(alice, (await alice.client.messages.say({ handle: 'bob', text: 'to the old one' })).id);
    const { number } = await before.client.people.verify({ handle: 'alice' });
    await alice.client.people.verify({ handle: 'bob', confirm: number });
    await net.stop(before);
    const waits = (await alice.client.messages.say({ handle: 'bob', text: 'for the old one' })).id;
    const { port } = tracker;
    await net.stop(tracker);
    for (const end of ['', '-wal', '-shm']) await rm(join(net.folder, 'tracker', `tracker.db${end}`), { force: true });
    await rm(join(net.folder, 'bob'), { recursive: true });
    tracker = await net.tracker({ port });
    const bob = await net.member('bob', tracker);
    await alice.event('person.key_changed', ({ handle, shown }) => handle === 'bob@lab' && shown === bob.node.account);
    return { alice, bob, waits };
  }

  test('stops all that is sent to it, until the user names the new key [D-56] [D-57]', async () => {
    const { alice, bob, waits } = await changed();
    const key = bob.node.account;
    const refused = { code: 'key_changed', message: expect.stringContaining(`accept-key bob@lab --key ${key}`) };
    const { client } = alice;
    await expect(client.messages.say({ handle: 'bob', text: 'x' })).rejects.toMatchObject(refused);
    await expect(client.links.connect({ target: 'bob' })).rejects.toMatchObject(refused);
    await expect(client.people.verify({ handle: 'bob' })).rejects.toMatchObject(refused);
    await expect(client.files.send({ handle: 'bob', path: '/etc/hostname' })).rejects.toMatchObject(refused);
    const listed = (await client.people.list()).find(({ handle }) => handle === 'bob@lab');
    expect(listed).toMatchObject({ keyChanged: key, verifiedAt: null });
    expect(await client.messages.show({ id: waits })).toMatchObject({ state: 'queued' });
    expect((await client.messages.list({ handle: 'bob' })).map(({ text }) => text)).toContain('to the old one');
    await expect(client.people.acceptKey({ handle: 'bob', key: listed?.id ?? '' })).rejects.toMatchObject({
      code: 'wrong_key',
    });

    expect(await client.people.acceptKey({ handle: 'bob', key })).toMatchObject({
      handle: 'bob@lab',
      id: key,
      status: 'online',
      keyChanged: null,
      verifiedAt: null,
      former: false,
      hosted: false,
    });
    expect(await client.messages.show({ id: waits })).toMatchObject({ state: 'failed' });
    const said = await client.messages.say({ handle: 'bob', text: 'to the new one' });
    await delivered(alice, said.id);
    expect((await client.messages.list({ handle: 'bob' })).map(({ text }) => text)).toEqual(['to the new one']);
    expect((await bob.client.messages.list({})).map(({ text }) => text)).toEqual(['to the new one']);

    const old = (await client.people.list()).find(({ former }) => former);
    expect(old?.handle).toMatch(/^bob@lab \(old key [a-z2-7]{8}\)$/);
    expect(old?.verifiedAt).toBe(null);
    const kept = await client.messages.list({ handle: old?.id });
    expect(kept.map(({ to, text }) => [to, text])).toEqual([
      [old?.handle, 'to the old one'],
      [old?.handle, 'for the old one'],
    ]);
    await expect(client.people.acceptKey({ handle: 'bob', key })).rejects.toMatchObject({ code: 'wrong_state' });
  });

  test('is refused after a restart too, with the tracker down, and then can be accepted', async () => {
    const { alice, bob } = await changed();
    const { invite } = tracker;
    await net.stop(alice);
    await net.stop(tracker);
    const again = await net.member('alice', { invite }, { ready: false });
    await expect(again.client.messages.say({ handle: 'bob', text: 'x' })).rejects.toMatchObject({
      code: 'key_changed',
    });
    const accepted = await again.client.people.acceptKey({ handle: 'bob', key: bob.node.account });
    expect(accepted).toMatchObject({ handle: 'bob@lab', id: bob.node.account, status: 'offline' });
  });

  test('what the new key writes before it is accepted does not pass for the handle', async () => {
    const { alice, bob } = await changed();
    await bob.client.messages.say({ handle: 'alice', text: 'it is me' });
    const received = await alice.event('message.received', ({ text }) => text === 'it is me');
    expect(received.data.from).toBe(bob.node.account);
  });

  test('who was blocked stays blocked with the new key', async () => {
    const { alice, bob } = await changed();
    await alice.client.people.block({ handle: 'bob' });
    const accepted = await alice.client.people.acceptKey({ handle: 'bob', key: bob.node.account });
    expect(accepted).toMatchObject({ blocked: true });
    await status(bob, 'alice', 'offline');
  });
});

describe('presence', () => {
  test('for contacts alone: strangers see her offline and can write; whom she writes to sees her', async () => {
    const alice = await net.member('alice', tracker, { presence: 'contacts' });
    const bob = await net.member('bob', tracker);
    await status(alice, 'bob', 'online');
    expect(await bob.client.people.find({ handle: 'alice' })).toMatchObject({ status: 'offline' });
    await delivered(bob, (await bob.client.messages.say({ handle: 'alice', text: 'hello?' })).id);
    expect(await bob.client.people.find({ handle: 'alice' })).toMatchObject({ status: 'offline' });
    await alice.client.messages.say({ handle: 'bob', text: 'hello!' });
    await status(bob, 'alice', 'online');
    await net.stop(alice);
    await net.member('alice', tracker, { presence: 'contacts' });
    await status(bob, 'alice', 'online');
    const carol = await net.member('carol', tracker);
    expect(await carol.client.people.find({ handle: 'alice' })).toMatchObject({ status: 'offline' });
  });

  test('away by itself is seen by others, and ends with the next use; following is no use', async () => {
    let ahead = 0;
    const clock = { now: () => systemClock.now() + ahead };
    const alice = await net.member('alice', tracker, { awayAfterMs: 600_000, clock });
    const bob = await net.member('bob', tracker);
    await alice.client.people.status({ status: 'online', text: 'in room 5' });
    await status(bob, 'alice', 'online');
    ahead = 600_000;
    const stop = new AbortController();
    const following = await alice.client.events.follow({ from: 0 }, { signal: stop.signal });
    alice.node.presence.tick();
    expect(await status(bob, 'alice', 'away')).toMatchObject({ text: 'in room 5' });
    await bob.client.messages.say({ handle: 'alice', text: 'what others do is no use' });
    for await (const { type } of following) if (type === 'message.received') break;
    expect(await bob.client.people.find({ handle: 'alice' })).toMatchObject({ status: 'away' });
    stop.abort();
    await alice.client.messages.list({});
    await status(bob, 'alice', 'online');
  });

  test('status and words said by hand are there after a restart; last seen is when somebody was last here', async () => {
    const [alice, bob] = [await net.member('alice', tracker), await net.member('bob', tracker)];
    await alice.client.people.status({ status: 'busy', text: 'writing' });
    await status(bob, 'alice', 'busy');
    const before = Date.now();
    await net.stop(alice);
    const gone = await status(bob, 'alice', 'offline');
    expect(Date.parse(gone.lastSeen)).toBeGreaterThanOrEqual(before);
    expect(Date.parse(gone.lastSeen)).toBeLessThanOrEqual(Date.now());
    const again = await net.member('alice', tracker);
    expect(await again.client.status.show()).toMatchObject({ status: 'busy', text: 'writing' });
    expect(await status(bob, 'alice', 'busy')).toMatchObject({ text: 'writing' });
  });
});
