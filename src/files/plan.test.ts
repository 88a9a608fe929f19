import { posix } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { linkEnd } from './links.ts';
import { planFolder } from './plan.ts';

const file = (path: string) => ({ path, size: 0, chunks: [] });

/** What the paths are written as, in order. */
function written(paths: string[], options: { blind?: boolean; platform?: NodeJS.Platform } = {}): string[] {
  const plan = planFolder({ files: paths.map(file) }, { blind: false, platform: 'linux', ...options });
  const pathOf = (folder: number): string => {
    const { parent, name } = plan.folders[folder] ?? { parent: 0, name: '' };
    return folder === 0 ? '' : posix.join(pathOf(parent), name);
  };
  return plan.files.map(({ folder, name }) => posix.join(pathOf(folder), name));
}

test('plain names are written as they are [F-25]', () => {
  const paths = ['a', 'b/c', 'b/d/e.txt', '.hidden', 'tên tệp', '日本'];
  expect(written(paths)).toEqual(paths);
});

test('names that differ in case alone stand side by side where the disk can, and elsewhere the second has another [F-25]', () => {
  const paths = ['xt_MARK.h', 'xt_mark.h', 'A/one', 'a/two', 'é', 'e\u0301', 'K', '\u212a'];
  expect(written(paths)).toEqual(paths);
  expect(written(paths, { blind: true })).toEqual([
    'xt_MARK.h',
    'xt_mark (2).h',
    'A/one',
    'a (2)/two',
    'é',
    'e\u0301 (2)',
    'K',
    '\u212a (2)',
  ]);
});

test('names that would not be safe are mapped, and never onto one another [F-25]', () => {
  expect(written(['a\u202etxt.exe', 'a_txt.exe', 'a\u0007txt.exe'])).toEqual([
    'a_txt.exe',
    'a_txt (2).exe',
    'a_txt (3).exe',
  ]);
  expect(written(['con', 'sub/nul.txt', 'aux/x', 'tail. ', '.netapp-abc.part/x'])).toEqual([
    '_con',
    'sub/_nul.txt',
    '_aux/x',
    'tail',
    '_.netapp-abc.part/x',
  ]);
  expect(written(['a:b', 'a?b'], { platform: 'win32' })).toEqual(['a_b', 'a_b (2)']);
  const [long = '', other = ''] = written([`${'ợ'.repeat(100)}.jpeg`, `${'ợ'.repeat(100)}x.jpeg`]);
  for (const name of [long, other]) expect(Buffer.byteLength(name)).toBeLessThanOrEqual(255);
  expect(long.endsWith('.jpeg') && other.endsWith('.jpeg') && long !== other).toBe(true);
});

test('a thousand names made up to be one are refused [F-25]', () => {
  const paths = Array.from(
    { length: 200 },
    (_, n) => `x${n.toString(2).padStart(8, '0').replaceAll('0', '\u202a').replaceAll('1', '\u202e')}`,
  );
  expect(() => written(paths)).toThrow(expect.objectContaining({ code: 'bad_name' }));
});

test('whatever the names, no two are written as one, and none leads out [F-25]', () => {
  const name = fc
    .array(fc.constantFrom('a', 'A', 'é', 'É', '.', ' ', '\u202e', '\u0001', 'con', '_', ':'), {
      minLength: 1,
      maxLength: 4,
    })
    .map((letters) => letters.join(''))
    .filter((text) => text !== '.' && text !== '..');
  const paths = fc.uniqueArray(
    fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join('/')),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(paths, fc.boolean(), (all, blind) => {
      // What is a folder to one is no file of another.
      const leaves = all.filter((path) => !all.some((other) => other.startsWith(`${path}/`)));
      const result = written(leaves, { blind });
      const key = (path: string): string => (blind ? path.normalize('NFC').toLowerCase() : path);
      expect(new Set(result.map(key)).size).toBe(leaves.length);
      for (const path of result) expect(posix.normalize(path)).toBe(path);
      for (const path of result) expect(path.split('/').some((each) => each === '..' || each === '')).toBe(false);
    }),
  );
});

test.each([
  ['a', 'b', 'b'],
  ['sub/a', '../b', 'b'],
  ['sub/deep/a', '../../b/c', 'b/c'],
  ['sub/a', '..', ''],
  ['sub/a', 'b/', 'sub/b'],
  ['a', '../b', undefined],
  ['sub/a', '../../b', undefined],
  ['a', '/etc/passwd', undefined],
  // Where b is a link itself, what is above it is not what it seems.
  ['a', 'b/../c', undefined],
  ['sub/a', '../b/../../etc', undefined],
  ['a', './b', undefined],
  ['a', 'b//c', undefined],
  ['a', 'b\0', undefined],
  ['a', 'b\\..\\c', undefined],
  ['a', '', undefined],
])('the link at %j to %j ends at %j [F-26]', (path, target, end) => {
  expect(linkEnd(path, target)).toBe(end);
});

test('links that lead out are left out; others lead to the name under which their end is written [F-26]', () => {
  const plan = planFolder(
    {
      files: [file('a\u0001'), file('sub\u0002/b')],
      folders: [],
      links: [
        { path: 'sub\u0002/up', target: '../a\u0001' },
        { path: 'down', target: 'sub\u0002/b' },
        { path: 'out', target: '../../etc/passwd' },
        { path: 'root', target: '/' },
      ],
    },
    { blind: false },
  );
  expect(plan.links.map(({ name, target }) => [name, target])).toEqual([
    ['up', '../a_'],
    ['down', 'sub_/b'],
  ]);
  expect(plan.leftOut).toEqual(['out', 'root']);
});
