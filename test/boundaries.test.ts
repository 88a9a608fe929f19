/** Who may import whom: the table of docs/architecture.md, kept by reading every import of every file. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { expect, test } from 'vitest';

const src = resolve(import.meta.dirname, '../src');

const may: Record<string, string[]> = {
  base: [],
  link: ['base'],
  directory: ['base', 'link'],
  chat: ['base', 'link'],
  files: ['base', 'link'],
  reach: ['base', 'link'],
  node: ['base', 'link', 'directory', 'chat', 'files', 'reach'],
  tracker: ['base', 'link', 'directory', 'chat', 'files', 'reach'],
  api: ['base'],
  agent: ['base', 'api', 'node'],
  im: ['base', 'api', 'node'],
  cli: ['base', 'api'],
  tui: ['base', 'api', 'cli'],
  doctor: ['base', 'link', 'directory', 'node', 'api', 'cli'],
  bin: [
    'base',
    'link',
    'directory',
    'chat',
    'files',
    'reach',
    'node',
    'tracker',
    'api',
    'agent',
    'im',
    'cli',
    'tui',
    'doctor',
  ],
};

/** Rooms of which another may import types only. */
const typesOnly: Record<string, string[]> = { api: ['node'] };

type Import = { from: string; to: string; isType: boolean };

function files(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) return files(path);
    return path.endsWith('.ts') ? [path] : [];
  });
}

const pattern = /^\s*(?:import|export)\s+(type\s)?[^'"]*?from\s+'(\.[^']+)'|\bimport\(\s*'(\.[^']+)'\s*\)/gm;

function importsOf(path: string): Import[] {
  return [...readFileSync(path, 'utf8').matchAll(pattern)].map((match) => ({
    from: relative(src, path),
    to: relative(src, resolve(dirname(path), match[2] ?? match[3] ?? '')),
    isType: match[1] !== undefined,
  }));
}

const room = (path: string): string => path.split('/')[0] ?? '';
const all = files(src);
const imports = all.flatMap(importsOf);

test('every folder of src is a room with rules', () => {
  expect(readdirSync(src).filter((name) => !Object.hasOwn(may, name))).toEqual([]);
});

test('every import stays within what its room may know', () => {
  // A test may also drive its room with its neighbours below; it is held to the same table as the code beside it.
  const broken = imports.filter(({ from, to, isType }) => {
    const [mine, theirs] = [room(from), room(to)];
    if (to.startsWith('../test/') && from.endsWith('.test.ts')) return false;
    if (mine === theirs || may[mine]?.includes(theirs)) return false;
    return !(isType && typesOnly[mine]?.includes(theirs));
  });
  expect(broken).toEqual([]);
  expect(imports.length).toBeGreaterThan(50); // the pattern still finds imports
});

test('no file imports itself by a detour', () => {
  const next = new Map<string, string[]>();
  for (const { from, to, isType } of imports) {
    if (!isType) next.set(from, [...(next.get(from) ?? []), to]);
  }
  const done = new Set<string>();
  const cycles: string[] = [];
  const walk = (file: string, trail: string[]): void => {
    if (trail.includes(file)) {
      cycles.push([...trail.slice(trail.indexOf(file)), file].join(' -> '));
      return;
    }
    if (done.has(file)) return;
    for (const target of next.get(file) ?? []) walk(target, [...trail, file]);
    done.add(file);
  };
  for (const file of all) walk(relative(src, file), []);
  expect(cycles).toEqual([]);
});

test('only bin ends the process', () => {
  const ending = all.filter((path) => room(relative(src, path)) !== 'bin' && !path.endsWith('.test.ts'));
  expect(ending.filter((path) => /process\.exit\(/.test(readFileSync(path, 'utf8')))).toEqual([]);
});
