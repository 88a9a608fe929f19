import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Store } from '../base/sqlite.ts';
import { type Change, DirectoryTable } from './table.ts';
import { Guest, HandClock } from './testing.ts';

function lab(): { clock: HandClock; store: Store; table: DirectoryTable; again: () => DirectoryTable } {
  const clock = new HandClock();
  const store = new Store(':memory:');
  const make = (): DirectoryTable => new DirectoryTable({ store, clock });
  return { clock, store, table: make(), again: make };
}

const read = ({ rows, ...rest }: Change) => ({ ...rest, rows: [...rows] });

const here = '192.0.2.1';
const fault = (code: string) => expect.objectContaining({ code });

test('the first key that announces a handle owns it for good, also after a restart [D-5]', () => {
  const { clock, table, again } = lab();
  const [alice, mallory] = [new Guest('alice', clock), new Guest('alice', clock)];
  table.announce(alice.record(), here, {}, []);
  expect(() => table.announce(mallory.record(), here, {}, [])).toThrow(fault('name_taken'));
  expect(() => again().announce(mallory.record(), here, {}, [])).toThrow(
    expect.objectContaining({ code: 'name_taken', message: expect.stringContaining('choose another name') }),
  );
  expect(again().find('alice@lab').record.account).toBe(alice.account.id);
});

test('an account owns at most 8 handles, and answers to the last one only [D-6]', () => {
  const { clock, table } = lab();
  const alice = new Guest('alice', clock);
  const owner = {};
  for (let n = 0; n < 8; n++) {
    clock.pass(1);
    table.announce(alice.record({ handle: `a${n}@lab` }), here, owner, []);
  }
  clock.pass(1);
  expect(() => table.announce(alice.record({ handle: 'a8@lab' }), here, owner, [])).toThrow(fault('too_many'));
  expect(table.find('a7@lab').record.account).toBe(alice.account.id);
  expect(() => table.find('a0@lab')).toThrow(
    expect.objectContaining({ code: 'unknown_handle', message: expect.stringContaining('a7@lab') }),
  );
});

test('an older or equal seq never replaces a newer one, nor a record that is over [D-4]', () => {
  const { clock, table } = lab();
  const alice = new Guest('alice', clock);
  const owner = {};
  const old = alice.record({ addresses: ['192.0.2.9:1'] });
  table.announce(alice.record({ seq: clock.now() + 5 }), here, owner, []);
  expect(() => table.announce(old, here, owner, [])).toThrow(fault('wrong_state'));
  expect(() => table.announce(alice.record({ seq: clock.now() + 5 }), here, owner, [])).toThrow(fault('wrong_state'));
  const over = alice.record({ seq: clock.now() + 6, until: clock.now() });
  expect(() => table.announce(over, here, owner, [])).toThrow(
    expect.objectContaining({ code: 'invalid_argument', data: { now: clock.now() } }),
  );
  const forever = alice.record({ seq: clock.now() + 6, until: clock.now() + 25 * 3600_000 });
  expect(() => table.announce(forever, here, owner, [])).toThrow(fault('invalid_argument'));
  expect(table.find('alice@lab').record.addresses).toEqual([]);
});

test('a record that its account did not sign is bad_signature, and binds nothing [D-2]', () => {
  const { clock, table } = lab();
  const alice = new Guest('alice', clock);
  expect(() => table.announce({ ...alice.record(), text: 'x' }, here, {}, [])).toThrow(fault('bad_signature'));
  expect(() => table.find('alice@lab')).toThrow(fault('unknown_handle'));
});

test('who does not renew goes offline after the TTL, and stays in the list with when they were seen [D-12]', () => {
  const { clock, table } = lab();
  const alice = new Guest('alice', clock);
  const owner = {};
  table.announce(alice.record(), here, owner, []);
  clock.pass(60_000);
  const { seq, until, sig } = alice.record();
  const before = table.version;
  table.renew(alice.account.id, { seq, until, sig }, owner);
  expect(table.version).toBe(before); // a heartbeat is no news
  clock.pass(89_999);
  table.sweep();
  expect(table.find('alice@lab').online).toBe(true);
  clock.pass(1);
  table.sweep();
  expect(table.find('alice@lab')).toMatchObject({ online: false, lastSeen: clock.now() - 90_000 });
  expect(table.version).not.toBe(before);
});

