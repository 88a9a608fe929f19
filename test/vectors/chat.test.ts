import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { silentLog } from '../../src/base/log.ts';
import { Store } from '../../src/base/sqlite.ts';
import { compare, direct } from '../../src/chat/conversation.ts';
import { entryVerified, parseEntry } from '../../src/chat/entry.ts';
import { Intake } from '../../src/chat/intake.ts';
import { Ledger } from '../../src/chat/ledger.ts';
import { read } from '../../src/chat/reading.ts';
import { receiptVerified } from '../../src/chat/receipt.ts';
import { type ChatVectors, chatVectors, keyFromSeed } from './make-chat.ts';

const vectors: ChatVectors = JSON.parse(readFileSync(new URL('./chat.json', import.meta.url), 'utf8'));

test('the vectors are what this program makes', () => {
  expect(vectors).toEqual(JSON.parse(JSON.stringify(chatVectors())));
});

test('every entry and receipt proves itself, and the ids and the order are as they stand [C-2] [C-3] [C-5] [C-10]', () => {
  const [a = '', b = ''] = vectors.keys.map(({ id }) => id);
  expect(direct(b, a).id).toBe(vectors.conversation.id);
  const parsed = vectors.entries.map(({ entry }) => parseEntry(entry));
  expect(parsed.map(({ id }) => id)).toEqual(vectors.entries.map(({ id }) => id));
  expect(parsed.every(({ entry }) => entryVerified(entry))).toBe(true);
  expect(vectors.receipts.every(({ receipt }) => receiptVerified(receipt))).toBe(true);
  const placed = parsed.map(({ entry, id }) => ({ at: entry.at, id })).sort(compare);
  expect(placed.map(({ id }) => id)).toEqual(vectors.order);
});

test('a reader who holds the entries refuses what the vectors say, with their codes', () => {
  using store = new Store(':memory:');
  const bob = keyFromSeed(vectors.keys[1]?.seed ?? '');
  const clock = { now: () => 1_767_225_700_000 };
  const ledger = new Ledger({ account: bob, store, clock, log: silentLog(), emit: () => {} });
  ledger.migrate();
  const intake = new Intake(ledger, silentLog());
  const alice = vectors.keys[0]?.id ?? '';
  const own = vectors.entries.filter(({ entry }) => entry.author === alice).map(({ entry }) => entry);
  expect(intake.take(alice, read(own)).answer).toMatchObject({ receipts: [{ seq: 3 }], refused: [] });
  const codes = vectors.refused.map(({ entry }) => intake.take(alice, read([entry])).answer.refused[0]?.code);
  expect(codes).toEqual(vectors.refused.map(({ code }) => code));
});
