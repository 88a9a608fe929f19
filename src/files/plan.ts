/** What a folder's manifest is written as: every path in safe names, no two of them one on this disk. Pure. [F-25] */
import { posix } from 'node:path';
import { Fault } from '../base/fault.ts';
import { linkEnd } from './links.ts';
import type { Listing } from './manifest.ts';
import { candidates, isPlainPath, safeName } from './paths.ts';

/** Names that may be taken by another one: past it somebody makes them up. */
const MOST_CLASHES = 1000;

/** A folder by its place in `folders`; the first is the whole, and each stands after the one that it is in. */
type PlannedFolder = { parent: number; name: string; mtime: number | undefined };
export type Plan = {
  folders: PlannedFolder[];
  /** In the manifest's order: the folder that it is in, and its name there. */
  files: { folder: number; name: string }[];
  links: { folder: number; name: string; target: string }[];
  /** Paths of links that may lead out of the folder. */
  leftOut: string[];
  /** Names that are written as another one. */
  renamed: number;
};

/**
 * `blind`: the disk holds names that differ in case, or in how an accent is put together, for the same. Then the second of
 * two such names is written as `name (2)`; elsewhere both stand as they are. Throws `bad_name`.
 */
export function planFolder(
  { files, folders = [], links = [] }: Pick<Listing, 'files' | 'folders' | 'links'>,
  options: { blind: boolean; platform?: NodeJS.Platform },
): Plan {
  const planned: PlannedFolder[] = [{ parent: 0, name: '', mtime: undefined }];
  const known = new Map<string, number>([['', 0]]);
  const taken: Set<string>[] = [new Set()];
  const written = new Map<string, string>();
  let [renamed, clashes] = [0, 0];
  const key = (name: string): string => (options.blind ? name.normalize('NFKC').toLowerCase().toUpperCase() : name);

  // Each path stands in the manifest once: where all are written as they are, none takes the name of another.
  const isPlain =
    !options.blind && [files, folders, links].every((list) => list.every(({ path }) => isPlainPath(path)));
  const nameIn = (folder: number, name: string): string => {
    if (isPlain) return name;
    const safe = safeName(name, options.platform);
    const names = taken[folder] ?? new Set();
    for (const candidate of candidates(safe)) {
      const own = key(candidate);
      if (names.has(own)) {
        if (++clashes > MOST_CLASHES)
          throw new Fault('bad_name', 'naming received files: too many are called the same');
        continue;
      }
      names.add(own);
      if (candidate !== name) renamed += 1;
      return candidate;
    }
    throw new Fault('bad_name', `naming a received file "${safe}": all names like it are taken`);
  };
  const folderOf = (path: string): number => {
    const found = known.get(path);
    if (found !== undefined) return found;
    const slash = path.lastIndexOf('/');
    const parent = folderOf(slash < 0 ? '' : path.slice(0, slash));
    const number = planned.length;
    const name = nameIn(parent, path.slice(slash + 1));
    planned.push({ parent, name, mtime: undefined });
    taken.push(new Set());
    known.set(path, number);
    return number;
  };
  let last = { path: '', folder: 0 };
  const place = (path: string): { folder: number; name: string } => {
    const slash = Math.max(0, path.lastIndexOf('/'));
    if (slash !== last.path.length || !path.startsWith(last.path)) {
      const above = path.slice(0, slash);
      last = { path: above, folder: folderOf(above) };
    }
    const { folder } = last;
    return { folder, name: nameIn(folder, slash > 0 ? path.slice(slash + 1) : path) };
  };

  for (const { path, mtime } of folders) {
    const folder = planned[folderOf(path)];
    if (folder) folder.mtime = mtime;
  }
  const placed = files.map(({ path }) => place(path));
  // A link leads to the name under which its end is written.
  const pathOf = (number: number): string => {
    const folder = planned[number];
    return !folder || number === 0 ? '' : posix.join(pathOf(folder.parent), folder.name);
  };
  const ends = links.map((link) => ({ link, end: linkEnd(link.path, link.target) }));
  const linked = ends
    .filter(({ end }) => end !== undefined)
    .map(({ link, end = '' }) => ({ at: place(link.path), link, end }));
  if (renamed > 0) {
    for (const [index, { path }] of files.entries()) {
      const at = placed[index];
      if (at) written.set(path, posix.join(pathOf(at.folder), at.name));
    }
    for (const { at, link } of linked) written.set(link.path, posix.join(pathOf(at.folder), at.name));
  }
  const endOf = (path: string): string => {
    const folder = known.get(path);
    if (folder !== undefined) return pathOf(folder);
    const there = written.get(path);
    if (there !== undefined) return there;
    const slash = path.lastIndexOf('/');
    return posix.join(slash < 0 ? '' : endOf(path.slice(0, slash)), safeName(path.slice(slash + 1), options.platform));
  };
  return {
    folders: planned,
    files: placed,
    links: linked.map(({ at, end }) => ({ ...at, target: posix.relative(pathOf(at.folder), endOf(end)) || '.' })),
    leftOut: ends.filter(({ end }) => end === undefined).map(({ link }) => link.path),
    renamed,
  };
}
