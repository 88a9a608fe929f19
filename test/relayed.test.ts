/** Nodes that reach each other in no other way, joined by their tracker. */
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Clock } from '../src/base/clock.ts';
import type { Fault } from '../src/base/fault.ts';
import { parseInvite } from '../src/directory/invite.ts';
import { createIdentity } from '../src/link/certificate.ts';
import { dial } from '../src/link/dial.ts';
import type { Link } from '../src/link/link.ts';
import { visit } from '../src/link/visit-dial.ts';
import { come } from '../src/reach/relay.ts';
import { type Meeting, meeting, RELAY_UPGRADE, relay } from '../src/reach/relay-wire.ts';
import { Signals } from '../src/reach/signals.ts';
import type { Tracker } from '../src/tracker/tracker.ts';
import { Authority } from './authority.ts';
import { Doors } from './doors.ts';
import { Nats, needsNats } from './nats.ts';
import { start } from './program.ts';
import { Relay as Forwarder } from './relay.ts';
import { type Member, TestNet, until } from './testnet.ts';
import { Visitor } from './visitor.ts';

let net: TestNet;
let undo: AsyncDisposableStack;
beforeEach(async () => {
  net = await TestNet.create();
  undo = new AsyncDisposableStack();
});
afterEach(async () => {
  await undo.disposeAsync();
  await net[Symbol.asyncDispose]();
});

const open = (options: Parameters<TestNet['tracker']>[0] = {}): Promise<Tracker> =>
  net.tracker({ metrics: '127.0.0.1:0', ...options });

/** Nothing listens there: as behind a firewall that lets nobody in. */
const NOWHERE = '127.0.0.1:9';

/** A node that nobody reaches by an address, nor by a hole, in the eyes of `others`. */
async function walled(member: Member): Promise<Member> {
  Object.defineProperty(member.node, 'addresses', { value: [NOWHERE] });
  Object.defineProperty(member.node.punch, 'ways', { value: () => [] });
  await member.node.directory.announceNow();
  return member;
}

/** The same, and nobody remembers an address from before. */
async function hidden(name: string, { invite }: { invite: string }): Promise<Member> {
  const member = await net.member(name, undefined);
  Object.defineProperty(member.node, 'addresses', { value: [NOWHERE] });
  Object.defineProperty(member.node.punch, 'ways', { value: () => [] });
  await member.client.trackers.join({ invite });
  await member.node.directory.ready({ signal: AbortSignal.timeout(30_000) });
  return member;
}

async function known(by: Member, whom: Member): Promise<void> {
  await until(
    () => by.node.directory.get(whom.node.account),
    (person) => person?.status === 'online' && person.addresses.includes(NOWHERE),
  );
}

async function two(tracker: Tracker): Promise<[Member, Member]> {
  const alice = await walled(await net.member('alice', tracker));
  const bob = await walled(await net.member('bob', tracker));
  await known(alice, bob);
  await known(bob, alice);
  return [alice, bob];
}

/** Somebody who speaks to a tracker by hand, and keeps what they are asked to. */
class Guest {
  readonly visitor: Visitor;
  readonly link: Link;
  readonly tracker: { peer: string; addresses: readonly string[] };
  readonly asked: Meeting[] = [];
  readonly streams: Duplex[] = [];

  private constructor(visitor: Visitor, link: Link, tracker: Guest['tracker']) {
    this.visitor = visitor;
    this.link = link;
    this.tracker = tracker;
    new Signals({ trackersOf: async () => [], isOwnTracker: () => true, hosts: () => true, blocked: () => false })
      .attach(visitor.router)
      .answer('relay', meeting, (_from, asked) => {
        this.asked.push(asked);
        return null;
      });
  }

  static async at(tracker: Guest['tracker'], name: string): Promise<Guest> {
    const visitor = undo.use(await Visitor.create(name, 'lab'));
    const link = await visitor.to(tracker);
    const guest = new Guest(visitor, link, tracker);
    await visitor.announce(link);
    undo.defer(() => {
      for (const stream of guest.streams) stream.destroy();
    });
    return guest;
  }

  get at(): { account: string; node: string } {
    return { account: this.visitor.id, node: this.visitor.identity.id };
  }

  ask(other: Guest): Promise<Meeting> {
    return this.link.request(relay, { to: other.at });
  }

