/** A list that is read while it comes says what it says when it is read as a whole, or is left to be read so. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { canonical, hash, readBase32 } from '../base/encoding.ts';
import { folderCalls } from './folder-thread.ts';
import { CHUNK_BYTES, type Manifest, parseListing, parseManifest } from './manifest.ts';
import { ManifestReader } from './manifest-reader.ts';

/** What was read of `text` that came up to each of these bytes, one after the other. */
function read(text: string, cuts: readonly number[] = []): ReturnType<ManifestReader['end']> {
  const bytes = Buffer.from(text);
  const reader = new ManifestReader(bytes);
  for (const cut of cuts) reader.came(Math.min(cut, bytes.length));
  return reader.end();
}

const digestsOf = ({ files }: Manifest): Buffer => {
  const chunks = files.flatMap(({ chunks }) => chunks);
  const digests = Buffer.alloc(32 * chunks.length);
  for (const [n, chunk] of chunks.entries()) readBase32(chunk, digests, 32 * n);
  return digests;
};

const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
const file = fc.record(
  {
    path: fc.oneof(name, fc.constantFrom('},{"chunks":[', '],"folder":', '"', '\\', '\u{1f600}', '\ufeff')),
    size: fc.constantFrom(0, 1, 4096, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES),
    mtime: fc.integer({ min: -62_135_596_800_000, max: 253_402_300_799_999 }),
    exec: fc.constant(true),
  },
  { requiredKeys: ['path', 'size'] },
);
const manifest = fc.record({ files: fc.array(file, { maxLength: 12 }), name }).map(
  ({ files, name }): Manifest => ({
    v: 1,
    name,
    folder: true,
    chunk: CHUNK_BYTES,
    size: files.reduce((sum, { size }) => sum + size, 0),
    files: files.map((each, n) => {
      const count = Math.ceil(each.size / CHUNK_BYTES);
      return {
        ...each,
        path: `${n}${each.path}`,
        chunks: Array.from({ length: count }, (_, at) => hash(`${n}.${at}`)),
      };
    }),
    folders: [{ path: 'folder', mtime: 5 }],
  }),
);

test('whatever this program writes is read so, however it is cut on its way, and is what it is when it is read as a whole', () => {
  fc.assert(
    fc.property(manifest, fc.array(fc.nat(3000), { maxLength: 6 }), (value, cuts) => {
      const text = canonical(value);
      const known = read(
        text,
        cuts.toSorted((a, b) => a - b),
      );
      const files = value.files.map(({ chunks: _, ...rest }) => ({ exec: undefined, mtime: undefined, ...rest }));
      expect(known?.json).toEqual({ ...value, files });
      expect(known?.digests).toEqual(digestsOf(value));
    }),
  );
});

const some = hash('x');
const listed = `{"chunks":["${some}"],"path":"a","size":3}`;
const whole = (files: string, rest = '"folder":true,"name":"f","size":3,"v":1'): string =>
  `{"chunk":${CHUNK_BYTES},"files":[${files}],${rest}}`;

