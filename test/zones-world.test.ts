/** Zones that no tracker of one's own leads to: by DNS, with a key that stays. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../src/base/clock.ts';
import { Store } from '../src/base/sqlite.ts';
import { Finder } from '../src/directory/finder.ts';
import { parseInvite } from '../src/directory/invite.ts';
import { lookUpWith } from '../src/directory/zone-dns.ts';
import { DnsServer } from './dns.ts';
import { TestNet } from './testnet.ts';

let net: TestNet;
let dns: DnsServer;
beforeEach(async () => {
  net = await TestNet.create();
  dns = await new DnsServer().start();
});
afterEach(async () => {
  await net[Symbol.asyncDispose]();
  await dns[Symbol.asyncDispose]();
});

test('a zone of another tree is found by SRV, by oneself and by one’s tracker, and so are those below it [Z-40]', async () => {
  const home = await net.tracker({ name: 'home', zone: 'cse', dns: [dns.address] });
  const far = await net.tracker({ name: 'far', zone: 'example.org' });
  const lab = await net.tracker({ name: 'lab', zone: 'lab.example.org', parents: [parseInvite(far.invite)] });
  far.zoning.zones.delegate('lab.example.org', { peer: lab.peer, addresses: [...lab.addresses] });
  dns.zone('example.org', far.port, `netapp1 key=${far.peer}`);
  const alice = await net.member('alice', home, { dns: [dns.address] });
  const bob = await net.member('bob', far);
  const carol = await net.member('carol', lab);
  const own = await alice.node.directory.trace('bob@example.org', { mode: 'iterative' });
  expect(own.person.account).toBe(bob.node.account);
  expect(own.steps.map(({ zone, how, answer }) => [zone, how, answer])).toEqual([
    ['cse', 'link', 'unknown'],
    ['example.org', 'dns', 'referral'],
    ['example.org', 'link', 'record'],
  ]);
  const { person, steps } = await alice.node.directory.trace('carol@lab.example.org', { mode: 'recursive' });
  expect(person.account).toBe(carol.node.account);
  expect(steps.map(({ zone, how, answer }) => [zone, how, answer])).toEqual([
    ['cse', 'recursive', 'record'],
    ['cse', 'self', 'unknown'],
    ['lab.example.org', 'dns', 'unknown'],
    ['example.org', 'dns', 'referral'],
    ['example.org', 'link', 'referral'],
    ['lab.example.org', 'link', 'record'],
  ]);
  await expect(alice.node.directory.trace('eve@nowhere.net')).rejects.toMatchObject({ code: 'unknown_zone' });
  const said = await alice.client.messages.say({ handle: 'bob@example.org', text: 'hello, world' });
  await bob.event('message.received', ({ id }) => id === said.id);
});

test('the first key of a zone stays, whatever DNS leads to later [Z-41]', async () => {
  const home = await net.tracker({ name: 'home', zone: 'cse', dns: null });
  const far = await net.tracker({ name: 'far', zone: 'example.org' });
  dns.zone('example.org', far.port);
  let alice = await net.member('alice', home, { dns: [dns.address] });
  await net.member('bob', far);
  await alice.node.directory.trace('bob@example.org', { mode: 'iterative' });
  const impostor = await net.tracker({ name: 'impostor', zone: 'example.org' });
  await net.member('eve', impostor);
  dns.zone('example.org', impostor.port, `netapp1 key=${impostor.peer}`);
  await net.stop(alice);
  alice = await net.member('alice', home, { dns: [dns.address] });
  const refused = alice.node.directory.trace('eve@example.org', { mode: 'iterative' });
  await expect(refused).rejects.toMatchObject({ code: 'key_changed' });
  await refused.catch((error) =>
    expect(error.data.trace.at(-1)).toMatchObject({ how: 'dns', answer: 'refused', code: 'key_changed' }),
  );
  // Until the user, who asked whoever runs it, says that this is its key [Z-43]; then the one from before is none.
  const accepted = await alice.client.zones.acceptKey({ zone: 'example.org', key: impostor.peer });
  expect(accepted).toEqual({ zone: 'example.org', key: impostor.peer, before: far.peer });
  await alice.node.directory.trace('eve@example.org', { mode: 'iterative' });
  await net.stop(alice);
  dns.zone('example.org', far.port);
  alice = await net.member('alice', home, { dns: [dns.address] });
  await expect(alice.node.directory.trace('bob@example.org', { mode: 'iterative' })).rejects.toMatchObject({
    code: 'key_changed',
  });
});

test('a key in TXT that is not the one that answers is refused [Z-41]', async () => {
  const far = await net.tracker({ name: 'far', zone: 'example.org' });
  const home = await net.tracker({ name: 'home', zone: 'cse' });
  dns.zone('example.org', far.port, `netapp1 key=${home.peer}`);
  const alice = await net.member('alice', home, { dns: [dns.address] });
  await expect(alice.node.directory.trace('bob@example.org', { mode: 'iterative' })).rejects.toMatchObject({
    code: 'key_changed',
  });
});

test('what DNS of the world says does not lead into this machine [Z-42]', async () => {
  const far = await net.tracker({ name: 'far', zone: 'example.org' });
  dns.zone('example.org', far.port);
  // As the world's: its own address says nothing about what it may name.
  const lookUp = lookUpWith([dns.address]);
  const found = await lookUp('example.org', AbortSignal.timeout(5000));
  expect(found).toEqual({ addresses: [`127.0.0.1:${far.port}`], key: undefined });
  using store = new Store(':memory:');
  const dialled: string[] = [];
  await using finder = new Finder({
    store,
    clock: systemClock,
    start: async () => undefined,
    dial: async (address) => {
      dialled.push(address);
      throw new Error('never dialled');
    },
    names: {
      lookUp,
      scope: 'public',
      keyAt: async (address) => {
        dialled.push(address);
        return far.peer;
      },
    },
  });
  const { fault } = await finder.find({ handle: 'bob@example.org', deadlineMs: 5000 });
  expect(fault?.code).toBe('bad_referral');
  expect(dialled).toEqual([]);
});

test('where no DNS answers, that is said, and it is asked again', async () => {
  const home = await net.tracker({ name: 'home', zone: 'cse' });
  const silent = await new DnsServer().start();
  const { address } = silent;
  await silent[Symbol.asyncDispose]();
  const alice = await net.member('alice', home, { dns: [address] });
  await expect(alice.node.directory.trace('bob@example.org', { mode: 'iterative' })).rejects.toMatchObject({
    code: 'timeout',
  });
});
