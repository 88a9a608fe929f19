import fc from 'fast-check';
import { expect, test } from 'vitest';
import { silentLog } from '../base/log.ts';
import { Store } from '../base/sqlite.ts';
import { Key } from '../link/identity.ts';
import { direct } from './conversation.ts';
import { type Entry, entryId, parseEntry, signEntry } from './entry.ts';
import { Intake } from './intake.ts';
import { Ledger } from './ledger.ts';
import { read } from './reading.ts';
import { type Act, actOf, isGrapheme, REACTIONS_EACH, type Shown, show, type Target, versions } from './timeline.ts';

const alice = Key.generate();
const bob = Key.generate();
const { id: conversation } = direct(alice.id, bob.id);
const AT = Date.UTC(2026, 0, 1) * 1000;

/** Chains of two authors, written in turns. */
class Chains {
  readonly entries: Entry[] = [];
  readonly #heads = new Map<string, { seq: number; id: string }>();
  #at = AT;

  add(key: Key, kind: string, body: Record<string, unknown>): string {
    const head = this.#heads.get(key.id);
    const entry = signEntry(key, {
      conversation,
      author: key.id,
      seq: (head?.seq ?? 0) + 1,
      prev: head?.id ?? null,
      at: this.#at++,
      kind,
      body,
    });
    const id = entryId(entry);
    this.#heads.set(key.id, { seq: entry.seq, id });
    this.entries.push(entry);
    return id;
  }
}

const step = fc.record({
  by: fc.constantFrom(alice, bob),
  what: fc.constantFrom('text', 'text', 'edit', 'edit', 'delete', 'on', 'on', 'off'),
  /** Which of the entries so far it is about; it may be no message, or somebody else's. */
  about: fc.nat(20),
  emoji: fc.constantFrom('👍', '🎉', 'not one'),
});

/** What somebody writes who keeps to no rule but the chain's. */
const story = fc.array(step, { minLength: 1, maxLength: 25 }).map((steps) => {
  const chains = new Chains();
  const ids: string[] = [];
  for (const [index, { by, what, about, emoji }] of steps.entries()) {
    const target = ids[about % Math.max(ids.length, 1)];
    const text = `words ${index}${index % 3 === 0 ? ' @bob' : ''}`;
    if (what === 'text' || target === undefined) ids.push(chains.add(by, 'text', { text }));
    else if (what === 'edit') ids.push(chains.add(by, 'edit', { target, text }));
    else if (what === 'delete') ids.push(chains.add(by, 'delete', { target }));
    else ids.push(chains.add(by, 'reaction', { target, emoji, on: what === 'on' }));
  }
  return chains.entries;
});

const targetsOf = (entries: readonly Entry[]): Target[] =>
  entries.filter(({ kind }) => kind === 'text').map((entry) => ({ ...entry, id: entryId(entry) }));
const actsOf = (entries: readonly Entry[]): Act[] =>
  entries.flatMap((entry) => actOf({ entry, id: entryId(entry) }) ?? []);

/** What a reader sees who looks at all entries at once. */
const shownBy = (entries: readonly Entry[]): Map<string, Shown> =>
  new Map(targetsOf(entries).map((target) => [target.id, show(target, actsOf(entries))]));

test('what is shown depends on neither order nor repetition of the entries [H-5]', () => {
  fc.assert(
    fc.property(story, fc.infiniteStream(fc.nat()), (entries, random) => {
      const shuffled = [...entries, ...entries.slice(0, 5)]
        .map((entry) => ({ entry, key: random.next().value ?? 0 }))
        .sort((a, b) => a.key - b.key)
        .map(({ entry }) => entry);
      const [once, anyhow] = [shownBy(entries), shownBy(shuffled)];
      for (const [id, shown] of once) expect(anyhow.get(id)).toEqual(shown);
      const [acts, other] = [actsOf(entries), actsOf(shuffled)];
      for (const target of targetsOf(entries)) expect(versions(target, other)).toEqual(versions(target, acts));
    }),
    { numRuns: 200 },
  );
});

