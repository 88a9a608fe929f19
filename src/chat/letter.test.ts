import { expect, test } from 'vitest';
import { fromBase64url, toBase64url } from '../base/encoding.ts';
import { Key } from '../link/identity.ts';
import { seal, sealingKey } from '../link/seal.ts';
import { direct } from './conversation.ts';
import { type Entry, entryId, signEntry } from './entry.ts';
import { envelope, holdVerified, type Letter, letterBytes, openLetter, sealLetter, signHold } from './letter.ts';
import { signReceipt } from './receipt.ts';

const [alice, bob, mallory, tracker] = [Key.generate(), Key.generate(), Key.generate(), Key.generate()];
const conversation = direct(alice.id, bob.id).id;
const entry: Entry = signEntry(alice, {
  conversation,
  author: alice.id,
  seq: 1,
  prev: null,
  at: 1,
  kind: 'text',
  body: { text: 'hello' },
});
const given = { conversation, author: alice.id, seq: 1, entry: entryId(entry), state: 'delivered' as const, at: 1 };
const receipts = [signReceipt(bob, given)];
const to = { account: bob.id, key: sealingKey(bob) };

const malformed = { code: 'malformed' };

test('a letter gives back what was put in, and shows nothing of it [M-2] [M-3]', async () => {
  const letter = await sealLetter(alice.id, to, { entries: [entry], receipts });
  expect(await openLetter(bob, letter)).toEqual({ entries: [entry], receipts });
  expect(envelope.safeParse({ enc: letter.enc, data: letter.data }).success).toBe(true);
  expect(Buffer.from(letter.data, 'base64url').includes('hello')).toBe(false);
  const again = await sealLetter(alice.id, to, { entries: [entry], receipts });
  expect(again.data).not.toBe(letter.data);
});

test('its size tells little: a yes and a no are alike [M-3]', async () => {
  const sizes = await Promise.all(
    ['y', 'no', 'perhaps'].map(async (text) =>
      letterBytes(await sealLetter(alice.id, to, { entries: [{ ...entry, body: { text } }], receipts: [] })),
    ),
  );
  expect(new Set(sizes).size).toBe(1);
  expect(sizes[0]).toBe(512 + 16);
});

test('another recipient, another sender, an altered byte: it does not open [M-3]', async () => {
  const letter = await sealLetter(alice.id, to, { entries: [entry], receipts: [] });
  await expect(openLetter(mallory, { ...letter, to: mallory.id })).rejects.toMatchObject(malformed);
  await expect(openLetter(bob, { ...letter, from: mallory.id })).rejects.toMatchObject(malformed);
  const bytes = Buffer.from(fromBase64url(letter.data) ?? []);
  bytes[0] = (bytes[0] ?? 0) ^ 1;
  await expect(openLetter(bob, { ...letter, data: toBase64url(bytes) })).rejects.toMatchObject(malformed);
});

test.each([
  ['nothing of JSON', 'garbage'],
  ['another shape', '[1, 2]'],
  ['too many entries', JSON.stringify({ entries: Array.from({ length: 101 }, () => 1) })],
  ['a receipt that is none', JSON.stringify({ receipts: [{}] })],
])('a sealed letter that holds %s is malformed', async (_what, text) => {
  const info = `netapp.1 letter\n{"from":"${alice.id}","to":"${bob.id}"}`;
  const { enc, data } = await seal(sealingKey(bob), Buffer.from(info), Buffer.from(text));
  const letter: Letter = { from: alice.id, to: bob.id, enc: toBase64url(enc), data: toBase64url(data) };
  await expect(openLetter(bob, letter)).rejects.toMatchObject(malformed);
});

test('a hold proves itself, and nothing else [M-6]', () => {
  const hold = signHold(tracker, { letter: 'a'.repeat(52), from: alice.id, to: bob.id, at: 1, until: 2 });
  expect(holdVerified(hold)).toBe(true);
  expect(holdVerified({ ...hold, until: 3 })).toBe(false);
  expect(holdVerified({ ...hold, holder: mallory.id })).toBe(false);
});
