/** What a tracker serves, signs, gives away and takes back. */
import { beforeEach, expect, test } from 'vitest';
import { Store } from '../base/sqlite.ts';
import { Key } from '../link/identity.ts';
import { apexHolds, delegationHolds, type Server, STATEMENT_MS } from './delegation.ts';
import { HandClock } from './testing.ts';
import { type Served, Zones } from './zones.ts';

const clock = new HandClock();
let told: string[];

function zonesOf(served: readonly Served[], options: { key?: Key; store?: Store; address?: string } = {}) {
  const key = options.key ?? Key.generate();
  const store = options.store ?? new Store(':memory:');
  const addresses = [options.address ?? '192.0.2.1:22236'];
  const made = new Zones({
    key,
    served,
    addresses: () => addresses,
    changed: (zone, concerns) => {
      told.push(
        ...['child', 'fellow']
          .filter((name) => concerns(name === 'child' ? child.id : fellow.id))
          .map((name) => `${zone} ${name}`),
      );
    },
    store,
    clock,
  });
  return { zones: made, key, store, addresses };
}

let child: Key;
let fellow: Key;
const at = (key: Key, address = '192.0.2.2:22236'): Server => ({ peer: key.id, addresses: [address] });
const inviteOf = (key: Key, zone: string) => ({ peer: key.id, addresses: ['192.0.2.1:22236'], zone });

beforeEach(() => {
  told = [];
  child = Key.generate();
  fellow = Key.generate();
});

test('a zone below is referred to, and kept alive by its key alone [Z-1] [Z-5]', () => {
  const { zones, key } = zonesOf([{ zone: 'cse' }]);
  const below = zonesOf([{ zone: 'lab1.cse', parent: inviteOf(key, 'cse') }], {
    key: child,
    address: '192.0.2.2:22236',
  });
  expect(zones.route('cse', 'bob@lab1.cse')).toMatchObject({ kind: 'unknown', code: 'unknown_zone' });
  expect(() => zones.attach(below.zones.apex('lab1.cse'), child.id)).toThrow(
    expect.objectContaining({ code: 'unknown_zone' }),
  );
  zones.delegate('lab1.cse', at(child));
  expect(told).toEqual(['cse child']);
  const first = zones.route('cse', 'bob@lab1.cse');
  expect(first).toMatchObject({ kind: 'referral', delegation: { key: child.id, parent: 'cse', by: key.id } });
  expect(zones.route('cse', 'eve@group.lab1.cse')).toMatchObject({
    kind: 'referral',
    delegation: { zone: 'lab1.cse' },
  });

  const said = below.zones.apex('lab1.cse');
  expect(() => zones.attach(said, fellow.id)).toThrow(expect.objectContaining({ code: 'forbidden' }));
  expect(() => zones.attach({ ...said, parent: null, seq: said.seq + 1 }, child.id)).toThrow(
    expect.objectContaining({ code: 'bad_signature' }),
  );
  expect(below.zones.renewAt('lab1.cse')).toBe(0);
  below.zones.takeParent('lab1.cse', zones.attach(said, child.id));
  expect(below.zones.apex('lab1.cse')).toMatchObject({ parent: { zone: 'cse', key: key.id } });
  expect(below.zones.renewAt('lab1.cse')).toBe(clock.at + STATEMENT_MS / 3); // [Z-4]
  expect(below.zones.route('lab1.cse', 'alice@cse')).toMatchObject({ kind: 'parent' });
  // Without a sign of life it ends.
  clock.pass(STATEMENT_MS);
  expect(zones.route('cse', 'bob@lab1.cse')).toMatchObject({ kind: 'unknown' });
  expect(() => zones.attach(said, child.id)).toThrow(expect.objectContaining({ code: 'wrong_state' }));
  zones.attach(below.zones.apex('lab1.cse'), child.id);
  expect(zones.route('cse', 'bob@lab1.cse')).toMatchObject({ kind: 'referral' });
});

test('what is above must have signed for this zone and key [Z-5]', () => {
  const { zones, key } = zonesOf([{ zone: 'cse' }]);
  const below = zonesOf([{ zone: 'lab1.cse' }], { key: child });
  zones.delegate('lab1.cse', at(child));
  const given = zones.attach(below.zones.apex('lab1.cse'), child.id);
  const other = zonesOf([{ zone: 'lab1.cse' }]);
  expect(() => other.zones.takeParent('lab1.cse', given)).toThrow(expect.objectContaining({ code: 'bad_referral' }));
  const forged = { ...given, delegation: { ...given.delegation, until: given.delegation.until + 1 } };
  expect(() => below.zones.takeParent('lab1.cse', forged)).toThrow(expect.objectContaining({ code: 'bad_signature' }));
  expect(key.id).toBe(given.apex.key);
});