test.each([
  ['spaces', whole(listed.replace('"size":', '"size": '))],
  ['members in another order', whole(`{"path":"a","size":3,"chunks":["${some}"]}`)],
  ['a member that nobody knows', whole(listed.replace('"size"', '"rank":1,"size"'))],
  ['another member first', `{"best":1,${whole(listed).slice(1)}`],
  ['what need not be said', whole(listed.replace(',"path"', ',"exec":false,"path"'))],
  ['a comma after the last file', whole(`${listed},`)],
  ['a comma after the last hash', whole(listed.replace('"],', '",],'))],
  ['no comma', whole(listed + listed)],
  ['the files twice', whole(listed, `"folder":true,"files":[],"name":"f","size":3,"v":1`)],
  ['the size of a chunk twice', whole(listed, `"folder":true,"chunk":1,"name":"f","size":3,"v":1`)],
  ['a letter that is none of a hash', whole(listed.replace(some, `${some.slice(0, 51)}b`))],
  ['a hash too short', whole(listed.replace(some, some.slice(1)))],
  ['more hashes than chunks', whole(listed.replace(`"${some}"`, `"${some}","${some}"`))],
  ['fewer hashes than chunks', whole(listed.replace(`"${some}"`, ''))],
  ['an empty path', whole(listed.replace('"a"', '""'))],
  ['half a character', whole(listed.replace('"a"', '"\\ud800"'))],
  ['a line within a text', whole(listed.replace('"a"', '"a\nb"'))],
  ['a path too long', whole(listed.replace('"a"', `"${'a'.repeat(1025)}"`))],
  ['a size below nothing', whole(listed.replace(':3', ':-3'))],
  ['a nothing below nothing', whole(`{"chunks":[],"path":"a","size":-0}`)],
  ['a fraction', whole(listed.replace(':3', ':3.5'))],
  ['a power', whole(listed.replace(':3', ':3e0'))],
  ['a zero first', whole(listed.replace(':3', ':03'))],
  ['no number', whole(listed.replace(':3', ':'))],
  ['a time past all years', whole(listed.replace('"path"', '"mtime":253402300800000,"path"'))],
  ['a number too large to be exact', whole(listed.replace(':3', ':9007199254740993'))],
  ['no end', whole(listed).slice(0, -20)],
  ['nothing', ''],
])('%s: it is left to who knows all of JSON', (_what, text) => {
  expect(read(text)).toBeUndefined();
  expect(read(text, [60, 100, 200])).toBeUndefined();
});

test('an empty list is one too', () => {
  const text = whole('', '"folder":true,"name":"f","size":0,"v":1');
  expect(read(text)).toMatchObject({ json: { files: [], name: 'f' }, digests: Buffer.alloc(0) });
});

test('what was read ahead is looked at like any other, and believed only for its hash [F-4] [F-6]', () => {
  const listing = (text: string, expected = hash(text)): unknown =>
    parseListing(Buffer.from(text), expected, () => read(text)?.json);
  expect(listing(whole(listed))).toMatchObject({ files: [{ path: 'a', size: 3 }] });
  for (const bad of [
    whole(listed, '"folder":true,"name":"f","size":4,"v":1'),
    whole(listed, '"folder":true,"name":"f","size":3,"v":2'),
    whole(listed, '"folder":1,"name":"f","size":3,"v":1'),
    whole(`${listed},${listed}`, '"folder":true,"name":"f","size":6,"v":1'),
    whole(listed.replace('"a"', '"../a"')),
  ]) {
    expect(read(bad)).toBeDefined();
    let said: unknown;
    try {
      parseManifest(Buffer.from(bad), hash(bad));
    } catch (error) {
      said = error;
    }
    expect(said).toBeDefined();
    expect(() => listing(bad)).toThrow(expect.objectContaining({ message: (said as Error).message }));
  }
  expect(() => listing(whole(listed), hash('other'))).toThrow(expect.objectContaining({ code: 'hash_mismatch' }));
});

test('a list of wrong bytes is refused, and does not stand in the way of the right one', () => {
  const calls = folderCalls(() => false);
  const [right, wrong] = [whole(listed), whole(listed.replace('"a"', '"b"'))].map((text) => Buffer.from(text));
  const ticket = { name: 'f', size: 3, entries: 1 };
  const root = '/proc/nowhere';
  const open = (bytes = Buffer.alloc(0)) =>
    calls.openPart(bytes, hash(whole(listed)), { root, known: undefined, ticket });
  calls.expect(wrong ?? Buffer.alloc(0));
  calls.came(wrong?.length ?? 0);
  expect(() => open(wrong)).toThrow(expect.objectContaining({ code: 'hash_mismatch' }));
  calls.expect(right ?? Buffer.alloc(0));
  expect(() => open(right)).toThrow(expect.objectContaining({ code: 'ENOENT' })); // there is no such place to write
});