  async come(to: Meeting, addresses = this.tracker.addresses): Promise<Duplex> {
    const { identity } = this.visitor;
    const stream = await come({ identity, expect: this.tracker.peer, addresses, meeting: to });
    stream.on('error', () => {});
    this.streams.push(stream);
    return stream;
  }

  /** A joined connection to the other one: both ends of it. */
  async meet(other: Guest): Promise<[Duplex, Duplex]> {
    const asked = await this.ask(other);
    return await Promise.all([this.come(asked), other.come(asked)]);
  }
}

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'ok',
    ({ code }: Fault) => code,
  );

test('messages, files and their bytes go by the tracker where nothing else leads there [N-10] [N-12] [N-15]', async () => {
  const tracker = await open();
  const [alice, bob] = await two(tracker);
  const link = await alice.node.peers.reach(bob.node.account);
  expect([link.rung, link.address, link.peer]).toEqual(['relay', 'relay by lab', bob.node.id]);
  const said = await alice.client.messages.say({ handle: 'bob', text: 'around the corner' });
  await bob.event('message.received', ({ id }) => id === said.id);
  await alice.event('message.delivered', ({ id }) => id === said.id);
  const other = bob.node.peers.links.get(alice.node.account);
  expect([other?.rung, other?.address]).toEqual(['relay', 'relay by lab']);

  const bytes = Buffer.alloc(3_000_000, 'what is in the file ');
  const path = join(net.folder, 'big.bin');
  await writeFile(path, bytes);
  await alice.client.files.send({ handle: 'bob', path });
  const offered = await bob.event('file.offered', ({ direction }) => direction === 'in');
  for await (const { state, error } of await bob.client.files.get({ id: String(offered.data.id) })) {
    expect([state, error]).not.toEqual(['failed', error]);
  }
  const body = await metricsText(tracker);
  const relayed = Number(/netapp_tracker_relay_bytes_total (\d+)/.exec(body)?.[1]);
  expect(relayed).toBeGreaterThan(bytes.length);
  expect(body).toMatch(/netapp_tracker_relay_pairs [1-9]/);
  expect(body).toMatch(/netapp_tracker_relay_total\{what="asked",outcome="ok"\} [1-9]/);
});

const metricsText = async (tracker: Tracker): Promise<string> =>
  (await fetch(`http://${tracker.metrics}/metrics`)).text();

test('bytes pass unread, and whoever answers must have the key that is meant [N-11]', async () => {
  const tracker = await open();
  const [ann, ben] = [await Guest.at(tracker, 'ann'), await Guest.at(tracker, 'ben')];
  const [a, b] = await ann.meet(ben);
  a.write('no protocol of the tracker’s');
  expect(String((await once(b, 'data'))[0])).toBe('no protocol of the tracker’s');
  b.write('and back');
  expect(String((await once(a, 'data'))[0])).toBe('and back');

  // A tracker that joins somebody else in Ben's place: here Bob, a whole node, in the eyes of who means Ben.
  const bob = await walled(await net.member('bob', tracker));
  const { account, id: node } = bob.node;
  const asked = await ann.link.request(relay, { to: { account, node } });
  const over = { stream: await ann.come(asked), rung: 'relay' as const };
  const { identity } = ann.visitor;
  const wrong = dial({ address: 'relay by lab', expect: ben.at.node, identity, over });
  await expect(wrong).rejects.toMatchObject({ code: 'wrong_key' });
});

test('a token is for two keys, once for each, and not for long [N-13]', async () => {
  let ahead = 0;
  const clock: Clock = { now: () => Date.now() + ahead };
  const tracker = await open({ clock });
  const [ann, ben, eve] = [
    await Guest.at(tracker, 'ann'),
    await Guest.at(tracker, 'ben'),
    await Guest.at(tracker, 'eve'),
  ];
  const asked = await ann.ask(ben);
  expect(ben.asked).toEqual([asked]);
  expect(await codeOf(eve.come(asked))).toBe('forbidden'); // stolen; and it is still good for those whom it is for
  const first = ann.come(asked);
  first.catch(() => {});
  await until(
    () => codeOf(ann.come(asked)), // again, by the same one
    (code) => code === 'wrong_state',
  );
  const [a, b] = await Promise.all([first, ben.come(asked)]);
  a.write('hi');
  await once(b, 'data');
  for (const guest of [ann, ben]) expect(await codeOf(guest.come(asked))).toBe('unknown_id'); // replayed
  expect(await codeOf(eve.come({ ...asked, token: 'a'.repeat(52) }))).toBe('unknown_id');

  const late = await ann.ask(ben);
  const alone = codeOf(ann.come(late));
  await until(
    () => metricsText(tracker),
    (text) => /relay_waiting 1/.test(text),
  );
  ahead += 16_000;
  expect(await alone).toBe('peer_unreachable');
  expect(await codeOf(ben.come(late))).toBe('unknown_id');
  await expect(ann.link.request(relay, { to: ann.at })).rejects.toMatchObject({ code: 'invalid_argument' });
});