test('a record may end sooner than the TTL [D-12]', () => {
  const { clock, table } = lab();
  const alice = new Guest('alice', clock);
  table.announce(alice.record({ until: clock.now() + 1000 }), here, {}, []);
  clock.pass(1000);
  table.sweep();
  expect(table.find('alice@lab').online).toBe(false);
});

test('the end of a link counts after the grace, unless another link has announced since [D-13]', () => {
  const { clock, table } = lab();
  const alice = new Guest('alice', clock);
  const [first, second] = [{}, {}];
  table.announce(alice.record(), here, first, []);
  table.linkEnded(alice.account.id, first);
  clock.pass(2000);
  table.sweep();
  expect(table.find('alice@lab').online).toBe(true);
  table.announce(alice.record(), here, second, []);
  table.linkEnded(alice.account.id, first);
  clock.pass(5000);
  table.sweep();
  expect(table.find('alice@lab').online).toBe(true);
  table.linkEnded(alice.account.id, second);
  clock.pass(3000);
  table.sweep();
  expect(table.find('alice@lab').online).toBe(false);
});

test('a renewal from a link that has not announced is wrong_state [D-12]', () => {
  const { clock, table } = lab();
  const alice = new Guest('alice', clock);
  table.announce(alice.record(), here, {}, []);
  clock.pass(1);
  const { seq, until, sig } = alice.record();
  expect(() => table.renew(alice.account.id, { seq, until, sig }, {})).toThrow(fault('wrong_state'));
});

test('since a version only what changed is listed; a version of another epoch gets everybody [D-15]', () => {
  const { clock, table, again } = lab();
  const [alice, bob] = [new Guest('alice', clock), new Guest('bob', clock)];
  const [a, b] = [{}, {}];
  table.announce(alice.record(), here, a, []);
  const v1 = table.version;
  expect(read(table.since(v1))).toEqual({ full: false, rows: [], gone: [] });
  table.announce(bob.record(), here, b, []);
  expect(read(table.since(v1)).rows.map(({ record }) => record.handle)).toEqual(['bob@lab']);
  expect(read(table.since(undefined))).toMatchObject({ full: true, rows: { length: 2 } });
  expect(table.since(`${table.version}9`).full).toBe(true); // a version that never was
  clock.pass(1);
  table.announce(alice.record({ status: 'busy' }), here, a, []);
  expect(read(table.since(v1)).rows).toHaveLength(2);
  table.flush();
  const later = again();
  expect(read(later.since(table.version))).toMatchObject({ full: true, rows: { length: 2 } });
  expect(Number(later.version.split('-')[0])).toBeGreaterThan(Number(table.version.split('-')[0]));
  clock.pass(-10_000); // a clock that was set back does not make an epoch come twice
  expect(Number(again().version.split('-')[0])).toBeGreaterThan(Number(later.version.split('-')[0]));
});

test('after a restart people keep their place: online for the grace, then offline with when they were seen', () => {
  const { clock, table, again } = lab();
  const alice = new Guest('alice', clock);
  table.announce(alice.record(), here, {}, ['192.0.2.1:33357']);
  table.flush();
  const seen = clock.now();
  clock.pass(1000);
  const quick = again();
  expect(quick.find('alice@lab')).toMatchObject({ online: true, verified: ['192.0.2.1:33357'] });
  clock.pass(3000);
  quick.sweep();
  expect(quick.find('alice@lab')).toMatchObject({ online: false, lastSeen: seen });
  expect(again().find('alice@lab')).toMatchObject({ online: false, lastSeen: seen });
});

test('who has not been here for half a year leaves the list, and is told of as gone; the handle stays theirs', () => {
  const { clock, table } = lab();
  const [alice, mallory] = [new Guest('alice', clock), new Guest('alice', clock)];
  table.announce(alice.record(), here, {}, []);
  clock.pass(90_000);
  table.sweep();
  const before = table.version;
  clock.pass(180 * 24 * 3600_000);
  table.forget();
  expect(read(table.since(before))).toEqual({ full: false, rows: [], gone: [alice.account.id] });
  expect(() => table.announce(mallory.record(), here, {}, [])).toThrow(fault('name_taken'));
});