test('a zone of another key is not given away, and what was given is there after a restart [Z-7] [Z-8]', () => {
  const first = zonesOf([{ zone: 'cse' }]);
  first.zones.delegate('lab1.cse', at(child));
  expect(() => first.zones.delegate('lab1.cse', at(fellow))).toThrow(expect.objectContaining({ code: 'exists' }));
  expect(() => first.zones.delegate('lab.eee', at(child))).toThrow(expect.objectContaining({ code: 'unknown_zone' }));
  const { zones } = zonesOf([{ zone: 'cse' }], first);
  expect(zones.route('cse', 'bob@lab1.cse')).toMatchObject({ kind: 'referral', delegation: { key: child.id } });
  expect(zones.lines(undefined).zones).toMatchObject([
    { zone: 'cse', kind: 'served' },
    { zone: 'lab1.cse', kind: 'delegated', key: child.id, seen: null },
  ]);
  zones.revoke('lab1.cse');
  expect(() => zones.revoke('lab1.cse')).toThrow(expect.objectContaining({ code: 'unknown_zone' }));
  expect(zonesOf([{ zone: 'cse' }], first).zones.route('cse', 'bob@lab1.cse')).toMatchObject({ kind: 'unknown' });
  zones.delegate('lab1.cse', at(fellow)); // now it may be another's
});

test('a further tracker answers by what the primary signed, and forgets what was taken back [Z-6]', () => {
  const { zones, key, store } = zonesOf([{ zone: 'cse' }]);
  const second = zonesOf([{ zone: 'cse', primary: inviteOf(key, 'cse') }], { key: fellow });
  expect(() => second.zones.apex('cse')).toThrow(expect.objectContaining({ code: 'wrong_state' }));
  expect(() => zones.copyFor('cse', fellow.id, undefined)).toThrow(expect.objectContaining({ code: 'forbidden' }));
  zones.delegate('cse', at(fellow));
  zones.delegate('lab1.cse', at(child));
  expect(told).toEqual(['cse fellow', 'cse child', 'cse fellow']);
  const take = () => {
    const { apex, delegations } = zones.copyFor('cse', fellow.id, undefined);
    second.zones.takeCopy('cse', key.id, apex, delegations);
    return { apex, delegations };
  };
  const old = take();
  expect(second.zones.apex('cse').trackers.map(({ peer }) => peer)).toEqual([key.id, fellow.id]);
  const referred = second.zones.route('cse', 'bob@lab1.cse');
  expect(referred).toMatchObject({ kind: 'referral', delegation: { by: key.id } });
  if (referred?.kind === 'referral') expect(delegationHolds(referred.delegation)).toBe(true);
  const restarted = zonesOf([{ zone: 'cse', primary: inviteOf(key, 'cse') }], { key: fellow, store: second.store });
  expect(restarted.zones.route('cse', 'bob@lab1.cse')).toMatchObject({ kind: 'referral' });

  zones.revoke('lab1.cse');
  clock.pass(1000);
  zones.delegate('cse', at(Key.generate()));
  take();
  expect(second.zones.route('cse', 'bob@lab1.cse')).toMatchObject({ kind: 'unknown' });
  expect(() => second.zones.takeCopy('cse', key.id, old.apex, old.delegations)).toThrow(
    expect.objectContaining({ code: 'wrong_state' }),
  );
  expect(() => second.zones.takeCopy('cse', child.id, old.apex, old.delegations)).toThrow(
    expect.objectContaining({ code: 'bad_signature' }),
  );
  expect(store).toBeDefined();
  zones.revoke('cse', fellow.id);
  expect(zones.apex('cse').trackers.map(({ peer }) => peer)).not.toContain(fellow.id);
});

test('one tracker of several zones refers to itself, signed; and asks above as the zone that is nearest [Z-10]', () => {
  const { zones, key } = zonesOf([{ zone: 'cse' }, { zone: 'lab1.cse' }, { zone: 'other' }]);
  const referred = zones.route('cse', 'bob@lab1.cse');
  expect(referred).toMatchObject({ kind: 'referral', delegation: { key: key.id, parent: 'cse', zone: 'lab1.cse' } });
  if (referred?.kind === 'referral') expect(delegationHolds(referred.delegation)).toBe(true);
  expect(zones.route('lab1.cse', 'bob@lab1.cse')).toBe(undefined);
  expect(() => zones.route('eee', 'bob@lab1.cse')).toThrow(expect.objectContaining({ code: 'unknown_zone' }));
  expect(zones.startFor('bob@lab1.cse')).toBe('lab1.cse');
  expect(zones.startFor('bob@lab2.cse')).toBe('cse');
  expect(apexHolds(zones.apex('other'))).toBe(true);
});
