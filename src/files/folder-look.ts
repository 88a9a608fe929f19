/** Looks that a folder that was written holds what it should, and nothing else. Calls that wait for the disk: for worker threads. */
import { readdirSync } from 'node:fs';
import { Fault } from '../base/fault.ts';
import type { Plan } from './plan.ts';

/** Names of one kind that a folder should have. Asked for in their own order, as a rule: then nothing has to be looked up. */
class Names {
  readonly #names: string[] = [];
  #next = 0;
  #all: Set<string> | undefined;

  add(name: string): void {
    this.#names.push(name);
  }

  get count(): number {
    return this.#names.length;
  }

  has(name: string): boolean {
    if (this.#names[this.#next] === name) {
      this.#next += 1;
      return true;
    }
    this.#all ??= new Set(this.#names);
    return this.#all.has(name);
  }
}

type Expected = { file: Names; folder: Names; link: Names };

function expectedBy({ files, folders, links }: Plan): Expected[] {
  const expected = folders.map(() => ({ file: new Names(), folder: new Names(), link: new Names() }));
  for (const { folder, name } of files) expected[folder]?.file.add(name);
  for (const [number, { parent, name }] of folders.entries()) if (number > 0) expected[parent]?.folder.add(name);
  for (const { folder, name } of links) expected[folder]?.link.add(name);
  return expected;
}

/**
 * Throws `unwritable` where a name below is missing, of another kind, or nobody's; links alone may be missing, for they are made
 * after it. `prefix` is what to put before a name in one of the plan's folders.
 */
export function lookThrough(plan: Plan, prefix: (folder: number) => string): void {
  for (const [number, expected] of expectedBy(plan).entries()) lookInto(prefix(number), expected);
}

function lookInto(path: string, expected: Expected): void {
  let count = 0;
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const kind = entry.isFile() ? 'file' : entry.isDirectory() ? 'folder' : entry.isSymbolicLink() ? 'link' : undefined;
    if (!kind || !expected[kind].has(entry.name)) {
      throw new Fault('unwritable', `writing "${path}${entry.name}": something that is not ours stands there`);
    }
    if (kind !== 'link') count += 1;
  }
  if (count !== expected.file.count + expected.folder.count)
    throw new Fault('unwritable', `writing into "${path}": something was removed meanwhile`);
}