test('what is no such request is refused, and costs its sender the connection [N-12]', async () => {
  const tracker = await open();
  const identity = await createIdentity();
  const [address = ''] = tracker.addresses;
  const code = async (path: string, protocol: string): Promise<string> => {
    const socket = await dial({ address, expect: tracker.peer, identity });
    return await codeOf(visit(socket, { path, protocol, host: address, timeoutMs: 5000 }));
  };
  expect(await code('/relay/short', RELAY_UPGRADE)).toBe('malformed');
  expect(await code(`/relay/${'a'.repeat(52)}`, 'websocket')).toBe('malformed');
  expect(await code(`/relay/${'a'.repeat(52)}/../x`, RELAY_UPGRADE)).toBe('malformed');
  expect(await code('/other/path', RELAY_UPGRADE)).toBe('unknown_operation');
  // A connection that says nothing at all is not kept.
  const silent = connectTcp(Number(address.split(':')[1]), '127.0.0.1');
  undo.defer(() => void silent.destroy());
  await once(silent, 'connect');
});

test('one account has so many tokens and pairs at once, and no more [N-13] [N-21]', async () => {
  const tracker = await open({ relayLimits: { pairsPerAccount: 40 } });
  const [ann, ben] = [await Guest.at(tracker, 'ann'), await Guest.at(tracker, 'ben')];
  const tokens: Meeting[] = [];
  for (let n = 0; n < 32; n++) tokens.push(await ann.ask(ben));
  expect(await codeOf(ann.ask(ben))).toBe('too_many');
  await expect(ben.ask(ann)).resolves.toBeTruthy(); // who is asked has lost nothing by it
  for (const token of tokens) await Promise.all([ann.come(token), ben.come(token)]);
  for (let n = 0; n < 8; n++) await ann.meet(ben);
  await expect(ann.ask(ben)).rejects.toMatchObject({ code: 'too_many', message: expect.stringContaining('40') });
  for (const stream of ann.streams.splice(0, 8)) stream.destroy();
  await until(
    () => codeOf(ann.ask(ben)),
    (code) => code === 'ok',
  );
}, 60_000);

test('it relays for nobody, for its zones, or for a guest too, as it is told [N-20]', async () => {
  const top = await open({ name: 'top', zone: 'cse', relay: 'off' });
  const lab = await open({ name: 'lab', zone: 'lab1.cse', parents: [parseInvite(top.invite)] });
  top.zoning.zones.delegate('lab1.cse', { peer: lab.peer, addresses: [...lab.addresses] });
  await until(
    () => lab.zoning.zones.apex('lab1.cse').parent,
    (above) => above !== null,
  );
  const alice = await walled(await net.member('alice', top));
  const bob = await walled(await net.member('bob', lab));
  const { account, node } = await alice.node.directory.find('bob@lab1.cse');
  const to = { account, node };
  const link = await until(
    async () => (await alice.node.directory.trackersOf(account))[0],
    (found) => found !== undefined,
  );
  expect(await codeOf(link?.request(relay, { to }) ?? Promise.reject())).toBe('forbidden');
  lab.reload({ relay: 'on' });
  const direct = await until(
    () => alice.node.peers.reach(bob.node.account).catch(() => undefined),
    (made) => made !== undefined,
  );
  expect(direct?.rung).toBe('relay');
  const [own] = alice.node.directory.links();
  const refused = codeOf(
    own?.request(relay, { to: { account: alice.node.account, node: bob.node.id } }) ?? Promise.reject(),
  );
  expect(await refused).toBe('forbidden');
});

