/** A home from a backup: verified as a whole beside the place, then put there in one step. [H-14] */
import { randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { extract } from 'tar-stream';
import type { z } from 'zod';
import { Fault, toFault } from '../base/fault.ts';
import { Lock } from '../base/lock.ts';
import { Store } from '../base/sqlite.ts';
import { askAllAgain, askAllOfHosted } from '../chat/marks.ts';
import { loadOrCreateKey } from '../link/identity.ts';
import { MANIFEST, manifest, measure, PARTS, syncFolder } from './backup.ts';
import { skipCursors } from './events.ts';
import { homePaths } from './home.ts';
import { markRestored } from './restored.ts';
import { unseal } from './sealed.ts';

type Manifest = z.infer<typeof manifest>;

/** A manifest is a page of text. */
const MANIFEST_BYTES = 64 * 1024;

export type Restored = { home: string; handle: string; account: string; at: string };

/**
 * Throws `agent_running`, `exists` (the home is not empty), `unreadable`, `unauthenticated` (wrong passphrase),
 * `corrupt`, `disk_full`, `unwritable`. Until all is verified nothing is put in place, and after a fault nothing is left.
 */
export async function restore(options: {
  file: string;
  home: string;
  /** Asked for only where the backup is encrypted. */
  passphrase(): Promise<string | undefined>;
  signal?: AbortSignal | undefined;
}): Promise<Restored> {
  const { file, home, passphrase, signal } = options;
  await refuseUsed(home);
  const draft = join(dirname(home), `.netapp-restore-${randomUUID()}`);
  try {
    await mkdir(draft, { recursive: true, mode: 0o700 });
    const head = await unpack(unseal(createReadStream(file), passphrase), draft, signal);
    await verify(head, draft);
    refresh(join(draft, 'netapp.db'), head);
    if (head.files.some((part) => part.path === 'hosted.db')) refreshHosted(join(draft, 'hosted.db'));
    await syncFolder(draft);
    await put(draft, home);
    return { home, handle: head.handle, account: head.account, at: head.at };
  } catch (error) {
    throw toFault(error, `restoring "${file}"`, 'corrupt');
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** A home that is not there, or is an empty folder, is free. */
async function refuseUsed(home: string): Promise<void> {
  const names = await readdir(home).catch((error: NodeJS.ErrnoException): string[] => {
    if (error.code === 'ENOENT') return [];
    throw toFault(error, `looking at the home "${home}"`);
  });
  if (names.length === 0) return;
  if (names.includes('agent.lock')) Lock.take(homePaths(home).lock, 'agent')[Symbol.dispose]();
  throw new Fault(
    'exists',
    `restoring to "${home}": it is not empty; name another folder with --home, or move this one away`,
  );
}

/** The tar library’s streams say nothing of what they give: bytes. */
async function textOf(source: AsyncIterable<unknown>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) if (chunk instanceof Uint8Array) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

/** Writes the parts to `folder`; only names that a backup has are taken, each once. */
async function unpack(
  source: AsyncIterable<Uint8Array>,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<Manifest> {
  const tar = extract();
  const fed = pipeline(Readable.from(source), tar, { signal });
  fed.catch(() => {}); // the reader below is told, too
  let head: Manifest | undefined;
  const seen = new Set<string>();
  try {
    for await (const entry of tar) {
      const { name, type, size = 0 } = entry.header;
      if (!head) {
        if (name !== MANIFEST || size > MANIFEST_BYTES)
          throw new Fault('corrupt', 'opening the backup: it is none of NetApp’s');
        head = manifest.parse(JSON.parse(await textOf(entry)));
        continue;
      }
      const known = PARTS.some(({ path }) => path === name);
      if (type !== 'file' || !known || seen.has(name)) {
        throw new Fault('corrupt', `opening the backup: "${name.slice(0, 100)}" has no place in it`);
      }
      seen.add(name);
      await mkdir(dirname(join(folder, name)), { recursive: true, mode: 0o700 });
      await pipeline(entry, createWriteStream(join(folder, name), { flags: 'wx', mode: 0o600, flush: true }));
    }
    await fed;
  } catch (error) {
    await fed.catch((cause: unknown) => {
      if (cause instanceof Fault) throw cause; // such as a wrong passphrase: more than that the tar ended early
    });
    throw error;
  }
  if (!head) throw new Fault('corrupt', 'opening the backup: it is empty');
  return head;
}

async function verify(head: Manifest, folder: string): Promise<void> {
  for (const { path, needed } of PARTS) {
    const named = head.files.find((file) => file.path === path);
    const there = await measure(join(folder, path)).catch(() => undefined);
    if (!named && !there && !needed) continue;
    if (!named || !there || named.size !== there.size || named.hash !== there.hash) {
      throw new Fault('corrupt', `verifying the backup: "${path}" is missing or damaged`);
    }
  }
  const key = await loadOrCreateKey(join(folder, 'account.key'));
  if (key.id !== head.account) throw new Fault('corrupt', 'verifying the backup: it has the key of another account');
  for (const { path, store } of PARTS) {
    if (store && head.files.some((file) => file.path === path)) checkStore(join(folder, path));
  }
}

/** What was written after the backup was taken is with those who got it. */
function refresh(path: string, { account, at }: Manifest): void {
  using store = new Store(path);
  askAllAgain(store, account);
  markRestored(store, at);
  skipCursors(store);
}

/** The same for each account that the node hosts beside its own. */
function refreshHosted(path: string): void {
  using store = new Store(path);
  const rows = store.prepare<{ account: string }>('SELECT account FROM hosted_accounts').all();
  askAllOfHosted(
    store,
    rows.map(({ account }) => account),
  );
  skipCursors(store);
}

function checkStore(path: string): void {
  using store = new Store(path);
  const row = store.prepare<{ quick_check: string }>('PRAGMA quick_check(1)').get();
  if (row?.quick_check !== 'ok') throw new Fault('corrupt', `verifying the backup: "${path}" is damaged`);
}

/** A folder is renamed onto an empty one in one step, or not at all. */
async function put(draft: string, home: string): Promise<void> {
  try {
    await rename(draft, home);
    await syncFolder(dirname(home));
  } catch (error) {
    throw toFault(error, `putting the restored home at "${home}": it must be no mount point, and empty`, 'unwritable');
  }
}
