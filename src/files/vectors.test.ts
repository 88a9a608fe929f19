/** The vectors of docs/protocol-files.md, by which another language can check itself, hold for this program too. */
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { canonical, fromBase64url, hash as hashOf, toBase64url } from '../base/encoding.ts';
import { bindingHolds } from '../link/binding.ts';
import { read } from './capability.ts';
import { hashFolder } from './folder-source.ts';
import { Held, slicesOf } from './held.ts';
import { Layout } from './layout.ts';
import { linkEnd } from './links.ts';
import { chunkBytesFor, encodeManifest, parseManifest } from './manifest.ts';
import { safeName } from './paths.ts';
import { readRange } from './range.ts';
import { hashSource } from './source.ts';
import { decodeAccount, encodeAccount, ticket } from './wire.ts';

const shape = z.object({
  manifests: z.array(z.object({ name: z.string(), size: z.number(), bytes: z.string(), hash: z.string() })),
  refused: z.array(z.object({ fault: z.string(), bytes: z.string() })),
  chunk: z.array(z.object({ size: z.number(), chunk: z.number() })),
  names: z.array(z.object({ name: z.string(), written: z.string().optional(), fault: z.string().optional() })),
  ranges: z.array(z.object({ header: z.string(), size: z.number(), answer: z.unknown() })),
  folder: z.object({
    name: z.string(),
    files: z.array(z.object({ path: z.string(), size: z.number(), mtime: z.number(), exec: z.boolean() })),
    folders: z.array(z.object({ path: z.string(), mtime: z.number() })),
    links: z.array(z.object({ path: z.string(), target: z.string() })),
    bytes: z.string(),
    hash: z.string(),
    ticket: z.unknown(),
    chunks: z.array(z.unknown()),
  }),
  links: z.array(z.object({ path: z.string(), target: z.string(), end: z.string().nullable() })),
  account: z.object({ binding: z.unknown(), header: z.string() }),
  have: z.array(z.object({ chunks: z.number(), whole: z.array(z.number()), text: z.string() })),
  slices: z.array(z.object({ chunk: z.number(), length: z.number(), mask: z.number() })),
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

test.each(vectors.refused)('$fault: $bytes [F-2] [F-4] [F-6] [F-7]', ({ fault, bytes }) => {
  expect(() => parseManifest(Buffer.from(bytes), hashOf(bytes))).toThrow(expect.objectContaining({ code: fault }));
});

test('the manifest, the ticket and the chunks of a folder [F-5] [F-6] [F-7]', async () => {
  const { name, files, folders, links, bytes, hash, ticket: offered, chunks } = vectors.folder;
  const root = join(folder, name);
  for (const { path } of [{ path: '' }, ...folders]) await mkdir(join(root, path));
  for (const { path, size, mtime, exec } of files) {
    await writeFile(
      join(root, path),
      Uint8Array.from({ length: size }, (_, n) => n % 251),
    );
    await chmod(join(root, path), exec ? 0o755 : 0o644);
    await utimes(join(root, path), mtime / 1000, mtime / 1000);
  }
  for (const { path, target } of links) await symlink(target, join(root, path));
  for (const { path, mtime } of folders) await utimes(join(root, path), mtime / 1000, mtime / 1000);
  const made = hashFolder(root, name, () => {});
  expect(made.bytes.toString()).toBe(bytes);
  expect(made.hash).toBe(hash);
  expect(ticket.parse(offered)).toEqual({ hash, name, size: made.size, folder: { entries: made.entries } });
  const manifest = parseManifest(Buffer.from(bytes), hash);
  expect(canonical(manifest)).toBe(bytes);
  const layout = new Layout(
    manifest.chunk,
    manifest.files.map(({ size }) => size),
  );
  expect(Array.from({ length: layout.chunks }, (_, number) => layout.place(number))).toEqual(chunks);
});

test.each(vectors.links)('the link at $path to $target [F-26]', ({ path, target, end }) => {
  expect(linkEnd(path, target) ?? null).toBe(end);
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

test.each(vectors.have)('the have-bitmap of chunks $whole of $chunks [F-41]', ({ chunks, whole, text }) => {
  const held = new Held(chunks);
  for (const chunk of whole) held.gain(chunk);
  expect(toBase64url(held.whole.bytes())).toBe(text);
  const heard = new Held(chunks, fromBase64url(text)).whole;
  expect(Array.from({ length: chunks }, (_, n) => n).filter((n) => heard.has(n))).toEqual(whole);
});

test.each(vectors.slices)(
  'the slices of a chunk of $length bytes where others have $chunk [F-40]',
  ({ chunk, length, mask }) => {
    expect(slicesOf({ chunks: 1, chunkBytes: chunk, lengthOf: () => length }, 0)).toBe(mask);
  },
);

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
