import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { entryId, entryVerified, parseEntry } from '../../src/chat/entry.ts';
import { mentionsIn } from '../../src/chat/mention.ts';
import { actOf, show, versions } from '../../src/chat/timeline.ts';
import { type HistoryVectors, historyVectors } from './make-history.ts';

const vectors: HistoryVectors = JSON.parse(readFileSync(new URL('./history.json', import.meta.url), 'utf8'));

test('the vectors are what this program makes', () => {
  expect(vectors).toEqual(JSON.parse(JSON.stringify(historyVectors())));
});

test('every entry proves itself, and each message is shown as it stands there [H-1] [H-2] [H-3] [H-4] [H-5]', () => {
  for (const { entry, id } of vectors.entries) {
    expect(parseEntry(entry).id).toBe(id);
    expect(entryId(entry)).toBe(id);
    expect(entryVerified(entry)).toBe(true);
  }
  const acts = vectors.entries.flatMap(({ entry, id }) => actOf({ entry, id }) ?? []).reverse();
  for (const { id, versions: words, ...shown } of vectors.shown) {
    const entry = vectors.entries.find((one) => one.id === id)?.entry ?? expect.fail(`no entry "${id}"`);
    expect(show({ ...entry, id }, acts)).toEqual(shown);
    expect(versions({ ...entry, id }, acts)).toEqual(words);
  }
});

test('bodies that are not of their form are refused', () => {
  const [{ entry }] = vectors.entries as [HistoryVectors['entries'][number]]; // there is one: see the test before
  for (const { kind, body } of vectors.refused) {
    expect(() => parseEntry({ ...entry, kind, body })).toThrow(expect.objectContaining({ code: 'invalid_argument' }));
  }
});

test('the same are named [H-6]', () => {
  for (const { text, handles, named } of vectors.mentions) expect(mentionsIn(text, handles), text).toEqual(named);
});
