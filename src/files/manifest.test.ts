import { mkdtemp, open, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { BASE32_OF_32_BYTES, canonical, hash } from '../base/encoding.ts';
import {
  CHUNK_BYTES,
  chunkBytesFor,
  chunkLength,
  encodeManifest,
  MOST_CHUNKS,
  MOST_FILE_BYTES,
  parseManifest,
} from './manifest.ts';
import { hashSource, Source } from './source.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'netapp-manifest-'));
});
afterAll(() => rm(folder, { recursive: true }));

const some = hash('x');
const honest = { v: 1, name: 'a', size: 3, chunk: CHUNK_BYTES, files: [{ path: 'a', size: 3, chunks: [some] }] };
const parse = (value: unknown): unknown => {
  const bytes = Buffer.from(typeof value === 'string' ? value : canonical(value));
  return parseManifest(bytes, hash(bytes));
};

test('what is encoded is read again, and its hash is that of its bytes [F-1]', () => {
  const { bytes, hash: named } = encodeManifest(honest);
  expect(named).toBe(hash(bytes));
  expect(parseManifest(bytes, named)).toEqual(honest);
  expect(() => parseManifest(bytes, some)).toThrow(expect.objectContaining({ code: 'hash_mismatch' }));
});

test('members of later versions are skipped [F-2]', () => {
  expect(parse({ ...honest, later: 1, files: [{ ...honest.files[0], later: 5 }] })).toMatchObject(honest);
});

test.each([
  { ...honest, v: 2 },
  { v: 3, something: 'else' },
])('a later format is unsupported: %j [F-2]', (value) => {
  expect(() => parse(value)).toThrow(expect.objectContaining({ code: 'unsupported_version' }));
});

test.each([
  ['sizes that do not add up', { ...honest, size: 4 }],
  ['too few chunks', { ...honest, size: 9e6, files: [{ path: 'a', size: 9e6, chunks: [some] }] }],
  ['too many chunks', { ...honest, files: [{ path: 'a', size: 3, chunks: [some, some] }] }],
  ['chunks for no bytes', { ...honest, size: 0, files: [{ path: 'a', size: 0, chunks: [some] }] }],
  ['a petabyte', { ...honest, size: 2 ** 50, files: [{ path: 'a', size: 2 ** 50, chunks: [] }] }],
  ['a negative size', { ...honest, size: -1, files: [{ path: 'a', size: -1, chunks: [] }] }],
  ['half a byte', { ...honest, size: 0.5, files: [{ path: 'a', size: 0.5, chunks: [some] }] }],
  ['a tiny chunk', { ...honest, chunk: 1 }],
  ['an odd chunk', { ...honest, chunk: CHUNK_BYTES + 1 }],
  ['a huge chunk', { ...honest, chunk: 2 ** 40 }],
  ['no files', { ...honest, files: [] }],
  ['two files', { ...honest, files: [honest.files[0], { path: 'b', size: 0, chunks: [] }] }],
  ['another path', { ...honest, files: [{ ...honest.files[0], path: '../a' }] }],
  ['a hash of another form', { ...honest, files: [{ path: 'a', size: 3, chunks: ['x'.repeat(52)] }] }],
  ['no JSON', '{'],
  ['no object', '[]'],
])('a manifest that lies is malformed: %s [F-4]', (_what, value) => {
  expect(() => parse(value)).toThrow(expect.objectContaining({ code: 'malformed' }));
});

test('chunks grow so that 65,536 are enough [F-3]', () => {
  expect(chunkBytesFor(0)).toBe(CHUNK_BYTES);
  expect(chunkBytesFor(MOST_CHUNKS * CHUNK_BYTES)).toBe(CHUNK_BYTES);
  expect(chunkBytesFor(MOST_CHUNKS * CHUNK_BYTES + 1)).toBe(2 * CHUNK_BYTES);
  expect(Math.ceil(MOST_FILE_BYTES / chunkBytesFor(MOST_FILE_BYTES))).toBe(MOST_CHUNKS);
  expect(chunkLength(5 * CHUNK_BYTES + 1, CHUNK_BYTES, 5)).toBe(1);
});

