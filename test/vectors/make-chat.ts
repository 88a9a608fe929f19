/** Makes `chat.json`, the test vectors of chat for any language: `node test/vectors/make-chat.ts > test/vectors/chat.json`. */
import { canonical } from '../../src/base/encoding.ts';
import { direct } from '../../src/chat/conversation.ts';
import { type Entry, entryId, signEntry, type Unsigned } from '../../src/chat/entry.ts';
import { type Receipt, signReceipt } from '../../src/chat/receipt.ts';
import { Key } from '../../src/link/identity.ts';

/** A key from its 32 bytes of seed in hex (PKCS#8, RFC 8410 section 7). */
export function keyFromSeed(seed: string): Key {
  const der = Buffer.from(`302e020100300506032b657004220420${seed}`, 'hex');
  return Key.fromPem(`-----BEGIN PRIVATE KEY-----\n${der.toString('base64')}\n-----END PRIVATE KEY-----\n`);
}

function named(name: string, byte: string): { name: string; seed: string; key: Key } {
  const seed = byte.repeat(32);
  return { name, seed, key: keyFromSeed(seed) };
}

type EntryVector = { what: string; signed: string; id: string; entry: Entry };
type ReceiptVector = { what: string; signed: string; receipt: Receipt };

export type ChatVectors = {
  about: string;
  keys: { name: string; seed: string; id: string }[];
  conversation: { members: string[]; hashed: string; id: string };
  /** A chain of alice's and an answer of bob's. */
  entries: EntryVector[];
  receipts: ReceiptVector[];
  /** Ids of `entries` in the order of the conversation. */
  order: string[];
  /** What a reader who holds `entries` refuses, with the code. */
  refused: { what: string; code: string; entry: unknown }[];
};

const AT = 1_767_225_600_000_000; // 2026-01-01T00:00:00Z in microseconds

/** What precedes the canonical JSON in the bytes that are signed. */
const signedText = (purpose: string, { sig: _, ...claim }: Entry | Receipt): string =>
  `netapp.1 ${purpose}\n${canonical(claim)}`;

export function chatVectors(): ChatVectors {
  const [alice, bob] = [named('alice', '01'), named('bob', '02')];
  const conversation = direct(alice.key.id, bob.key.id);
  const base = { conversation: conversation.id, kind: 'text' };
  const write = (key: Key, over: Omit<Unsigned, 'conversation' | 'author' | 'kind'> & { kind?: string }): Entry =>
    signEntry(key, { ...base, author: key.id, ...over });

  const one = write(alice.key, { seq: 1, prev: null, at: AT, body: { text: 'hello' } });
  const two = write(alice.key, {
    seq: 2,
    prev: entryId(one),
    at: AT + 1,
    body: { text: 'Zoë: "\u20ac\u2028\ud83d\ude00"\n' },
  });
  const ticket = { hash: 'a'.repeat(52), name: 'notes.txt', size: 12 };
  const three = write(alice.key, { seq: 3, prev: entryId(two), at: AT + 5_000_001, kind: 'file', body: ticket });
  const odd = { z: 1, a: [true, null, 0.5, 1e21], nested: { '\u00e9': '' } };
  const four = write(bob.key, { seq: 1, prev: null, at: AT + 5_000_001, kind: 'from-the-future', body: odd });

  const entry = (what: string, it: Entry): EntryVector => ({
    what,
    signed: signedText('entry', it),
    id: entryId(it),
    entry: it,
  });
  const receipt = (what: string, it: Receipt): ReceiptVector => ({
    what,
    signed: signedText('receipt', it),
    receipt: it,
  });
  const upTo = { conversation: conversation.id, author: alice.key.id, at: 1_767_225_601_000 };
  const entries = [
    entry('the first of a chain', one),
    entry('the next, with text that JSON escapes or does not', two),
    entry('a file ticket, later', three),
    entry('at the very same time, of a kind that a reader need not know', four),
  ];
  return {
    about:
      'See docs/protocol-chat.md. Made by test/vectors/make-chat.ts; keys are Ed25519 seeds in hex, for tests only.',
    keys: [alice, bob].map(({ name, seed, key }) => ({ name, seed, id: key.id })),
    conversation: {
      members: [...conversation.members],
      hashed: canonical({ kind: 'direct', members: conversation.members }),
      id: conversation.id,
    },
    entries,
    receipts: [
      receipt(
        'bob has all of alice up to 2',
        signReceipt(bob.key, { ...upTo, seq: 2, entry: entryId(two), state: 'delivered' }),
      ),
      receipt(
        'bob has read them up to 3',
        signReceipt(bob.key, { ...upTo, seq: 3, entry: entryId(three), state: 'read' }),
      ),
    ],
    order: [entryId(one), entryId(two), ...[entryId(three), entryId(four)].sort()],
    refused: [
      {
        what: 'a changed text',
        code: 'bad_signature',
        entry: { ...one, seq: 4, prev: entryId(three), at: AT + 6_000_000 },
      },
      {
        what: 'another first entry',
        code: 'forked',
        entry: write(alice.key, { seq: 1, prev: null, at: AT, body: { text: 'other' } }),
      },
      {
        what: 'a fourth on another third',
        code: 'forked',
        entry: write(alice.key, { seq: 4, prev: entryId(two), at: AT + 6_000_000, body: { text: 'x' } }),
      },
      {
        what: 'a time not after the one before',
        code: 'invalid_argument',
        entry: write(alice.key, { seq: 4, prev: entryId(three), at: three.at, body: { text: 'x' } }),
      },
      { what: 'a member too many', code: 'invalid_argument', entry: { ...one, extra: 1 } },
      {
        what: 'no text',
        code: 'invalid_argument',
        entry: write(alice.key, { seq: 4, prev: entryId(three), at: AT + 6_000_000, body: {} }),
      },
    ],
  };
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(chatVectors(), null, 2)}\n`);