/** Bob's, as after a start. */
function opened(store: Store): Ledger {
  const clock = { now: () => AT / 1000 };
  const handleOf = (account: string) => (account === bob.id ? 'bob@lab' : undefined);
  const ledger = new Ledger({ account: bob, store, clock, log: silentLog(), emit: () => {}, handleOf });
  ledger.migrate();
  return ledger;
}

/** What may happen before an entry comes. Killed: what is in memory alone is lost. */
const before = fc.oneof(
  { weight: 12, arbitrary: fc.constant('nothing') },
  { weight: 3, arbitrary: fc.constantFrom('searched', 'killed', 'undone') },
);
const turn = fc.record({ isBobs: fc.boolean(), before });

test('a store that is given the entries in any way shows what the rules say, counts it and finds it [H-5] [H-8] [H-9]', () => {
  fc.assert(
    fc.property(story, fc.array(turn, { minLength: 40, maxLength: 40 }), (entries, turns) => {
      using store = new Store(':memory:');
      let ledger = opened(store);
      const chains = [alice, bob].map((key) => entries.filter(({ author }) => author === key.id));
      const rest = Array.from({ length: 50 }, (_, n) => ({ isBobs: n % 2 === 0, before: 'nothing' }));
      for (const { isBobs, before } of [...turns, ...rest]) {
        if (chains.flat().length === 0) break;
        if (before === 'killed') ledger = opened(store);
        if (before === 'searched') ledger.entries.derived.search(['words'], { limit: 1 });
        const entry = chains[Number(isBobs)]?.shift();
        if (!entry) continue;
        const take = (): unknown => new Intake(ledger, silentLog()).take(alice.id, read([entry, entry])).answer;
        if (before === 'undone') {
          const work = (): void => {
            take();
            throw new Error('undone');
          };
          expect(() => store.transaction(work)).toThrow('undone');
        }
        expect(take()).toMatchObject({ refused: [], have: [] });
      }
      for (const [id, shown] of shownBy(entries)) {
        const stored = ledger.entries.get(id);
        if (!stored) throw new Error('an entry is lost');
        const { body, deleted, edited, reactions } = ledger.viewer.message(stored);
        expect({ text: body.text ?? '', deleted, reactions, isEdited: edited !== null }).toEqual({
          text: shown.text,
          deleted: shown.deleted,
          reactions: shown.reactions,
          isEdited: shown.edited !== null,
        });
        const all = { limit: 1000 };
        for (const words of entries.map((_, index) => `words ${index}`)) {
          const found = ledger.entries.derived.search([words], all).includes(id);
          expect(found).toBe(!shown.deleted && shown.text.startsWith(words));
        }
      }
      const standing = shownBy(entries);
      for (const [after, { author, seq }] of entries.entries()) {
        const later = entries.slice(after + 1).filter((entry) => entry.author === author);
        const texts = later.flatMap((entry) => standing.get(entryId(entry)) ?? []).filter(({ deleted }) => !deleted);
        const mentions = texts.filter(({ text }) => text.includes('@bob')).length;
        expect(ledger.entries.derived.unread(conversation, author, seq)).toEqual({ unread: texts.length, mentions });
      }
    }),
    { numRuns: 100 },
  );
});

test('what is said is in the search index before long, also where nobody searches', async () => {
  using store = new Store(':memory:');
  const ledger = opened(store);
  const chains = new Chains();
  for (let n = 0; n < 600; n++) chains.add(alice, 'text', { text: `words ${n}` });
  const indexed = (): number => store.prepare<{ place: number }>('SELECT place FROM search_written').get()?.place ?? 0;
  for (const entry of chains.entries) {
    new Intake(ledger, silentLog()).take(alice.id, read([entry]));
    for (let turns = 0; turns < 3; turns++) await new Promise((done) => setImmediate(done));
  }
  expect(indexed()).toBeGreaterThan(500);
  const later = opened(store);
  expect(indexed()).toBe(600);
  for (const derived of [ledger.entries.derived, later.entries.derived]) {
    expect(derived.search(['words'], { limit: 1000 })).toEqual(chains.entries.map((entry) => entryId(entry)));
  }
});

