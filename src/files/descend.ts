/**
 * The folders below one root, each opened through the one above it, so that a symlink on the way is never followed, also not
 * one that was put there meanwhile. Calls that wait for the disk: for worker threads. [F-28]
 */
import { closeSync, constants, lstatSync, mkdirSync, openSync, readlinkSync } from 'node:fs';
import { sep } from 'node:path';
import { Fault } from '../base/fault.ts';

/** Folders held open: paths come in order, so those above the present one and a few beside it. */
const MOST_OPEN = 64;
/**
 * Where Linux has this process's open folders, so that a name is opened relative to one; elsewhere each folder on the way is
 * looked at instead. Not by `/proc/self`, which is one link more for each name.
 */
function openFolders(): string | undefined {
  try {
    return `/proc/${readlinkSync('/proc/self')}/fd`;
  } catch {
    return undefined;
  }
}

export type Below = { parent: number; name: string };

export class Descent implements Disposable {
  readonly root: string;
  readonly #below: readonly Below[];
  readonly #open = new Map<number, { fd: number; prefix: string }>();
  readonly #openFolders = openFolders();

  /** `below` says where each folder is; the first is `root` itself. It may grow. */
  constructor(root: string, below: readonly Below[]) {
    this.root = root;
    this.#below = below;
  }

  /** What to put before a name in folder `number`. Throws `unwritable` where it is none, or an error of the system. */
  prefix(number: number): string {
    const known = this.#open.get(number);
    if (known) return known.prefix;
    return this.#openFolders ? this.#descriptor(number).prefix : this.#checked(number);
  }

  /** The folder's own descriptor; undefined where there is none. */
  descriptor(number: number): number | undefined {
    return this.#openFolders ? (this.#open.get(number) ?? this.#descriptor(number)).fd : undefined;
  }

  /** Makes folder `number`, unless it is there. */
  make(number: number): void {
    const { parent, name } = this.#at(number);
    try {
      mkdirSync(this.prefix(parent) + name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error; // a system error of fs
    }
    this.prefix(number); // throws where it is something else
  }

  #at(number: number): Below {
    const below = this.#below[number];
    if (!below) throw new RangeError(`no folder ${number}`);
    return below;
  }

  #pathOf(number: number): string {
    if (number === 0) return this.root;
    const { parent, name } = this.#at(number);
    return this.prefix(parent) + name;
  }

  #descriptor(number: number): { fd: number; prefix: string } {
    const fd = openSync(this.#pathOf(number), constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    const opened = { fd, prefix: `${this.#openFolders}/${fd}/` };
    this.#open.set(number, opened);
    for (const [oldest, { fd: old }] of this.#open) {
      if (this.#open.size <= MOST_OPEN) break;
      if (oldest === number) continue;
      this.#open.delete(oldest);
      closeSync(old);
    }
    return opened;
  }

  #checked(number: number): string {
    const path = this.#pathOf(number);
    if (!lstatSync(path).isDirectory()) throw new Fault('unwritable', `opening "${path}": it is no folder any more`);
    return path + sep;
  }

  [Symbol.dispose](): void {
    for (const { fd } of this.#open.values()) closeSync(fd);
    this.#open.clear();
  }
}
