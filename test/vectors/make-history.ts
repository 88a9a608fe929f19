/** Makes `history.json`, the test vectors of what entries do to each other: `node test/vectors/make-history.ts > test/vectors/history.json`. */
import { canonical } from '../../src/base/encoding.ts';
import { direct } from '../../src/chat/conversation.ts';
import { type Entry, entryId, signEntry } from '../../src/chat/entry.ts';
import { actOf, type Shown, show, type Version, versions } from '../../src/chat/timeline.ts';
import type { Key } from '../../src/link/identity.ts';
import { keyFromSeed } from './make-chat.ts';

export type HistoryVectors = {
  about: string;
  keys: { name: string; seed: string; id: string }[];
  conversation: string;
  /** Each with the text whose UTF-8 is hashed for its id; the signed bytes are `netapp.1 entry`, a line feed, and it. */
  entries: { what: string; canonical: string; id: string; entry: Entry }[];
  /** What every reader of the entries shows, in whatever order they came. */
  shown: ({ id: string; versions: Version[] } & Shown)[];
  /** Bodies that are refused with `invalid_argument`. */
  refused: { what: string; kind: string; body: Record<string, unknown> }[];
  mentions: { text: string; handles: string[]; named: string[] }[];
};

const AT = 1_767_225_600_000_000; // 2026-01-01T00:00:00Z in microseconds

export function historyVectors(): HistoryVectors {
  const [alice, bob] = ['01', '02'].map((byte) => keyFromSeed(byte.repeat(32)));
  if (!alice || !bob) throw new Error('two seeds make two keys');
  const conversation = direct(alice.id, bob.id).id;
  const entries: HistoryVectors['entries'] = [];
  const write = (what: string, key: Key, kind: string, body: Record<string, unknown>): string => {
    const chain = entries.filter(({ entry }) => entry.author === key.id);
    const unsigned = {
      conversation,
      author: key.id,
      seq: chain.length + 1,
      prev: chain.at(-1)?.id ?? null,
      at: AT + entries.length * 1000,
      kind,
      body,
    };
    const entry = signEntry(key, unsigned);
    entries.push({ what, canonical: canonical(unsigned), id: entryId(entry), entry });
    return entryId(entry);
  };
  const first = write('a text', alice, 'text', { text: 'see you at three' });
  write('an answer to it', bob, 'text', { text: 'fine, @alice', replyTo: first });
  write('other words', alice, 'edit', { target: first, text: 'see you at four' });
  write('somebody else’s edit: it counts for nothing', bob, 'edit', { target: first, text: 'see you never' });
  write('a reaction', bob, 'reaction', { target: first, emoji: '👍🏽', on: true });
  write('a reaction that is taken back', bob, 'reaction', { target: first, emoji: '🎉', on: true });
  write('the taking back', bob, 'reaction', { target: first, emoji: '🎉', on: false });
  const second = write('a text that is taken back', alice, 'text', { text: 'oh no' });
  write('a reaction to it', bob, 'reaction', { target: second, emoji: '👍', on: true });
  write('the deletion', alice, 'delete', { target: second });
  write('an edit of what was deleted: it stays so', alice, 'edit', { target: second, text: 'oh yes' });
  const third = write('a text that somebody else tries to take back', alice, 'text', { text: 'mine' });
  write('somebody else’s deletion: it counts for nothing', bob, 'delete', { target: third });

  const acts = entries.flatMap(({ entry, id }) => actOf({ entry, id }) ?? []);
  const targets = entries.filter(({ entry }) => entry.kind === 'text').map(({ entry, id }) => ({ ...entry, id }));
  const target = 'a'.repeat(52);
  const mention = (text: string, named: string[]) => ({ text, handles: ['bob@lab', 'bob@other', 'ann.b@lab'], named });
  return {
    about: 'See docs/protocol-history.md. Made by test/vectors/make-history.ts; seeds are for tests only.',
    keys: [
      { name: 'alice', seed: '01'.repeat(32), id: alice.id },
      { name: 'bob', seed: '02'.repeat(32), id: bob.id },
    ],
    conversation,
    entries,
    shown: targets.map((one) => ({ id: one.id, ...show(one, acts), versions: versions(one, acts) })),
    refused: [
      { what: 'an answer to what is no id', kind: 'text', body: { text: 'x', replyTo: 'y' } },
      { what: 'an edit without words', kind: 'edit', body: { target } },
      { what: 'an edit to nothing', kind: 'edit', body: { target, text: '' } },
      { what: 'a deletion of nothing', kind: 'delete', body: {} },
      { what: 'a reaction of too many bytes', kind: 'reaction', body: { target, emoji: 'x'.repeat(33), on: true } },
      { what: 'a reaction that is neither on nor off', kind: 'reaction', body: { target, emoji: '👍' } },
    ],
    mentions: [
      mention('hi @bob', ['bob@lab', 'bob@other']),
      mention('hi @Bob@lab.', ['bob@lab']),
      mention('@ann.b, @nobody', ['ann.b@lab']),
      mention('mail me@bob or @@bob or @bobby', []),
    ],
  };
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(historyVectors(), null, 2)}\n`);
