import { expect, test } from 'vitest';
import { Fault } from '../base/fault.ts';
import { silentLog } from '../base/log.ts';
import { Key } from '../link/identity.ts';
import { pair } from '../link/pair.ts';
import { Router } from '../link/router.ts';
import { direct } from './conversation.ts';
import { type Entry, entryId, type Parsed, signEntry } from './entry.ts';
import { Reader } from './reader.ts';
import { type Reading, read, readingTold, tell } from './reading.ts';

const alice = Key.generate();
const bob = Key.generate();

function chain(length: number, body: Record<string, unknown> = { text: 'hello' }): Entry[] {
  const entries: Entry[] = [];
  for (let seq = 1; seq <= length; seq++) {
    const before = entries.at(-1);
    const { id: conversation } = direct(alice.id, bob.id);
    const prev = before ? entryId(before) : null;
    entries.push(signEntry(alice, { conversation, author: alice.id, seq, prev, at: seq, kind: 'text', body }));
  }
  return entries;
}

const shown = ({ entries, isSigned }: Reading): unknown[] =>
  entries.map((it) => (it instanceof Fault ? [it.code, it.message] : [it, isSigned(it)]));

const forged = (entry: Entry): Entry => ({ ...entry, sig: bob.sign('entry', 'another') });

/** What a link may give: good, forged, in no form, in a form that only looks good. */
function calls(): unknown[][] {
  const run = chain(40);
  const odd = JSON.parse(JSON.stringify(run[0]).replace('"hello"', '"hello","__proto__":{"text":"other"}'));
  return [
    run,
    run.map((entry, index) => (index === 39 ? forged(entry) : entry)),
    run.map((entry, index) => (index % 7 === 3 ? forged(entry) : entry)),
    run.toReversed(),
    [...run, null, 'text', {}, { ...run[0], seq: 0 }, { ...run[0], more: 1 }, ...chain(1, { text: '' })],
    [...chain(1, { text: 'x'.repeat(70_000) }), ...run, { ...run[0], body: { text: '\ud800' } }],
    [odd, ...run],
  ];
}

test('what a thread tells of a call is what reading it here gives', () => {
  for (const values of calls().slice(0, -1)) {
    const sent = JSON.parse(JSON.stringify(values));
    expect(shown(readingTold(sent, JSON.parse(JSON.stringify(tell(sent)))))).toEqual(shown(read(sent)));
  }
});

test('of a run one signature is looked at; of one whose newest is bad, no more than up to the first bad one', () => {
  const run = chain(40);
  expect(tell(run).signed).toEqual([[39, true]]);
  const spoilt = run.map((entry, index) => (index === 3 || index === 39 ? forged(entry) : entry));
  expect(tell(spoilt).signed).toEqual([
    [39, false],
    [0, true],
    [1, true],
    [2, true],
    [3, false],
  ]);
});

test('a reader gives the same with a thread and without, in the order of the link’s calls', async () => {
  const hello = { protocol: { min: 1, max: 1 }, software: 'test', role: 'node' as const, account: null };
  const [link] = await pair(
    { router: new Router(), self: hello, id: alice.id },
    { router: new Router(), self: hello, id: bob.id },
  );
  await using reader = new Reader(silentLog());
  const few = chain(1);
  expect(shown(await reader.read(link, few))).toEqual(shown(read(few)));
  expect(reader.read(link, few)).not.toBeInstanceOf(Promise);
  const order: number[] = [];
  const all = [...calls(), few];
  const read_ = await Promise.all(
    all.map(async (values, index) => {
      const reading = await reader.read(link, values);
      order.push(index);
      return reading;
    }),
  );
  expect(order).toEqual(all.map((_, index) => index));
  for (const [index, reading] of read_.entries()) expect(shown(reading)).toEqual(shown(read(all[index] ?? [])));
  link.close();
});

test('a member that a form leaves out is left out wherever it is read', async () => {
  const [values = []] = calls().slice(-1);
  const [first] = read(values).entries;
  expect(Object.keys((first as Parsed).entry.body)).toEqual(['text']); // it is of its form
});
