import fc from 'fast-check';
import { expect, test } from 'vitest';
import { toBase32 } from '../base/encoding.ts';
import { Store } from '../base/sqlite.ts';
import { Places } from './places.ts';
import { migrateChat, Statements } from './tables.ts';

/** Fewer than a node gathers, so that many are written. */
const TOGETHER = 4096;

/** A log of entries of which only ids and places matter. */
class Log {
  readonly store = new Store(':memory:');
  places = this.#open();
  readonly ids = new Map<string, number>();

  #open(): Places {
    migrateChat(this.store);
    return new Places(new Statements(this.store), this.store, { together: TOGETHER });
  }

  /** As after a kill: nothing is left of what was in memory. */
  reopen(): void {
    this.places = this.#open();
  }

  append(ids: readonly string[], { fails = false } = {}): void {
    const insert = this.store.prepare(
      `INSERT INTO entries (place, id, conversation, author, seq, at, kind, body, sig, bytes, stored_at)
       VALUES (?, ?, 1, 2, ?, 1, 'text', '{}', '', 1, 1)`,
    );
    const placed: [string, number][] = [];
    const work = (): void => {
      for (const id of ids) {
        const place = this.places.next();
        insert.run(place, id, place);
        this.places.add(id, place);
        placed.push([id, place]);
      }
      if (fails) throw new Error('undone');
    };
    if (fails) return void expect(() => this.store.transaction(work)).toThrow('undone');
    this.store.transaction(work);
    for (const [id, place] of placed) this.ids.set(id, place);
  }

  drop(id: string): void {
    const place = this.ids.get(id) ?? 0;
    this.store.transaction(() => {
      this.places.drop(id, place);
      this.store.prepare('DELETE FROM entries WHERE place = ?').run(place);
    });
    this.ids.delete(id);
  }

  get written(): number {
    return this.store.prepare<{ n: number }>('SELECT count(*) AS n FROM places').get()?.n ?? 0;
  }
}

let made = 0;
const bytesOf = (n: number): Uint8Array => {
  const bytes = new Uint8Array(32);
  new DataView(bytes.buffer).setUint32(28, n);
  return bytes;
};
/** Ids as hashes have them; some begin with the same characters, as only few hashes do. */
function newIds(count: number, alike: number): string[] {
  return Array.from({ length: count }, () => {
    made += 1;
    const bytes = bytesOf(made);
    const start = made % 10 < alike ? made % 3 : Math.imul(made, 2_654_435_761) >>> 0;
    new DataView(bytes.buffer).setUint32(0, start);
    return toBase32(bytes);
  });
}

const some = (ids: Iterable<string>): string[] => [...ids].filter((_, n, all) => n % Math.ceil(all.length / 40) === 0);

test('an entry is found by its id, or the beginning of it, whatever was undone, dropped or killed meanwhile', async () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('append'), count: fc.integer({ min: 1, max: 1500 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('undo'), count: fc.integer({ min: 1, max: 600 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('drop'), count: fc.integer({ min: 1, max: 20 }) }) },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('wait'), count: fc.constant(0) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('reopen'), count: fc.constant(0) }) },
  );
  const steps = fc.array(step, { minLength: 20, maxLength: 60 });
  await fc.assert(
    fc.asyncProperty(steps, fc.integer({ min: 0, max: 3 }), async (all, alike) => {
      const log = new Log();
      using _ = log.store;
      const gone: string[] = [];
      for (const { kind, count } of all) {
        const ids = newIds(count, alike);
        if (kind === 'append') log.append(ids);
        else if (kind === 'undo') {
          log.append(ids, { fails: true });
          gone.push(...ids);
        } else if (kind === 'drop') {
          for (const id of some(log.ids.keys()).slice(0, count)) {
            log.drop(id);
            gone.push(id);
          }
        } else if (kind === 'reopen') log.reopen();
        else for (let turns = 0; turns < 4; turns++) await new Promise((done) => setImmediate(done));
        for (const id of some(log.ids.keys())) expect(log.places.of(id)).toBe(log.ids.get(id));
        for (const id of some(gone)) expect(log.places.of(id)).toBeUndefined();
      }
      for (const id of some(log.ids.keys()).slice(0, 10)) {
        for (const text of [id.slice(0, 4), id.slice(0, 9), id.slice(0, 51), id]) {
          const beginning = [...log.ids.keys()].filter((each) => each.startsWith(text));
          expect(log.places.beginning(text, 1e6).sort()).toEqual(beginning.sort());
          expect(log.places.beginning(text, 1)).toHaveLength(1);
        }
      }
    }),
    { numRuns: 12 },
  );
});

test('thousands of entries are in the index before long, and what is not is read again', async () => {
  const log = new Log();
  using _ = log.store;
  for (let n = 0; n < 100; n++) {
    log.append(newIds(100, 0));
    for (let turns = 0; turns < 3; turns++) await new Promise((done) => setImmediate(done));
  }
  expect(log.written).toBeGreaterThan(4000);
  expect(log.written).toBeLessThan(10_000);
  const [first = '', last = ''] = [[...log.ids.keys()][0], [...log.ids.keys()].at(-1)];
  log.reopen();
  expect([log.places.of(first), log.places.of(last)]).toEqual([1, 10_000]);
  expect(log.places.next()).toBe(10_001);
});

test('what is no id is nowhere', () => {
  const log = new Log();
  using _ = log.store;
  log.append(newIds(3, 0));
  for (const text of ['', 'short', 'Ä'.repeat(52), '1'.repeat(52), 'a'.repeat(52)])
    expect(log.places.of(text)).toBeUndefined();
  for (const text of ['Ä', '1', 'aaaaaaaaaaaaaaaa!', '%', '_']) expect(log.places.beginning(text, 9)).toEqual([]);
});
