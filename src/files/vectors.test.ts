/** The vectors of docs/protocol-files.md, by which another language can check itself, hold for this program too. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { hash as hashOf } from '../base/encoding.ts';
import { bindingHolds } from '../link/binding.ts';
import { read } from './capability.ts';
import { chunkBytesFor, encodeManifest, parseManifest } from './manifest.ts';
import { safeName } from './paths.ts';
import { readRange } from './range.ts';
import { hashSource } from './source.ts';
import { decodeAccount, encodeAccount } from './wire.ts';

const shape = z.object({
  manifests: z.array(z.object({ name: z.string(), size: z.number(), bytes: z.string(), hash: z.string() })),
  refused: z.array(z.object({ fault: z.string(), bytes: z.string() })),
  chunk: z.array(z.object({ size: z.number(), chunk: z.number() })),
  names: z.array(z.object({ name: z.string(), written: z.string().optional(), fault: z.string().optional() })),
  ranges: z.array(z.object({ header: z.string(), size: z.number(), answer: z.unknown() })),
  account: z.object({ binding: z.unknown(), header: z.string() }),
  capability: z.object({ issuer: z.string(), hash: z.string(), id: z.string(), until: z.number(), text: z.string() }),
});
const file = join(import.meta.dirname, '../../test/vectors/files.json');
const vectors = shape.parse(JSON.parse(await readFile(file, 'utf8')));

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'netapp-vectors-'));
});
afterAll(() => rm(folder, { recursive: true }));

test.each(vectors.manifests)(
  'the manifest of $size bytes called "$name" [F-1] [F-3]',
  async ({ name, size, bytes, hash }) => {
    const path = join(folder, 'source');
    await writeFile(
      path,
      Uint8Array.from({ length: size }, (_, n) => n % 251),
    );
    const { manifest } = await hashSource(path, { name });
    const encoded = encodeManifest(manifest);
    expect(encoded.bytes.toString()).toBe(bytes);
    expect(encoded.hash).toBe(hash);
    expect(parseManifest(Buffer.from(bytes), hash)).toEqual(manifest);
  },
);

test.each(vectors.refused)('$fault: $bytes [F-2] [F-4]', ({ fault, bytes }) => {
  expect(() => parseManifest(Buffer.from(bytes), hashOf(bytes))).toThrow(expect.objectContaining({ code: fault }));
});

test.each(vectors.chunk)('chunks of a file of $size bytes have $chunk [F-3]', ({ size, chunk }) => {
  expect(chunkBytesFor(size)).toBe(chunk);
});

test.each(vectors.names)('the name "$name" [F-20]', ({ name, written, fault }) => {
  if (written !== undefined) expect(safeName(name, 'linux')).toBe(written);
  else expect(() => safeName(name, 'linux')).toThrow(expect.objectContaining({ code: fault }));
});

test.each(vectors.ranges)('the range $header of $size bytes [F-11]', ({ header, size, answer }) => {
  expect(readRange(header, size)).toEqual(answer);
});

test('the account header [F-10]', () => {
  const binding = decodeAccount(vectors.account.header);
  expect(binding).toEqual(vectors.account.binding);
  expect(encodeAccount(binding)).toBe(vectors.account.header);
  expect(bindingHolds(binding, binding.node, binding.until - 1)).toBe(true);
});

test('the capability is read, by its issuer, for its manifest and before its end [F-50]', () => {
  const { issuer, hash, id, until, text } = vectors.capability;
  expect(read(text, { issuer, hash, now: until - 1 })).toEqual({ id, until });
  expect(read(text, { issuer, hash, now: until })).toBeUndefined();
  expect(read(text, { issuer, hash: vectors.manifests[1]?.hash ?? '', now: until - 1 })).toBeUndefined();
});