test('who was revoked and comes back by another name is told of once, and found by that name alone [A-20] [D-16]', () => {
  const { clock, table } = lab();
  const [bob, carol] = [new Guest('bob', clock), new Guest('carol', clock)];
  const { version } = table;
  table.announce(bob.record(), here, {}, []);
  table.announce(carol.record(), here, {}, []);
  table.revoke('bob@lab');
  expect(read(table.since(version)).gone).toEqual([bob.account.id]);
  expect(() => table.find('bob@lab')).toThrow(fault('unknown_handle'));
  clock.pass(1);
  table.announce(bob.record({ handle: 'rob@lab' }), here, {}, []);
  const byId = (a: string, b: string): number => (a < b ? -1 : 1);
  for (const since of [version, undefined]) {
    const { rows, gone } = read(table.since(since));
    expect(rows.map(({ account }) => account)).toEqual([bob.account.id, carol.account.id].toSorted(byId));
    expect(rows.map(({ record }) => record.handle)).toContain('rob@lab');
    expect(gone).toEqual([]);
  }
  expect(table.find('rob@lab').account).toBe(bob.account.id);
});

test('a name that was freed while its former owner was away leads to the next owner, also after a restart [A-21] [A-23]', () => {
  const { clock, table, again } = lab();
  const [bob, eve] = [new Guest('bob', clock), new Guest('bob', clock)];
  const owner = {};
  table.announce(bob.record(), here, owner, []);
  table.goodbye(bob.account.id, owner);
  table.rename('bob@lab', 'rob@lab');
  expect(table.find('bob@lab').account).toBe(bob.account.id); // until then, others see the last record
  table.free('bob@lab');
  expect(() => table.find('bob@lab')).toThrow(fault('unknown_handle'));
  table.announce(eve.record(), here, {}, []);
  for (const one of [table, again()]) {
    expect(one.find('bob@lab').account).toBe(eve.account.id);
    expect(one.get(bob.account.id)?.record.handle).toBe('bob@lab');
  }
  clock.pass(1);
  table.announce(bob.record({ handle: 'rob@lab' }), here, {}, []);
  expect(table.find('bob@lab').account).toBe(eve.account.id);
  expect(table.find('rob@lab').account).toBe(bob.account.id);
});

test('what is agreed upon elsewhere, in whatever order its versions come, is told as if all rows were looked at [K-5]', () => {
  const { clock } = lab();
  const guests = Array.from({ length: 5 }, (_, n) => new Guest(`g${n}`, clock));
  const change = fc.record({
    who: fc.nat(guests.length - 1),
    kind: fc.constantFrom('news', 'renewed', 'gone'),
    online: fc.boolean(),
    gap: fc.integer({ min: 1, max: 4 }),
    changed: fc.integer({ min: 1, max: 20 }),
  });
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 30 }), (all) => {
      const table = new DirectoryTable({ store: new Store(':memory:'), clock, epoch: 7 });
      const [versions, listed] = [new Map<string, number>(), new Map<string, boolean>()];
      let at = 0;
      for (const { who, kind, online, gap, changed } of all) {
        at += gap;
        const guest = guests[who];
        if (!guest) throw new Error('there is such a guest');
        const { account } = guest;
        if (kind === 'gone') {
          table.mergeGone(account.id, at);
          versions.delete(account.id);
          listed.delete(account.id);
          continue;
        }
        const row = {
          verified: [],
          observed: here,
          online,
          lastSeen: clock.now(),
          changed: kind === 'news' ? 0 : changed,
        };
        table.merge({ ...row, record: guest.record() }, at);
        versions.set(account.id, row.changed || at);
        listed.set(account.id, online);
      }
      expect([table.size, table.online]).toEqual([listed.size, [...listed.values()].filter(Boolean).length]);
      for (const { account, name } of guests) {
        if (listed.has(account.id)) expect(table.known(`${name}@lab`)?.account).toBe(account.id);
        else expect(table.known(`${name}@lab`)).toBeUndefined();
      }
      for (let asked = 0; asked <= table.counter; asked++) {
        const { full, rows } = read(table.since(`7-${asked}`));
        const wanted = [...versions].flatMap(([account, version]) => (full || version > asked ? account : []));
        expect(rows.map(({ account }) => account)).toEqual(wanted.toSorted());
      }
    }),
    { numRuns: 60 },
  );
});
