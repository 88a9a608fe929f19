import { expect, test } from 'vitest';
import { Roster } from './roster.ts';

/** So large that all are told again after some seconds only. */
const LARGE = 'x'.repeat(60_000_000);

class Reader {
  readonly ended = false;
  readonly waiting = 0;
  readonly form = 0;
  owesRoster = false;
  told = 0;
  readonly #told = Promise.withResolvers<void>();
  readonly first = this.#told.promise;

  tell(): void {
    this.told += 1;
    this.#told.resolve();
  }
}

test('who has just come is told before it is time for all, although that is planned already [P-31]', async () => {
  const old = new Reader();
  using roster = new Roster({ who: () => new Map([['anna', LARGE]]), clients: () => [old] });
  roster.changed();
  await old.first;
  for (let turns = 0; turns < 3; turns++) await new Promise((done) => setImmediate(done)); // all are told
  roster.changed();
  const newcomer = new Reader();
  roster.welcome(newcomer);
  await newcomer.first;
  await new Promise((done) => setImmediate(done));
  expect([newcomer.told, old.told]).toEqual([1, 1]);
});