test.each([0, 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 7])(
  'the hashes of %i bytes are those of its chunks [F-1]',
  async (size) => {
    const path = join(folder, `f${size}`);
    const data = Buffer.alloc(size, 'netapp');
    await writeFile(path, data);
    const { manifest } = await hashSource(path);
    const chunks: string[] = [];
    for (let at = 0; at < size; at += CHUNK_BYTES) chunks.push(hash(data.subarray(at, at + CHUNK_BYTES)));
    expect(manifest).toEqual({
      v: 1,
      name: `f${size}`,
      size,
      chunk: CHUNK_BYTES,
      files: [{ path: `f${size}`, size, chunks }],
    });
  },
);

test('a file that changes while it is hashed is noticed', async () => {
  const path = join(folder, 'moving');
  await writeFile(path, Buffer.alloc(4 * CHUNK_BYTES));
  const handle = await open(path, 'r+');
  let touched: Promise<unknown> | undefined;
  const hashing = hashSource(path, { onBytes: () => (touched ??= handle.write('x', 3 * CHUNK_BYTES)) });
  await expect(hashing).rejects.toMatchObject({ code: 'changed' });
  await touched;
  await handle.close();
});

test('a file that becomes shorter while it is hashed is noticed', async () => {
  const path = join(folder, 'shrinking');
  await writeFile(path, Buffer.alloc(8 * CHUNK_BYTES));
  let cut: Promise<unknown> | undefined;
  const hashing = hashSource(path, { onBytes: () => (cut ??= truncate(path, 10)) });
  await expect(hashing).rejects.toMatchObject({ code: 'changed' });
  await cut;
});

test('what cannot be sent is refused with why', async () => {
  await expect(hashSource(join(folder, 'nothing'))).rejects.toMatchObject({ code: 'unreadable' });
  await expect(hashSource(folder)).rejects.toMatchObject({ code: 'invalid_argument' });
  await symlink('/dev/zero', join(folder, 'link'));
  await expect(hashSource(join(folder, 'link'))).rejects.toMatchObject({ code: 'unreadable' });
  await expect(hashSource('/dev/zero')).rejects.toMatchObject({ code: 'invalid_argument' });
});

test('a file that was offered and has changed since is refused [F-14]', async () => {
  const path = join(folder, 'offered');
  await writeFile(path, 'one');
  const { stamp } = await hashSource(path);
  await (await Source.reopen(path, stamp))[Symbol.asyncDispose]();
  await writeFile(path, 'two and more');
  await expect(Source.reopen(path, stamp)).rejects.toMatchObject({ code: 'changed' });
  await rm(path);
  await expect(Source.reopen(path, stamp)).rejects.toMatchObject({ code: 'changed' });
});

/** The shape as a schema says it. */
const time = z.number().int().min(-62_135_596_800_000).max(253_402_300_799_999).optional();
const name = z
  .string()
  .min(1)
  .max(1024)
  .refine((text) => text.isWellFormed());
const bytes = z.number().int().nonnegative().max(MOST_FILE_BYTES);
const shape = z.object({
  v: z.number().int(),
  name,
  size: bytes,
  chunk: z.number().int(),
  folder: z.boolean().optional(),
  files: z.array(
    z.object({
      path: name,
      size: bytes,
      chunks: z.array(z.string().regex(BASE32_OF_32_BYTES)),
      mtime: time,
      exec: z.boolean().optional(),
    }),
  ),
  folders: z.array(z.object({ path: name, mtime: time })).optional(),
  links: z.array(z.object({ path: name, target: name })).optional(),
});

