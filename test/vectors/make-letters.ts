/** Makes `letters.json`, the test vectors of letters: `node test/vectors/make-letters.ts > test/vectors/letters.json`. */
import { canonical, toBase32 } from '../../src/base/encoding.ts';
import { direct } from '../../src/chat/conversation.ts';
import { entryId, signEntry } from '../../src/chat/entry.ts';
import { type Content, type Hold, type Letter, letterId, sealLetter, signHold } from '../../src/chat/letter.ts';
import { signReceipt } from '../../src/chat/receipt.ts';
import type { Key } from '../../src/link/identity.ts';
import { sealingKey } from '../../src/link/seal.ts';
import { keyFromSeed } from './make-chat.ts';

export type LetterVectors = {
  about: string;
  keys: { name: string; seed: string; id: string; private: string; seal: string }[];
  letters: { what: string; letter: Letter; info: string; id: string; content: Content }[];
  hold: { signed: string; hold: Hold };
  /** What the recipient does not open. */
  refused: { what: string; letter: Letter }[];
};

const AT = 1_767_225_600_000; // 2026-01-01T00:00:00Z

/** Letters are sealed with a fresh key each time, so each run makes others. */
export async function letterVectors(): Promise<LetterVectors> {
  const named = (name: string, byte: string) => ({ name, seed: byte.repeat(32), key: keyFromSeed(byte.repeat(32)) });
  const [alice, bob, tracker] = [named('alice', '01'), named('bob', '02'), named('tracker', '03')];
  const to = (key: Key) => ({ account: key.id, key: sealingKey(key) });
  const conversation = direct(alice.key.id, bob.key.id).id;
  const base = { conversation, author: alice.key.id, kind: 'text' };
  const one = signEntry(alice.key, { ...base, seq: 1, prev: null, at: AT * 1000, body: { text: 'hello' } });
  const two = signEntry(alice.key, {
    ...base,
    seq: 2,
    prev: entryId(one),
    at: AT * 1000 + 1,
    body: { text: 'Zoë 😀' },
  });
  const receipt = signReceipt(bob.key, {
    conversation,
    author: alice.key.id,
    seq: 2,
    entry: entryId(two),
    state: 'delivered',
    at: AT + 1000,
  });
  const sealed = async (what: string, from: Key, other: Key, content: Content) => {
    const letter = await sealLetter(from.id, to(other), content);
    const info = `netapp.1 letter\n${canonical({ from: from.id, to: other.id })}`;
    return { what, letter, info, id: letterId(letter), content };
  };
  const letters = [
    await sealed('two entries, alice to bob', alice.key, bob.key, { entries: [one, two], receipts: [] }),
    await sealed('the receipt for them, bob to alice', bob.key, alice.key, { entries: [], receipts: [receipt] }),
  ];
  const [first] = letters;
  if (!first) throw new Error('there is a first letter');
  const hold = signHold(tracker.key, {
    letter: first.id,
    from: alice.key.id,
    to: bob.key.id,
    at: AT,
    until: AT + 30 * 24 * 3600_000,
  });
  const { sig: _, ...claim } = hold;
  const altered = first.letter.data.startsWith('A') ? 'B' : 'A';
  return {
    about: 'Letters of docs/protocol-mailbox.md. Seeds are Ed25519 seeds in hex; private is the X25519 key in base32.',
    keys: [alice, bob, tracker].map(({ name, seed, key }) => {
      return { name, seed, id: key.id, private: toBase32(key.derive('seal')), seal: sealingKey(key) };
    }),
    letters,
    hold: { signed: `netapp.1 hold\n${canonical(claim)}`, hold },
    refused: [
      { what: 'altered', letter: { ...first.letter, data: altered + first.letter.data.slice(1) } },
      { what: 'of another sender', letter: { ...first.letter, from: tracker.key.id } },
    ],
  };
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(await letterVectors(), null, 2)}\n`);