function told(write: (chains: Chains, target: string) => void): Shown & { versions: string[] } {
  const chains = new Chains();
  const id = chains.add(alice, 'text', { text: 'first' });
  write(chains, id);
  const [target] = targetsOf(chains.entries);
  if (target?.id !== id) throw new Error('the first entry is the target');
  const acts = actsOf(chains.entries).reverse();
  return { ...show(target, acts), versions: versions(target, acts).map(({ text }) => text) };
}

test('the last edit of the author stands, and all words are kept [H-2]', () => {
  const shown = told((chains, target) => {
    chains.add(alice, 'edit', { target, text: 'second' });
    chains.add(bob, 'edit', { target, text: 'not his' });
    chains.add(alice, 'edit', { target, text: 'third' });
  });
  expect(shown).toMatchObject({ text: 'third', deleted: false, versions: ['first', 'second', 'third'] });
});

test('nobody else can edit or delete; what is deleted stays so [H-2] [H-3]', () => {
  const kept = told((chains, target) => {
    chains.add(bob, 'edit', { target, text: 'not his' });
    chains.add(bob, 'delete', { target });
  });
  expect(kept).toMatchObject({ text: 'first', edited: null, deleted: false });
  const gone = told((chains, target) => {
    chains.add(alice, 'delete', { target });
    chains.add(alice, 'edit', { target, text: 'back again' });
    chains.add(bob, 'reaction', { target, emoji: '👍', on: true });
  });
  expect(gone).toEqual({ text: '', edited: null, deleted: true, reactions: [], versions: [] });
});

test('a moderator, where there are such, can delete, and still not edit [H-3]', () => {
  const chains = new Chains();
  const target = chains.add(alice, 'text', { text: 'first' });
  chains.add(bob, 'edit', { target, text: 'not his' });
  const [seen] = targetsOf(chains.entries);
  if (!seen) throw new Error('there is a target');
  const mayRemove = (act: { author: string }) => act.author === bob.id;
  expect(show(seen, actsOf(chains.entries), mayRemove)).toMatchObject({ text: 'first', deleted: false });
  chains.add(bob, 'delete', { target });
  expect(show(seen, actsOf(chains.entries), mayRemove)).toMatchObject({ text: '', deleted: true });
});

test('the last word of each on each emoji counts; 20 of one account are shown [H-4]', () => {
  const toggled = told((chains, target) => {
    for (const on of [true, false, true]) chains.add(bob, 'reaction', { target, emoji: '🎉', on });
    chains.add(alice, 'reaction', { target, emoji: '🎉', on: true });
    for (const on of [true, false]) chains.add(bob, 'reaction', { target, emoji: '👍', on });
  });
  expect(toggled.reactions).toEqual([{ emoji: '🎉', accounts: [bob.id, alice.id] }]);
  const many = told((chains, target) => {
    for (let n = 0; n < 30; n++)
      chains.add(bob, 'reaction', { target, emoji: String.fromCodePoint(0x1f600 + n), on: true });
  });
  expect(many.reactions).toHaveLength(REACTIONS_EACH);
});

test('one grapheme is what people count as one', () => {
  for (const one of ['👍', '👍🏽', '👨‍👩‍👧‍👦', '🇻🇳', 'é', 'x', '✔️']) expect(isGrapheme(one), one).toBe(true);
  for (const none of ['', ' ', '\n', '👍👍', 'ok', '\u200b', '\u202e']) expect(isGrapheme(none), none).toBe(false);
});

test.each([
  ['edit', {}],
  ['edit', { target: 'x', text: 'a' }],
  ['edit', { target: conversation, text: '' }],
  ['delete', { target: null }],
  ['reaction', { target: conversation, emoji: '', on: true }],
  ['reaction', { target: conversation, emoji: 'x'.repeat(33), on: true }],
  ['reaction', { target: conversation, emoji: '👍', on: 1 }],
  ['text', { text: 'a', replyTo: 'nothing' }],
])('a body of "%s" that is not of its form is refused: %j', (kind, body) => {
  const [entry] = (() => {
    const chains = new Chains();
    chains.add(alice, kind, body);
    return chains.entries;
  })();
  expect(() => parseEntry(entry)).toThrow(expect.objectContaining({ code: 'invalid_argument' }));
});