test('what has the shape is taken, and what has not is refused by the name of what is wrong [F-2] [F-4]', () => {
  const odd = fc.oneof(fc.string(), fc.double(), fc.boolean(), fc.constant(null), fc.constant([some]), fc.constant({}));
  const mostly = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<unknown> => fc.oneof({ weight: 12, arbitrary: value }, odd);
  const entry = (members: Record<string, fc.Arbitrary<unknown>>, requiredKeys: string[]): fc.Arbitrary<unknown> => {
    const all: Record<string, fc.Arbitrary<unknown>> = { ...members, later: odd };
    return mostly(fc.record(all, { requiredKeys }));
  };
  const [mtime, target] = [mostly(fc.integer()), mostly(fc.constant('b/c'))];
  const chunks = mostly(fc.array(mostly(fc.constant(some)), { minLength: 1, maxLength: 1 }));
  const files = fc.constantFrom('a', 'b/c', 'b/d').chain((path) => {
    const members = { path: mostly(fc.constant(path)), size: mostly(fc.constant(3)), chunks, mtime };
    return entry({ ...members, exec: mostly(fc.boolean()) }, ['path', 'size', 'chunks']);
  });
  const whole = fc.record(
    {
      v: fc.constant(1),
      name: mostly(fc.constant('n')),
      size: mostly(fc.constant(3)),
      chunk: mostly(fc.constant(CHUNK_BYTES)),
      folder: fc.constant(true),
      files: mostly(fc.array(files, { minLength: 1, maxLength: 1 })),
      folders: mostly(fc.array(entry({ path: mostly(fc.constant('e')), mtime }, ['path']), { maxLength: 1 })),
      links: mostly(fc.array(entry({ path: mostly(fc.constant('f')), target }, ['path', 'target']), { maxLength: 1 })),
      later: odd,
    },
    { requiredKeys: ['v', 'name', 'size', 'chunk', 'folder', 'files'] },
  );
  let [taken, refused] = [0, 0];
  fc.assert(
    fc.property(whole, (value) => {
      const text = JSON.stringify(value);
      const expected = shape.safeParse(JSON.parse(text));
      let fault = '';
      let parsed: unknown;
      try {
        parsed = parse(text);
      } catch (error) {
        fault = String(error);
      }
      if (expected.success) {
        // Sums and paths may still lie.
        if (fault === '') expect(parsed).toMatchObject(expected.data);
        expect(fault).not.toContain('not what it may be');
        taken += fault === '' ? 1 : 0;
        return;
      }
      refused += 1;
      const wrong = expected.error.issues.map(({ path }) => `reading a manifest: ${path.slice(0, 3).join('.')}:`);
      expect(wrong.filter((start) => fault.includes(start))).not.toEqual([]);
    }),
    { numRuns: 2000 },
  );
  expect(taken).toBeGreaterThan(100);
  expect(refused).toBeGreaterThan(100);
});

test.each([
  ['twice', ['a/b', 'c', 'a/b']],
  ['a folder, and is none', ['a/b', 'a']],
  ['a folder, and is none', ['a', 'a/b']],
  ['a folder, and is none', ['x/y/z/w', 'x/y']],
])('a path that is %s is refused: %j [F-7]', (why, paths) => {
  const files = paths.map((path) => ({ path, size: 3, chunks: [some] }));
  expect(() => parse({ ...honest, folder: true, size: 3 * files.length, files })).toThrow(why);
});

test.each(['a//b', '/a', 'a/', '.', '..', 'a/./b', 'a/../b', '../a', 'a/..', 'a\\b', 'a\0'])(
  'a path that leads elsewhere is refused: %j [F-6]',
  (path) => {
    const files = [{ path, size: 3, chunks: [some] }];
    expect(() => parse({ ...honest, folder: true, files })).toThrow(expect.objectContaining({ code: 'bad_name' }));
  },
);

test.each(['.a', '..a', 'a.', '...', 'a/.b', 'a/..b/c'])('a path that only looks odd is taken: %j [F-6]', (path) => {
  const files = [{ path, size: 3, chunks: [some] }];
  expect(parse({ ...honest, folder: true, files })).toMatchObject({ files });
});
