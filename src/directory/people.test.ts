import { expect, test } from 'vitest';
import { silentLog } from '../base/log.ts';
import { Store } from '../base/sqlite.ts';
import { Key } from '../link/identity.ts';
import type { Entry } from './messages.ts';
import { People, type PeopleChange } from './people.ts';
import { Guest, HandClock } from './testing.ts';

function home(): { clock: HandClock; people: People; again: () => People; changes: PeopleChange[] } {
  const clock = new HandClock();
  const store = new Store(':memory:');
  const self = Key.generate().id;
  const make = (): People => {
    const made = new People({ self, store, clock, log: silentLog() });
    made.load();
    return made;
  };
  const people = make();
  const changes: PeopleChange[] = [];
  people.onChange((change) => changes.push(change));
  return { clock, people, again: make, changes };
}

const entryOf = (guest: Guest, over: Partial<Entry> = {}): Entry => ({
  record: guest.record(),
  verified: ['198.51.100.9:1'],
  observed: null,
  near: false,
  online: true,
  lastSeen: guest.clock.now(),
  ...over,
});
const page = (...entries: Entry[]): { full: boolean; entries: Entry[]; gone: string[] } => ({
  full: false,
  entries,
  gone: [],
});

test('a record that its account did not sign is dropped, and pins nothing [D-7]', () => {
  const { clock, people, changes } = home();
  const bob = new Guest('bob', clock);
  people.take('t', page(entryOf(bob, { record: { ...bob.record(), addresses: ['203.0.113.66:1'] } })));
  expect(people.all()).toEqual([]);
  const other = new Guest('bob', clock);
  people.take('t', page(entryOf(other)));
  expect(people.byHandle('bob@lab')?.account).toBe(other.account.id);
  expect(changes.map(({ type }) => type)).toEqual(['online']);
});

test('a handle keeps its first key, also after a restart; another is told of and not taken [D-8]', () => {
  const { clock, people, again, changes } = home();
  const [bob, mallory] = [new Guest('bob', clock), new Guest('bob', clock)];
  people.take('t', page(entryOf(bob)));
  people.take('t', page(entryOf(mallory)));
  people.take('t', page(entryOf(mallory)));
  expect(people.byHandle('bob@lab')?.account).toBe(bob.account.id);
  expect(changes.slice(1)).toEqual([
    { type: 'key_changed', handle: 'bob@lab', pinned: bob.account.id, shown: mallory.account.id, tracker: 't' },
  ]);
  const later = again();
  later.take('t', page(entryOf(mallory)));
  expect(later.conflict('bob@lab')).toMatchObject({ pinned: bob.account.id, shown: mallory.account.id });
  later.repin('bob@lab', mallory.account.id);
  later.take('t', page(entryOf(mallory)));
  expect(later.byHandle('bob@lab')?.account).toBe(mallory.account.id);
  expect(later.conflict('bob@lab')).toBeUndefined();
});

test('an older record shown again replaces nothing [D-4]', () => {
  const { clock, people } = home();
  const bob = new Guest('bob', clock);
  const old = entryOf(bob, { record: bob.record({ text: 'old' }) });
  clock.pass(1);
  people.take('t', page(entryOf(bob, { record: bob.record({ text: 'new' }) })));
  people.take('u', page(old));
  expect(people.byHandle('bob@lab')?.text).toBe('new');
});

test('only verified addresses may be dialled, and by who is at the same host those within or at it [D-22] [D-23]', () => {
  const { clock, people } = home();
  const bob = new Guest('bob', clock);
  const record = bob.record({ addresses: ['10.0.0.5:1', '203.0.113.66:25', '203.0.113.7:1'] });
  people.take('t', page(entryOf(bob, { record })));
  expect(people.byHandle('bob@lab')?.addresses).toEqual(['198.51.100.9:1']);
  people.take('t', page(entryOf(bob, { record, near: true, observed: '203.0.113.7' })));
  expect(people.byHandle('bob@lab')?.addresses).toEqual(['10.0.0.5:1', '203.0.113.7:1', '198.51.100.9:1']);
});

test('people are told of once as they come, change and go; heartbeats are no news', () => {
  const { clock, people, changes } = home();
  const bob = new Guest('bob', clock);
  people.take('t', page(entryOf(bob)));
  clock.pass(1);
  people.take('t', page(entryOf(bob)));
  clock.pass(1);
  people.take('t', page(entryOf(bob, { record: bob.record({ status: 'busy' }) })));
  people.take('t', page(entryOf(bob, { online: false })));
  people.take('t', { full: true, entries: [], gone: [] });
  expect(changes.map(({ type }) => type)).toEqual(['online', 'changed', 'offline']);
  expect(people.byHandle('bob@lab')).toMatchObject({ status: 'offline', addresses: ['198.51.100.9:1'] });
});

test('while a tracker is down what it said counts for one TTL, then people show as offline', () => {
  const { clock, people, changes } = home();
  const bob = new Guest('bob', clock);
  people.take('t', page(entryOf(bob)));
  people.trackerDown('t');
  clock.pass(89_999);
  people.sweep();
  expect(people.byHandle('bob@lab')?.status).toBe('online');
  clock.pass(1);
  people.sweep();
  expect(people.byHandle('bob@lab')?.status).toBe('offline');
  expect(changes.map(({ type }) => type)).toEqual(['online', 'offline']);
});

test('who was known is known after a restart: offline, with where and when they were', () => {
  const { clock, people, again } = home();
  const bob = new Guest('bob', clock);
  people.take('t', page(entryOf(bob)));
  people.flush();
  expect(again().byHandle('bob@lab')).toMatchObject({
    status: 'offline',
    addresses: ['198.51.100.9:1'],
    lastSeen: clock.now(),
    node: bob.node.id,
  });
});
