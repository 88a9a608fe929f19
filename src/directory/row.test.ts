import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { toBase32 } from '../base/encoding.ts';
import { Store } from '../base/sqlite.ts';
import { Key } from '../link/identity.ts';
import { Bindings } from './bindings.ts';
import { type Claim, recordHolds, signRecord } from './record.ts';
import { LiveRow } from './row.ts';
import { DirectoryTable } from './table.ts';
import { Guest, HandClock } from './testing.ts';
import { entryFor, entryText } from './view.ts';

const node = Key.generate().id;
const claimOf = (over: Partial<Claim> = {}): Claim => ({
  handle: 'alice@lab',
  node,
  addresses: ['192.0.2.1:1'],
  status: 'online',
  text: '',
  seq: 1,
  until: 2,
  ...over,
});
const host = fc.constantFrom('127.0.0.1', '10.0.0.5', '192.168.1.1', '192.0.2.1', '203.0.113.7', '::1', 'memory');
const addresses = fc.array(
  host.map((at) => (at === '::1' ? '[::1]:1' : `${at}:1`)),
  { maxLength: 3 },
);

test('an entry that is told from what was encoded before is the one that would be encoded now [D-22] [D-23]', () => {
  const account = Key.generate();
  const change = fc.record(
    {
      verified: addresses,
      observed: host,
      online: fc.boolean(),
      lastSeen: fc.nat(),
      text: fc.constantFrom('', 'xin chào', '☕ 😀', '"\\'),
      asker: host,
    },
    { requiredKeys: ['asker'] },
  );
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 12 }), (changes) => {
      const state = { verified: ['127.0.0.1:1', '203.0.113.7:1'], observed: '203.0.113.7', online: true, lastSeen: 5 };
      const row = LiveRow.of(signRecord(account, claimOf()), state);
      for (const { text, asker, ...rest } of changes) {
        if (text !== undefined) row.record = signRecord(account, claimOf({ text }));
        Object.assign(row, rest);
        for (const eyes of [asker, '10.9.9.9', '127.0.0.1']) {
          expect(JSON.parse(entryText(row, eyes))).toEqual(entryFor(row, eyes));
        }
      }
    }),
    { numRuns: 200 },
  );
});

test('a record keeps its signature and what later versions put into it, whatever letters it is written in [D-2]', () => {
  const account = Key.generate();
  const said = signRecord(account, { ...claimOf({ text: 'Đi ăn trưa ☕ 😀' }), ...{ later: { ключ: ['é', 1] } } });
  const row = LiveRow.of(said, { verified: [], observed: '', online: true, lastSeen: 0 });
  expect(row.record).toEqual(said);
  expect(recordHolds(row.record)).toBe(true);
  expect(row.text).toMatch(/^[\x20-\x7e]*$/);
  expect([row.handle, row.account, row.node]).toEqual([said.handle, said.account, said.node]);
});

test('what a start reads is what was written; a damaged row is left out, one of an older version is read word by word', () => {
  const store = new Store(':memory:');
  const bindings = new Bindings(store);
  const rows = Array.from({ length: 2500 }, (_, n) => {
    const said = claimOf({ handle: `p${n}@lab`, text: n % 2 ? '☕' : '' });
    const record = { ...said, account: toBase32(randomBytes(32)), sig: 'x'.repeat(86) }; // keys cost more than rows
    return LiveRow.of(record, { verified: ['192.0.2.1:1'], observed: '::1', online: n % 3 === 0, lastSeen: n });
  });
  bindings.keep(rows, []);
  const sorted = rows.toSorted((a, b) => (a.account < b.account ? -1 : 1));
  expect([...bindings.load()].map(({ stored }) => stored)).toEqual(sorted.map(({ stored }) => stored));

  const [old, damaged, broken] = rows.slice(0, 3).map(({ account }) => account);
  const set = (what: string, account = ''): void => {
    store.prepare(`UPDATE directory_records SET ${what} WHERE account = ?`).run(account);
  };
  set('sum = NULL, record = replace(record, \'"status"\', \'"later":"ü","status"\')', old);
  set("record = replace(record, '192.0.2.1', 'nowhere')", damaged);
  set("record = replace(record, '192', char(10) || char(9))", broken);
  const loaded = new Map([...bindings.load()].map((row) => [row.account, row]));
  expect(loaded.size).toBe(2498);
  expect(loaded.get(old ?? '')?.record).toMatchObject({ handle: 'p0@lab', later: 'ü' });
  expect(loaded.has(damaged ?? '')).toBe(false);
  expect(loaded.has(broken ?? '')).toBe(false);
});

test('since a version, after an account: what is told is what a look at every row would tell [D-15] [D-16]', () => {
  const clock = new HandClock();
  const table = new DirectoryTable({ store: new Store(':memory:'), clock });
  const guests = Array.from({ length: 8 }, (_, n) => new Guest(`g${n}`, clock));
  const versions = [table.version];
  const known = new Set<string>();
  const step = fc.record({
    who: fc.nat(7),
    what: fc.constantFrom('announce', 'leave', 'hide'),
    since: fc.nat(),
    after: fc.nat(8),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      for (const { who, what, since, after } of steps) {
        clock.pass(1);
        const guest = guests[who];
        if (!guest) continue;
        const { id } = guest.account;
        if (what === 'announce') table.announce(guest.record({ text: `${clock.now()}` }), '192.0.2.1', guest, []);
        if (what === 'announce') known.add(id);
        if (what === 'leave') table.goodbye(id, guest);
        if (what === 'hide') table.hide(id, { from: [], only: since % 2 ? [] : null });
        versions.push(table.version);
        const version = versions[since % versions.length] ?? '';
        const counter = Number(version.split('-')[1]);
        const from = guests[after]?.account.id;
        const expected = [...known]
          .sort()
          .flatMap((account) => table.get(account) ?? [])
          .flatMap((row) => table.shown(row, undefined) ?? [])
          .filter((row) => row.changed > counter && row.account > (from ?? ''));
        const { full, rows } = table.since(version, undefined, from);
        expect(full).toBe(false);
        expect([...rows].map(({ record, changed }) => [record, changed])).toEqual(
          expected.map(({ record, changed }) => [record, changed]),
        );
      }
    }),
    { numRuns: 60 },
  );
  expect(known.size).toBeGreaterThan(1);
});
