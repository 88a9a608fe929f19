/** What nodes ask each other by way of a tracker that both are linked with. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { z } from 'zod';
import { Fault } from '../src/base/fault.ts';
import { parseInvite } from '../src/directory/invite.ts';
import type { Link } from '../src/link/link.ts';
import { signal, signalled } from '../src/reach/signal-wire.ts';
import { Signals } from '../src/reach/signals.ts';
import { Doors } from './doors.ts';
import { Nats, needsNats } from './nats.ts';
import { type Member, TestNet, until } from './testnet.ts';
import { Visitor } from './visitor.ts';

let net: TestNet;
beforeEach(async () => {
  net = await TestNet.create();
});
afterEach(() => net[Symbol.asyncDispose]());

const at = ({ node }: Member) => ({ account: node.account, node: node.id });
const echo = z.object({ text: z.string() });

/** Answers signals of kind `echo` with what they say and who said it. */
function answering(member: Member): Member {
  member.node.signals.answer('echo', echo, ({ account }, { text }) => ({ text, account }));
  return member;
}

async function seen(by: Member, whom: Member): Promise<void> {
  await until(
    () => by.node.directory.get(whom.node.account)?.status,
    (status) => status === 'online',
  );
}

test('a node asks another one, and hears its answer or its refusal [N-1]', async () => {
  const tracker = await net.tracker();
  const [alice, bob] = [await net.member('alice', tracker), answering(await net.member('bob', tracker))];
  await seen(alice, bob);
  const { signals } = alice.node;
  expect(await signals.ask(at(bob), 'echo', { text: 'hi' })).toEqual({ text: 'hi', account: alice.node.account });
  bob.node.signals.answer('no', z.null(), () => {
    throw new Fault('queue_full', 'answering "no": too much is under way');
  });
  await expect(signals.ask(at(bob), 'no', null)).rejects.toMatchObject({ code: 'queue_full' });
  await expect(signals.ask(at(bob), 'other', {})).rejects.toMatchObject({ code: 'unknown_operation' });
  await expect(signals.ask(at(bob), 'echo', 7)).rejects.toMatchObject({ code: 'malformed' });
});

test('a signal and its answer have a size [N-2]', async () => {
  const tracker = await net.tracker();
  const [alice, bob] = [await net.member('alice', tracker), answering(await net.member('bob', tracker))];
  await seen(alice, bob);
  const ask = (bytes: number) => alice.node.signals.ask(at(bob), 'echo', { text: 'x'.repeat(bytes) });
  await expect(ask(3700)).resolves.toBeTruthy();
  await expect(ask(4096)).rejects.toMatchObject({ code: 'too_large' });
  bob.node.signals.answer('long', z.null(), () => 'x'.repeat(5000));
  await expect(alice.node.signals.ask(at(bob), 'long', null)).rejects.toMatchObject({ code: 'too_large' });
});

test('whoever is away, elsewhere, hidden, or has blocked the asker is answered for alike [N-4]', async () => {
  const tracker = await net.tracker();
  const [alice, bob, carol] = [
    await net.member('alice', tracker),
    answering(await net.member('bob', tracker)),
    await net.member('carol', tracker),
  ];
  await seen(alice, bob);
  const refusal = async (to: { account: string; node: string }): Promise<unknown> =>
    alice.node.signals.ask(to, 'echo', { text: 'hi' }).then(
      () => 'answered',
      ({ code, message }: Fault) => ({ code, message: message.replace(to.account, 'SOMEBODY') }),
    );
  const nobody = { code: 'peer_unreachable', message: 'signalling "SOMEBODY": nobody is there now' };
  expect(await refusal({ ...at(bob), node: carol.node.id })).toEqual(nobody);
  await bob.client.people.block({ handle: 'alice' });
  expect(await refusal(at(bob))).toEqual(nobody);
  await seen(alice, carol);
  const where = at(carol);
  await net.stop(carol);
  await until(
    () => refusal(where),
    (now) => JSON.stringify(now) === JSON.stringify(nobody),
  );
});

