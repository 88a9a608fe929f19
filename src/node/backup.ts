/** Everything that a node knows and is, in one file: a tar of its home with a manifest in front. [H-12] */
import { randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { access, copyFile, link, mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Blake3Hasher } from '@napi-rs/blake-hash';
import { pack } from 'tar-stream';
import { z } from 'zod';
import { toBase32 } from '../base/encoding.ts';
import { Fault, toFault } from '../base/fault.ts';
import { Store } from '../base/sqlite.ts';
import { seal } from './sealed.ts';

/** What a backup has of a home, by its place there; whether a home must have it. The rest is made anew, or is no part of it. */
export const PARTS = [
  { path: 'account.key', needed: true, store: false },
  { path: 'node.key', needed: true, store: false },
  { path: 'node.key.crt', needed: false, store: false },
  { path: 'config.json', needed: false, store: false },
  { path: 'netapp.db', needed: true, store: true },
  { path: 'hosted.db', needed: false, store: true },
  { path: 'tracker/tracker.key', needed: false, store: false },
  { path: 'tracker/tracker.key.crt', needed: false, store: false },
  { path: 'tracker/tracker.db', needed: false, store: true },
] as const;

export const manifest = z.looseObject({
  backup: z.literal(1),
  /** Id of the account whose key is in it. */
  account: z.string(),
  handle: z.string(),
  at: z.iso.datetime(),
  files: z.array(z.looseObject({ path: z.string(), size: z.int().min(0), hash: z.string() })).max(100),
});

/** Folder in a home in which the parts of a backup are gathered; a UUID follows. */
const DRAFT = '.backup-';

export const MANIFEST = 'netapp-backup.json';

export type Backup = { file: string; bytes: number; at: number; encrypted: boolean };

export type BackupOptions = {
  home: string;
  /** Absolute; it must not be there yet. */
  file: string;
  account: string;
  handle: string;
  /** The home's own store, which is in use. */
  store: Store;
  passphrase?: string | undefined;
  /** Unix ms. */
  at: number;
};

/** Throws `exists`, `unwritable`, `disk_full`; then no file is there. */
export async function writeBackup(options: BackupOptions): Promise<Backup> {
  const { home, file, passphrase, at } = options;
  const folder = join(home, `${DRAFT}${randomUUID()}`);
  const draft = join(dirname(file), `.${randomUUID()}.netapp-backup`);
  try {
    await refuseExisting(file);
    await mkdir(folder, { mode: 0o700 });
    const files = await collect(options, folder);
    const head = { backup: 1, account: options.account, handle: options.handle, at: new Date(at).toISOString(), files };
    const tar = Readable.from(tarOf(folder, manifest.parse(head)));
    const source = passphrase === undefined ? tar : Readable.from(seal(tar, passphrase));
    await pipeline(source, createWriteStream(draft, { flags: 'wx', mode: 0o600, flush: true }));
    const { size } = await stat(draft);
    await link(draft, file); // unlike a rename, it replaces nothing
    await syncFolder(dirname(file));
    return { file, bytes: size, at, encrypted: passphrase !== undefined };
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') throw existing(file);
    throw toFault(error, `writing the backup "${file}"`, 'unwritable');
  } finally {
    await rm(draft, { force: true });
    await rm(folder, { recursive: true, force: true });
  }
}

/** Removes what a backup left that was killed with its node. Called while no other is written. */
export async function sweepDrafts(home: string): Promise<void> {
  try {
    const drafts = (await readdir(home)).filter((name) => name.startsWith(DRAFT));
    await Promise.all(drafts.map((name) => rm(join(home, name), { recursive: true, force: true })));
  } catch (error) {
    throw toFault(error, `tidying the home "${home}"`, 'unwritable');
  }
}

const existing = (file: string): Fault =>
  new Fault('exists', `writing the backup "${file}": there is such a file already; choose another name`);

async function refuseExisting(file: string): Promise<void> {
  const there = await access(file).then(
    () => true,
    () => false,
  );
  if (there) throw existing(file);
}

type Part = z.infer<typeof manifest>['files'][number];

/** Copies each part as it is at one moment, and measures it. */
async function collect({ home, store }: BackupOptions, folder: string): Promise<Part[]> {
  const files: Part[] = [];
  await mkdir(join(folder, 'tracker'), { mode: 0o700 });
  for (const part of PARTS) {
    const [from, to] = [join(home, part.path), join(folder, part.path)];
    const there = await access(from).then(
      () => true,
      () => false,
    );
    if (!there && !part.needed) continue;
    if (!part.store) await copyFile(from, to);
    else if (part.path === 'netapp.db') await store.snapshot(to);
    else await snapshotOf(from, to);
    files.push({ path: part.path, ...(await measure(to)) });
  }
  return files;
}

async function snapshotOf(from: string, to: string): Promise<void> {
  using store = new Store(from);
  await store.snapshot(to);
}

export async function measure(path: string): Promise<{ size: number; hash: string }> {
  const hasher = new Blake3Hasher();
  let size = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) {
    hasher.update(chunk);
    size += chunk.length;
  }
  return { size, hash: toBase32(hasher.digestBuffer()) };
}

async function* tarOf(folder: string, head: z.infer<typeof manifest>): AsyncGenerator<Uint8Array> {
  const tar = pack();
  const mode = 0o600;
  const written = (async () => {
    tar.entry({ name: MANIFEST, mode }, `${JSON.stringify(head, null, 2)}\n`);
    for (const { path, size } of head.files)
      await pipeline(createReadStream(join(folder, path)), tar.entry({ name: path, size, mode }));
    tar.finalize();
  })();
  written.catch((error: unknown) => tar.destroy(toFault(error, 'reading the home')));
  // The library’s stream says nothing of what it gives: bytes.
  for await (const chunk of tar) if (chunk instanceof Uint8Array) yield chunk;
  await written;
}

/** So that a new name in a folder survives a power cut. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
