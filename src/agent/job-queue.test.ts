import { expect, test } from 'vitest';
import { JobQueue, type Ticket } from './job-queue.ts';

let seq = 0;
const ticket = (id: string, more: Partial<Ticket> = {}): Ticket => ({
  seq: ++seq,
  id,
  priority: 0,
  kind: 'files.send',
  lane: 'files bob',
  ordered: false,
  ...more,
});

function drain(queue: JobQueue): string[] {
  const ids: string[] = [];
  for (let next = queue.take(); next; next = queue.take()) ids.push(next.id);
  return ids;
}

test('higher priority goes first, then whoever asked first', () => {
  const queue = new JobQueue();
  for (const [id, priority] of [
    ['low', -1],
    ['a', 0],
    ['high', 5],
    ['b', 0],
  ] as const) {
    queue.add(ticket(id, { priority, lane: `files ${id}` }));
  }
  expect(drain(queue)).toEqual(['high', 'a', 'b', 'low']);
});

test('no more run at once than workers, of one kind, and for one peer', () => {
  const queue = new JobQueue({ workers: 6, ofKind: 4, ofLane: 2 });
  for (let n = 0; n < 5; n++) queue.add(ticket(`bob ${n}`));
  for (let n = 0; n < 5; n++) queue.add(ticket(`carol ${n}`, { lane: 'files carol' }));
  for (let n = 0; n < 5; n++) queue.add(ticket(`say ${n}`, { kind: 'messages.say', lane: `messages ${n}` }));
  expect(drain(queue)).toEqual(['bob 0', 'bob 1', 'carol 0', 'carol 1', 'say 0', 'say 1']);
  queue.release('carol 0');
  expect(drain(queue)).toEqual(['carol 2']);
  queue.release('say 1');
  queue.release('say 0');
  expect(drain(queue)).toEqual(['say 2', 'say 3']);
});

test('what is ordered goes one by one, also behind one that waits; others pass', () => {
  const queue = new JobQueue();
  const ordered = { ordered: true, kind: 'messages.say', lane: 'messages bob' };
  const first = ticket('first', ordered);
  for (const each of [first, ticket('second', ordered)]) queue.add(each);
  queue.add(ticket('to carol', { ...ordered, lane: 'messages carol' }));
  expect(drain(queue)).toEqual(['first', 'to carol']);
  queue.release('first');
  queue.hold(first); // it waits for what it needs
  expect(drain(queue)).toEqual([]);
  queue.add(ticket('urgent', { ...ordered, priority: 1 }));
  expect(drain(queue)).toEqual(['urgent']);
  queue.release('urgent');
  queue.add(first);
  expect(drain(queue)).toEqual(['first']);
  queue.release('first');
  expect(drain(queue)).toEqual(['second']);
});

test('what is removed, waiting or not, is in nobody’s way', () => {
  const queue = new JobQueue();
  const ordered = { ordered: true, lane: 'messages bob' };
  const [first, second] = [ticket('first', ordered), ticket('second', ordered)];
  queue.hold(first);
  queue.add(second);
  queue.add(second); // again is once
  expect(drain(queue)).toEqual([]);
  queue.remove('first', first.lane);
  expect(drain(queue)).toEqual(['second']);
});
