/** What two people compare, by another way than this network, to know that nobody stands between them. [D-58] [D-59] */
import { createHash } from 'node:crypto';
import { wordlist } from '@scure/bip39/wordlists/english.js';
import { canonical } from '../base/encoding.ts';
import { Fault } from '../base/fault.ts';
import { peerId } from '../link/identity.ts';

/** Groups of five digits: 12 of them are 199 bits. */
const GROUPS = 12;
const GROUP_BYTES = 5;
/** Words of 11 bits: 16 of them are 176 bits. */
const WORDS = 16;
const WORD_BITS = 11;

const URI = /^netapp:\/\/verify\/([a-z2-7]{52})\/([a-z2-7]{52})$/i;

export type Safety = {
  /** 60 digits in groups of five. */
  number: string;
  /** 16 words of the BIP-39 English list. */
  words: string;
  /** Both keys: for a QR code. */
  uri: string;
};

/** The same on both sides, whoever asks. */
export function safetyOf(a: string, b: string): Safety {
  const keys = [a, b].sort();
  const digest = createHash('sha512')
    .update(`netapp.1 safety\n${canonical(keys)}`, 'utf8')
    .digest();
  const groups = Array.from({ length: GROUPS }, (_, n) =>
    String(digest.readUIntBE(n * GROUP_BYTES, GROUP_BYTES) % 100_000).padStart(5, '0'),
  );
  const bits = [...digest].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  const words = Array.from({ length: WORDS }, (_, n) => {
    const index = Number.parseInt(bits.slice(n * WORD_BITS, (n + 1) * WORD_BITS), 2);
    return wordlist[index] ?? '';
  });
  return { number: groups.join(' '), words: words.join(' '), uri: `netapp://verify/${keys.join('/')}` };
}

/** In which form the user compared. */
export type Compared = 'number' | 'words' | 'uri';

/**
 * Compares what the other side shows with `safety`, and says in which form it was. Throws `invalid_argument` for what is
 * none of the three, `wrong_key` where it is another pair's.
 */
export function compare(safety: Safety, shown: string): Compared {
  const text = shown.trim().toLowerCase();
  const how = formOf(text);
  if (!how) {
    throw new Fault(
      'invalid_argument',
      `comparing "${shown.slice(0, 200)}": expected the 60 digits, the 16 words, or the netapp://verify/ link that the other side shows`,
    );
  }
  const same = {
    number: bare(text) === bare(safety.number),
    words: spaced(text) === safety.words,
    uri: text === safety.uri,
  };
  if (same[how]) return how;
  throw new Fault(
    'wrong_key',
    'comparing: this is not the number of you two; compare again, and if it stays so, somebody may stand between you: trust nothing said here until it is clear',
  );
}

function formOf(text: string): Compared | undefined {
  if (/^[\d\s-]+$/.test(text)) return bare(text).length === GROUPS * 5 ? 'number' : undefined;
  const [, a, b] = URI.exec(text) ?? [];
  if (peerId.safeParse(a).success && peerId.safeParse(b).success) return 'uri';
  const words = spaced(text).split(' ');
  return words.length === WORDS && words.every((word) => wordlist.includes(word)) ? 'words' : undefined;
}

const bare = (text: string): string => text.replaceAll(/[\s-]/g, '');
const spaced = (text: string): string => text.replaceAll(/\s+/g, ' ');