test('the bytes of a day are counted, also over a restart, and then there are no more [N-21]', async () => {
  const options = { name: 't', relayLimits: { bytesPerDay: 1_000_000 } };
  const tracker = await open(options);
  const { port } = tracker;
  const [ann, ben] = [await Guest.at(tracker, 'ann'), await Guest.at(tracker, 'ben')];
  const [a, b] = await ann.meet(ben);
  b.resume();
  a.write(Buffer.alloc(900_000));
  await until(
    () => metricsText(tracker),
    (text) => /relay_bytes_total 900000/.test(text),
  );
  const ended = once(b, 'close');
  a.write(Buffer.alloc(200_000));
  await ended;
  await expect(ann.ask(ben)).rejects.toMatchObject({
    code: 'too_many',
    data: { retryAfterMs: expect.any(Number) },
  });
  expect(await codeOf(ben.ask(ann))).toBe('ok');
  await net.stop(tracker);
  const again = await open({ ...options, port });
  const link = await ann.visitor.to(again);
  await ann.visitor.announce(link);
  await expect(link.request(relay, { to: ben.at })).rejects.toMatchObject({ code: 'too_many' });
});

test('of pairs that share a rate none gets more than its part [N-22]', async () => {
  const tracker = await open({ relayLimits: { totalPerSecond: 4_000_000 } });
  const names = ['ann', 'ben', 'cal'];
  const [ann, ben, cal] = await Promise.all(names.map((name) => Guest.at(tracker, name)));
  if (!ann || !ben || !cal) throw new Error('three are there');
  const got = new Map<string, number>();
  const pump = async (from: Guest, name: string): Promise<void> => {
    const [near, far] = await from.meet(cal);
    far.on('data', (chunk: Buffer) => got.set(name, (got.get(name) ?? 0) + chunk.length));
    const block = Buffer.alloc(64 * 1024);
    const more = (): void => {
      while (!near.destroyed && near.write(block));
    };
    near.on('drain', more);
    more();
  };
  for (let n = 0; n < 4; n++) await pump(ann, 'ann');
  await pump(ben, 'ben');
  got.clear();
  await until(
    () => got.get('ben') ?? 0,
    (bytes) => bytes > 6_000_000,
  );
  const share = (got.get('ann') ?? 0) / (got.get('ben') ?? 1);
  expect(share).toBeGreaterThan(0.6);
  expect(share).toBeLessThan(1.6);
}, 60_000);

test('a pair in which nothing moves is ended, and all are when the tracker goes [N-23]', async () => {
  const tracker = await open({ relayLimits: { idleSeconds: 2 } });
  const [ann, ben] = [await Guest.at(tracker, 'ann'), await Guest.at(tracker, 'ben')];
  const [a, b] = await ann.meet(ben);
  b.resume();
  await Promise.all([once(a.resume(), 'close'), once(b, 'close')]);
  expect(await metricsText(tracker)).toMatch(/relay_total\{what="ended",outcome="timeout"\} 1/);

  tracker.reload({});
  const [c, d] = await ann.meet(ben);
  const closed = Promise.all([once(c.resume(), 'close'), once(d.resume(), 'close')]);
  const drained = tracker.drain({ mostMs: 20_000 });
  expect(await codeOf(ann.ask(ben))).toBe('tracker_down');
  await closed;
  for (const guest of [ann, ben]) guest.visitor.close();
  await drained;
  expect(await metricsText(tracker)).toMatch(/relay_pairs 0/);
});