test('strangers to the zone are refused, and so is who asks without end [N-3]', async () => {
  const tracker = await net.tracker();
  const [alice, bob] = [await net.member('alice', tracker), answering(await net.member('bob', tracker))];
  await seen(alice, bob);
  using eve = await Visitor.create('eve', 'lab');
  const link = await eve.to(tracker);
  const asked = { to: at(bob), kind: 'echo', body: { text: 'hi' } };
  await expect(link.request(signal, asked)).rejects.toMatchObject({ code: 'forbidden' });
  const asks = Array.from({ length: 400 }, () => alice.node.signals.ask(at(bob), 'echo', { text: 'hi' }));
  const ends = await Promise.allSettled(asks);
  const codes = new Set(ends.map((end) => (end.status === 'rejected' ? (end.reason as Fault).code : 'ok')));
  expect([...codes].filter((code) => !['ok', 'too_many', 'queue_full'].includes(code))).toEqual([]);
  expect(codes).toContain('ok');
  expect(codes).toContain('too_many');
});

test('only own trackers are believed, and what they alone say is not passed on [N-5]', async () => {
  const tracker = await net.tracker();
  const [alice, bob] = [await net.member('alice', tracker), answering(await net.member('bob', tracker))];
  await seen(alice, bob);
  const [link] = alice.node.directory.links();
  const to = at(bob);
  await expect(link?.request(signal, { to, kind: 'relay', body: {} })).rejects.toMatchObject({ code: 'forbidden' });
  // Bob's node is asked by one that is no tracker of his.
  const direct = await alice.node.peers.reach(bob.node.account);
  const lie = { from: at(alice), to: bob.node.account, kind: 'echo', body: { text: 'hi' } };
  await expect(direct.request(signalled, lie)).rejects.toMatchObject({ code: 'forbidden' });
});

test('people of two zones ask each other at the tracker of whom is asked [N-3]', async () => {
  const top = await net.tracker({ name: 'top', zone: 'cse' });
  const lab = await net.tracker({ name: 'lab', zone: 'lab1.cse', parents: [parseInvite(top.invite)] });
  top.zoning.zones.delegate('lab1.cse', { peer: lab.peer, addresses: [...lab.addresses] });
  await until(
    () => lab.zoning.zones.apex('lab1.cse').parent,
    (above) => above !== null,
  );
  const [alice, bob] = [await net.member('alice', top), answering(await net.member('bob', lab))];
  const { account, node } = await alice.node.directory.find('bob@lab1.cse');
  const said = await alice.node.signals.ask({ account, node }, 'echo', { text: 'over there' });
  expect(said).toEqual({ text: 'over there', account: alice.node.account });
  expect(bob.node.directory.links()).toHaveLength(1);
});

test('in a cluster a signal comes to whichever process has the link [N-6]', async ({ skip }) => {
  needsNats(skip);
  await using nats = await Nats.start(1);
  await using doors = await Doors.open(nats);
  const signalsOf = (visitor: Visitor, links: Link[]): Signals =>
    new Signals({
      trackersOf: async () => links,
      isOwnTracker: (link) => links.includes(link),
      hosts: (account) => account === visitor.id,
      blocked: () => false,
    }).attach(visitor.router);
  using ann = await doors.visitor('ann');
  using ben = await doors.visitor('ben');
  const [a, b] = [await ann.to(doors.at(0)), await ben.to(doors.at(1))];
  await ann.announce(a);
  await ben.announce(b);
  signalsOf(ben, [b]).answer('echo', echo, ({ account }, { text }) => ({ text, account }));
  const to = { account: ben.id, node: ben.identity.id };
  const signals = signalsOf(ann, [a]);
  const said = await until(
    () => signals.ask(to, 'echo', { text: 'to the other door' }).catch(({ code }: Fault) => code),
    (answer) => answer !== 'peer_unreachable',
  );
  expect(said).toEqual({ text: 'to the other door', account: ann.id });
  await expect(signals.ask(to, 'other', {})).rejects.toMatchObject({ code: 'unknown_operation' });
}, 120_000);
