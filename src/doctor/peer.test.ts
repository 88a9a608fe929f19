import { expect, test } from 'vitest';
import type { PeerReach } from '../api/network.ts';
import { told } from './peer.ts';

const bob: PeerReach = {
  handle: 'bob@lab',
  id: 'b',
  status: 'online',
  lastSeen: '2026-03-01T10:00:00.000Z',
  link: null,
  ways: [],
  waiting: { queued: 0, held: 0, files: 0 },
};
const way = (rung: PeerReach['ways'][number]['rung'], label: string, reason: string | null) => ({
  rung,
  label,
  works: reason === null,
  ms: 12,
  reason,
});
const brief = (reach: PeerReach) => told(reach).map(({ about, level }) => `${about} ${level}`);

test('every rung is told of, tried or not', () => {
  const ways = [way('lan', '10.0.0.7:1', 'nobody answers'), way('relay', 'relay by lab', null)];
  expect(brief({ ...bob, ways })).toEqual([
    'who ok',
    'lan note',
    'relay ok',
    'direct note',
    'punched note',
    'link note',
    'waiting ok',
  ]);
  const says = told({ ...bob, ways }).map(({ says }) => says);
  expect(says).toContain('10.0.0.7:1 failed after 12 ms: nobody answers');
  expect(says).toContain('relay by lab works, within 12 ms');
});

test('on one machine nothing else is missed', () => {
  expect(brief({ ...bob, ways: [way('local', '127.0.0.1:1', null)] })).toEqual([
    'who ok',
    'local ok',
    'link note',
    'waiting ok',
  ]);
});

test('somebody who is there and not reached is bad; somebody who is away is not', () => {
  const ways = [way('direct', '192.0.2.7:1', 'nobody answers')];
  expect(told({ ...bob, ways }).find(({ level }) => level === 'bad')).toMatchObject({ code: 'peer_unreachable' });
  expect(told({ ...bob, ways, status: 'offline' }).some(({ level }) => level === 'bad')).toBe(false);
});

test('what waits is told by where it is', () => {
  const waiting = told({ ...bob, waiting: { queued: 2, held: 3, files: 1 } }).at(-1);
  expect(waiting).toMatchObject({
    level: 'note',
    says: '2 messages wait here, 3 messages are held for them by a mailbox, 1 files wait or move',
  });
});
