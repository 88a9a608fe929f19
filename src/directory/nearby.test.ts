import { expect, test } from 'vitest';
import { silentLog } from '../base/log.ts';
import { Store } from '../base/sqlite.ts';
import { bind } from '../link/binding.ts';
import { Key } from '../link/identity.ts';
import { Nearby, nearHandle, nearOf } from './nearby.ts';
import { OwnRecord } from './own.ts';
import { People } from './people.ts';
import { type Claim, type DirectoryRecord, signRecord } from './record.ts';
import { HandClock } from './testing.ts';

const clock = new HandClock();
const ADDRESS = '192.0.2.7:33357';

function somebody(name: string) {
  const [account, node] = [Key.generate(), Key.generate()];
  const record = (over: Partial<Claim> = {}): DirectoryRecord =>
    signRecord(account, {
      handle: nearHandle(name, account.id),
      node: node.id,
      addresses: [ADDRESS, '198.51.100.1:1'],
      status: 'online',
      text: '',
      seq: Math.floor(clock.now() / 1000),
      until: clock.now() + 60_000,
      ...over,
    });
  return { account, node, record };
}

/** Somebody's link to us, on which they say `record` of themselves. */
function linkOf(
  { account, node }: ReturnType<typeof somebody>,
  says: () => DirectoryRecord,
  over: { dialled?: boolean; address?: string } = {},
) {
  const binding = bind(account, 'bob@lab', node.id, clock.now());
  // It answers the one question that is asked of it.
  const request = (async () => ({ record: says() })) as never;
  return { account: binding, peer: node.id, dialled: false, address: '192.0.2.7:50000', request, ...over };
}

function home() {
  const account = Key.generate();
  const own = new OwnRecord({ account, handle: 'me@lab', node: Key.generate().id, addresses: () => [], clock });
  const people = new People({ self: account.id, store: new Store(':memory:'), clock, log: silentLog() });
  people.load();
  return { people, nearby: new Nearby({ own, people: () => people, log: silentLog() }) };
}

test('somebody without a tracker is known by a name that is made of their key [N-57]', async () => {
  const { people, nearby } = home();
  const bob = somebody('bob');
  const met = await nearby.meet(linkOf(bob, () => bob.record()));
  const handle = `bob@${bob.account.id.slice(0, 16)}.local`;
  expect(met).toMatchObject({ handle, account: bob.account.id, node: bob.node.id, status: 'online' });
  // Of what he says, what is at the host that he spoke from.
  expect(met?.addresses).toEqual([ADDRESS]);
  expect([nearOf(handle), nearOf('bob@local'), nearOf('bob@lab.local'), nearOf('bob@lab')]).toEqual([
    { name: 'bob', key: bob.account.id.slice(0, 16) },
    { name: 'bob', key: undefined },
    undefined,
    undefined,
  ]);
  nearby.parted(bob.account.id);
  expect(people.get(bob.account.id)).toMatchObject({ status: 'offline', addresses: [ADDRESS] });
  const again = linkOf(bob, () => bob.record(), { dialled: true, address: 'bob.example:33357' });
  expect(await nearby.meet(again)).toMatchObject({ status: 'online', addresses: ['bob.example:33357'] });
});

test('what a tracker says of somebody is later than what they say by their link [N-57]', async () => {
  const { people, nearby } = home();
  const bob = somebody('bob');
  await nearby.meet(linkOf(bob, () => bob.record()));
  const record = bob.record({ handle: 'bob@lab', seq: clock.now() - 3600_000 });
  const entry = { record, verified: [ADDRESS], observed: null, near: false, online: true, lastSeen: clock.now() };
  people.take('tracker', { full: false, entries: [entry], gone: [] });
  expect(people.get(bob.account.id)?.handle).toBe('bob@lab');
  expect(nearby.isMet(bob.account.id)).toBe(false);
  await nearby.meet(linkOf(bob, () => bob.record()));
  expect(people.get(bob.account.id)?.handle).toBe('bob@lab');
});

test('what the keys of the link do not prove is not taken, and pins nothing [N-57]', async () => {
  const { people, nearby } = home();
  const [bob, mallory] = [somebody('bob'), somebody('mallory')];
  const lies: DirectoryRecord[] = [
    bob.record(), // somebody else's, as it is
    mallory.record({ handle: 'boss@cse.hcmut' }),
    mallory.record({ handle: 'mallory@local' }),
    mallory.record({ handle: nearHandle('bob', bob.account.id) }),
    mallory.record({ node: bob.node.id }),
    mallory.record({ until: clock.now() - 1 }),
    { ...mallory.record(), text: 'signed otherwise' },
  ];
  for (const lie of lies) expect(await nearby.meet(linkOf(mallory, () => lie))).toBeUndefined();
  expect(people.all()).toEqual([]);
  for (const { handle } of lies) expect(people.byHandle(handle)).toBeUndefined();
  expect(people.pin('boss@cse.hcmut', bob.account.id)).toBe(bob.account.id);
});
