import { networkInterfaces } from 'node:os';
import { expect, test } from 'vitest';
import { Key } from '../link/identity.ts';
import { nearby, pairs, targets } from './candidates.ts';
import type { View } from './outlook.ts';
import { signSighting } from './sighting.ts';

const [tracker, here, there] = [Key.generate(), Key.generate(), Key.generate()];
const sightingOf = (node: Key, address: string) => signSighting(tracker, { node: node.id, address, at: 1000 });
const view = (address: string, family: 4 | 6 = 4): View => ({
  family,
  local: family === 4 ? '192.168.1.2' : 'fd00::2',
  sighting: sightingOf(here, address),
});
const tried = (mine: View[], theirs: string[], locals: string[] = []) =>
  targets({ mine, theirs: theirs.map((each) => sightingOf(there, each)), locals, node: there.id });

test('tried is what the tracker saw, in the families in which it saw both [N-32]', () => {
  const mine = [view('203.0.113.1:1000'), view('[2001:db8::1]:1000', 6)];
  expect(tried(mine, ['203.0.113.2:2000', '[2001:db8::2]:2000'])).toEqual(['203.0.113.2:2000', '[2001:db8::2]:2000']);
  expect(tried(mine.slice(0, 1), ['203.0.113.2:2000', '[2001:db8::2]:2000'])).toEqual(['203.0.113.2:2000']);
  expect(tried(mine.slice(0, 1), ['[2001:db8::2]:2000'])).toEqual([]);
});

test('nothing is tried that somebody claims of themself, or of another [N-32]', () => {
  const mine = [view('203.0.113.1:1000')];
  const seen = sightingOf(there, '203.0.113.2:2000');
  const moved = { ...seen, address: '198.51.100.1:80' };
  const own = signSighting(there, { node: there.id, address: '198.51.100.1:80', at: 1000 });
  for (const theirs of [moved, own, { ...own, tracker: tracker.id }, sightingOf(Key.generate(), '198.51.100.1:80')]) {
    expect(targets({ mine, theirs: [theirs], locals: ['198.51.100.1:80'], node: there.id })).toEqual([]);
  }
});

test('a private address is one for whom the tracker sees at a private one too [N-32]', () => {
  expect(tried([view('203.0.113.1:1000')], ['192.168.7.7:80'])).toEqual([]);
  expect(tried([view('203.0.113.1:1000')], ['127.0.0.1:80'])).toEqual([]);
  expect(tried([view('192.168.7.1:1000')], ['192.168.7.7:80'])).toEqual(['192.168.7.7:80']);
});

test('own addresses count only for two that are seen at one address, and in networks that this machine is in [N-34]', () => {
  const foreign = ['198.51.100.1:80', '127.0.0.1:80', '169.254.1.1:80', '[fe80::1]:80', 'lab.example:80'];
  expect(nearby(foreign)).toEqual([]);
  const near = Object.values(networkInterfaces())
    .flatMap((each) => each ?? [])
    .filter(({ internal, address }) => !internal && /^(10\.|192\.168\.|fd)/.test(address))
    .map(({ address }) => (address.includes(':') ? `[${address}]:4000` : `${address}:4000`))
    .slice(0, 1);
  expect(nearby(near)).toHaveLength(near.length);
  const same = [view('203.0.113.1:1000')];
  expect(tried(same, ['203.0.113.1:2000'], foreign)).toEqual(['203.0.113.1:2000']);
  expect(tried(same, ['203.0.113.2:2000'], near), 'they are somewhere else').toEqual(['203.0.113.2:2000']);
});

test('each sighting is used once, however many are shown [N-37]', () => {
  const mine = [view('203.0.113.1:1000')];
  const many = Array.from({ length: 50 }, (_, n) => sightingOf(there, `203.0.113.2:${2000 + n}`));
  expect(pairs(mine, many, there.id)).toHaveLength(1);
  expect(targets({ mine, theirs: many, locals: [], node: there.id })).toEqual(['203.0.113.2:2000']);
});
