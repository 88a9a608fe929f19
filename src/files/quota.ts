/** How many bytes of received and spooled files are here, and how many may be. */
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault } from '../base/fault.ts';
import type { Settings } from './settings.ts';
import type { FileStore } from './store.ts';
import { roomOf, type Transfer } from './transfer.ts';

/** Bytes in all, and by contact. */
export type Usage = { received: number; spooled: number; byContact: Map<string, number> };

export class Quota {
  readonly #store: FileStore;
  readonly #settings: Settings;
  readonly #spool: string | undefined;

  constructor(options: { store: FileStore; settings: Settings; spool: string | undefined }) {
    this.#store = options.store;
    this.#settings = options.settings;
    this.#spool = options.spool;
  }

  /** What is here: files that still lie where they were received count, those on their way count whole. */
  async usage(except?: string): Promise<Usage> {
    const usage: Usage = { received: 0, spooled: 0, byContact: new Map() };
    for (const transfer of this.#store.all()) {
      if (transfer.direction !== 'in' || transfer.id === except || !(await isHere(transfer))) continue;
      const room = roomOf(transfer);
      usage.received += room;
      usage.byContact.set(transfer.peer, (usage.byContact.get(transfer.peer) ?? 0) + room);
    }
    if (this.#spool !== undefined) usage.spooled = await bytesBelow(this.#spool);
    return usage;
  }

  /** Throws `too_large` where one more file of this size is more than was allowed. */
  async admit(transfer: Transfer): Promise<void> {
    const { id, peer, name } = transfer;
    const size = roomOf(transfer);
    const { quota } = this.#settings.limits();
    const own = this.#settings.contact(peer).quota;
    if (quota === null && own === null) return;
    const { received, spooled, byContact } = await this.usage(id);
    const refuse = (used: number, most: number, whose: string): Fault =>
      new Fault(
        'too_large',
        `accepting "${name}": ${size} bytes, and ${used} of ${most} ${whose} are used; remove received files, or raise the quota with "netapp files quota"`,
      );
    if (quota !== null && received + spooled + size > quota) throw refuse(received + spooled, quota, 'in all');
    const used = byContact.get(peer) ?? 0;
    if (own !== null && used + size > own) throw refuse(used, own, 'for this contact');
  }
}

/** On its way, or still where it was put. */
async function isHere({ state, path }: Transfer): Promise<boolean> {
  if (state === 'accepted' || state === 'fetching') return true;
  return state === 'done' && (await lstat(path).catch(() => undefined)) !== undefined;
}

/** Bytes of the files in a folder and below it; 0 where there is none. */
export async function bytesBelow(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  let bytes = 0;
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    bytes += (await lstat(join(entry.parentPath, entry.name)).catch(() => undefined))?.size ?? 0;
  }
  return bytes;
}
