import { expect, test } from 'vitest';
import { iceSide, readSide, writeSide } from './ice-side.ts';

const side = {
  ufrag: '+jQn',
  pwd: '27fat4MJ9FKwJ9WoBS9ruE',
  fingerprint: Array<string>(32).fill('C1').join(':'),
  candidates: [
    { host: '203.0.113.7', port: 4000, type: 'srflx' as const },
    { host: '2001:db8::7', port: 4001, type: 'host' as const },
  ],
};

test('what is written of a side reads as the same [N-40]', () => {
  const text = writeSide(side, 'passive');
  expect(readSide(text)).toEqual(side);
  expect(text).toContain('a=setup:passive');
});

test('nothing of a side can end a line of it [N-40]', () => {
  const bad = [
    { ...side, ufrag: 'abcd\r\na=candidate:1 1 UDP 1 198.51.100.1 80 typ host' },
    { ...side, pwd: `${side.pwd}\n` },
    { ...side, fingerprint: `${side.fingerprint}\r\n` },
    { ...side, candidates: [{ host: '203.0.113.7 80 typ host\r\n', port: 1, type: 'host' }] },
    { ...side, candidates: [{ host: 'lab.example', port: 1, type: 'host' }] },
    { ...side, candidates: [{ host: '203.0.113.7', port: 1, type: 'relay' }] },
    { ...side, candidates: Array.from({ length: 7 }, () => side.candidates[0]) },
  ];
  for (const each of bad) expect(iceSide.safeParse(each).success).toBe(false);
});