test('a proxy that ends TLS is passed, and the keys are proved to the tracker all the same [N-14]', async () => {
  const authority = await Authority.create();
  const tls = await authority.sign('localhost');
  const outer = await Forwarder.to(9, { tls });
  const port = outer.port;
  await outer[Symbol.asyncDispose]();
  const at = `wss://localhost:${port}`;
  const tracker = await open({ behindProxy: { host: '127.0.0.1', port: 0, publicUrls: [at] } });
  undo.use(await Forwarder.to(tracker.proxyPort ?? 0, { port, tls, head: 'x-forwarded-for: 127.0.0.1' }));
  const members = ['alice', 'bob'].map(async (name) =>
    walled(
      await net.member(name, undefined, {
        trackers: [{ tier: 1, peer: tracker.peer, addresses: [at], zone: 'lab' }],
        trackerCa: authority.cert,
      }),
    ),
  );
  const [alice, bob] = await Promise.all(members);
  if (!alice || !bob) throw new Error('both are there');
  await known(alice, bob);
  const link = await alice.node.peers.reach(bob.node.account);
  expect([link.rung, link.peer]).toEqual(['relay', bob.node.id]);

  // Who has the token alone, and signs with a key of their own, is refused; so is who names another's.
  const door = { peer: tracker.peer, addresses: [`127.0.0.1:${tracker.port}`] };
  const [ann, ben] = [await Guest.at(door, 'ann'), await Guest.at(door, 'ben')];
  const asked = await ann.ask(ben);
  const by = (identity: Parameters<typeof come>[0]['identity']): Promise<string> =>
    codeOf(come({ identity, expect: tracker.peer, addresses: [at], meeting: asked, ca: authority.cert }));
  const thief = await createIdentity();
  expect(await by(thief)).toBe('forbidden');
  const masked = { ...thief, id: ann.at.node };
  expect(await by(masked)).toBe('unauthenticated');
  const there = by(ann.visitor.identity);
  await ben.come(asked);
  expect(await there).toBe('ok');
});

test('in a cluster both meet at one process, whichever door they come to [N-24]', async ({ skip }) => {
  needsNats(skip);
  await using nats = await Nats.start(1);
  await using doors = await Doors.open(nats);
  const [ann, ben] = [await Guest.at(doors.at(0), 'ann'), await Guest.at(doors.at(1), 'ben')];
  const asked = await until(
    () => ann.ask(ben).catch(() => undefined),
    (made) => made !== undefined,
  );
  if (!asked) throw new Error('a token is there');
  expect(asked.addresses).toEqual([doors.at(0).addresses[0]]);
  const [a, b] = await Promise.all([ann.come(asked, asked.addresses), ben.come(asked, asked.addresses)]);
  a.write('at one door');
  expect(String((await once(b, 'data'))[0])).toBe('at one door');

  const other = await ann.ask(ben);
  const [c, d] = await Promise.all([ann.come(other), ben.come(other)]); // each where its own link stands
  c.write('at two doors');
  expect(String((await once(d, 'data'))[0])).toBe('at two doors');
  // Nobody but a process of the cluster is believed to come for another.
  const eve = await Guest.at(doors.at(0), 'eve');
  const third = await ann.ask(ben);
  const lie = come({
    identity: eve.visitor.identity,
    expect: doors.at(0).peer,
    addresses: third.addresses,
    meeting: third,
    onBehalfOf: ann.at.node,
  });
  expect(await codeOf(lie)).toBe('forbidden');
  expect(await codeOf(eve.come({ ...third, token: `nobody.${'a'.repeat(52)}` }))).toBe('tracker_down');
}, 120_000);

test('the relay dies in the middle: links come back by it, no message is lost and none comes twice', async () => {
  const home = join(net.folder, 'tracker');
  const args = ['tracker', '--host', '127.0.0.1', '--zone', 'lab', '--port'];
  const first = await start(home, [...args, '0']);
  undo.use(first);
  const port = String(first.says.port);
  const invite = first.text('invite');
  const alice = await hidden('alice', { invite });
  const bob = await hidden('bob', { invite });
  await known(alice, bob);
  await known(bob, alice);
  const link = await alice.node.peers.reach(bob.node.account);
  expect(link.rung).toBe('relay');
  const ids: string[] = [];
  const say = async (count: number): Promise<void> => {
    for (let n = 0; n < count; n++)
      ids.push((await alice.client.messages.say({ handle: 'bob', text: `${ids.length}` })).id);
  };
  await say(5);
  await first.kill();
  await link.closed;
  await say(5);
  undo.use(await start(home, [...args, port]));
  for (const { node } of [alice, bob]) node.directory.nudge();
  await say(5);
  for (const id of ids) await alice.event('message.delivered', (data) => data.id === id);
  const heard = await bob.client.messages.list({ handle: 'alice', limit: 100 });
  const texts = heard.map(({ text }) => Number(text)).sort((x, y) => x - y);
  expect(texts).toEqual(ids.map((_, n) => n));
  const anew = await alice.node.peers.reach(bob.node.account);
  expect(anew).not.toBe(link);
  expect(anew.rung).toBe('relay');
}, 120_000);
