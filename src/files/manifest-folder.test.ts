/** What the manifest of a folder may say, and what whoever lies is told. */
import { expect, test } from 'vitest';
import { canonical, hash } from '../base/encoding.ts';
import { CHUNK_BYTES, MOST_ENTRIES, parseManifest } from './manifest.ts';

const some = hash('x');
const one = { path: 'a', size: 3, chunks: [some] };
const empty = (path: string) => ({ path, size: 0, chunks: [] });
const honest = { v: 1, name: 'f', folder: true, size: 3, chunk: CHUNK_BYTES, files: [one] };
const parse = (value: unknown): unknown => {
  const bytes = Buffer.from(canonical(value));
  return parseManifest(bytes, hash(bytes));
};

test('a folder has files in order, with times; folders, and links [F-7]', () => {
  const whole = {
    ...honest,
    files: [one, { ...empty('sub/b'), mtime: 1_700_000_000_000, exec: true }],
    folders: [{ path: 'sub' }, { path: 'sub/bare', mtime: -5 }],
    links: [{ path: 'sub/l', target: '../a' }],
  };
  expect(parse(whole)).toEqual(whole);
  expect(parse({ ...honest, size: 0, files: [] })).toMatchObject({ files: [] });
});

test.each([
  ['..', '../a'],
  ['..in the middle', 'a/../../b'],
  ['.', './a'],
  ['an absolute path', '/etc/passwd'],
  ['an empty name', 'a//b'],
  ['an end without a name', 'a/'],
  ['NUL', 'a\0b'],
  ['a separator of others', 'a\\..\\b'],
])('a path with %s is a bad name, as a file, a folder and a link [F-6]', (_what, path) => {
  for (const bad of [
    { ...honest, files: [one, empty(path)] },
    { ...honest, folders: [{ path }] },
    { ...honest, links: [{ path, target: 'a' }] },
  ]) {
    expect(() => parse(bad)).toThrow(expect.objectContaining({ code: 'bad_name' }));
  }
});

const half = `${'\ud800'}`;
test.each([
  ['a path twice', { ...honest, files: [one, empty('a')] }],
  ['a folder twice', { ...honest, folders: [{ path: 'b' }, { path: 'b' }] }],
  ['a file and a folder of one path', { ...honest, folders: [{ path: 'a' }] }],
  ['a file below a file', { ...honest, files: [one, empty('a/b')] }],
  ['a file deep below a file', { ...honest, files: [one, empty('a/b/c/d')] }],
  ['a file below a link', { ...honest, files: [one, empty('l/b')], links: [{ path: 'l', target: 'x' }] }],
  ['a folder below a link', { ...honest, folders: [{ path: 'l/b' }], links: [{ path: 'l', target: 'x' }] }],
  ['a link and a file of one path', { ...honest, links: [{ path: 'a', target: 'x' }] }],
  ['a link to nothing', { ...honest, links: [{ path: 'l', target: '' }] }],
  ['sizes that do not add up', { ...honest, size: 4 }],
  ['chunks that overlap into the next file', { ...honest, files: [{ ...one, chunks: [some, some] }] }],
  ['a petabyte', { ...honest, size: 2 ** 50, files: [{ path: 'a', size: 2 ** 50, chunks: [] }] }],
  [
    'more bytes than chunks of this size can be',
    {
      ...honest,
      size: 2 ** 37,
      files: [0, 1].map((n) => ({ path: `${n}`, size: 2 ** 36, chunks: Array(2 ** 16).fill(some) })),
    },
  ],
  ['a time after all times', { ...honest, files: [{ ...one, mtime: 1e300 }] }],
  ['a path that is too long', { ...honest, files: [one, empty('b'.repeat(1025))] }],
])('a folder that lies is malformed: %s [F-4] [F-7]', (_what, value) => {
  expect(() => parse(value)).toThrow(expect.objectContaining({ code: 'malformed' }));
});

test('a name that is no text is malformed [F-4]', () => {
  const bytes = Buffer.from(JSON.stringify({ ...honest, files: [one, empty(`b${half}`)] }));
  expect(() => parseManifest(bytes, hash(bytes))).toThrow(expect.objectContaining({ code: 'malformed' }));
});

test('a million empty files may be, one more may not [F-7]', () => {
  const files = Array.from({ length: MOST_ENTRIES + 1 }, (_, n) => empty(`${n}`));
  const text = JSON.stringify({ ...honest, size: 0, files });
  const bytes = Buffer.from(text);
  expect(() => parseManifest(bytes, hash(bytes))).toThrow(expect.objectContaining({ code: 'malformed' }));
});

test('a single file has no folders and links beside it [F-4]', () => {
  const single = { ...honest, folder: false, name: 'a' };
  expect(parse(single)).toMatchObject({ name: 'a' });
  expect(() => parse({ ...single, links: [] })).toThrow(expect.objectContaining({ code: 'malformed' }));
});
