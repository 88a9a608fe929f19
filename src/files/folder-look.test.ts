/** What stands in a folder that was written is all that should, and nothing else. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { lookThrough } from './folder-look.ts';
import { planFolder } from './plan.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'netapp-look-'));
});
afterEach(() => rmSync(root, { recursive: true }));

// Names that a disk does not give in the order in which a list has them.
const files = ['é', 'a', 'Z', '\u{1f600}', '\uffee', 'sub/b', 'sub/deep/c', 'sub/d'];
const plan = planFolder(
  { files: files.map((path) => ({ path, size: 0 })), folders: [{ path: 'bare' }], links: [{ path: 'l', target: 'a' }] },
  { blind: false, platform: 'linux' },
);

function look(): void {
  const pathOf = (folder: number): string => {
    const { parent, name } = plan.folders[folder] ?? { parent: 0, name: '' };
    return folder === 0 ? `${root}/` : `${pathOf(parent)}${name}/`;
  };
  lookThrough(plan, pathOf);
}

beforeEach(() => {
  for (const folder of ['bare', 'sub/deep']) mkdirSync(join(root, folder), { recursive: true });
  for (const file of files) writeFileSync(join(root, file), '');
});

test('all that should be there is; a link may be', () => {
  look();
  symlinkSync('a', join(root, 'l'));
  look();
});

test.each([
  ['a file of somebody else', () => writeFileSync(join(root, 'sub/x'), '')],
  ['a folder of somebody else', () => mkdirSync(join(root, 'bare/x'))],
  ['a link of somebody else', () => symlinkSync('a', join(root, 'sub/deep/x'))],
])('%s is found', (_what, put) => {
  put();
  expect(look).toThrow(
    expect.objectContaining({ code: 'unwritable', message: expect.stringContaining('something that is not ours') }),
  );
});

test.each(['a', 'sub/deep/c', 'bare', 'é'])('another kind of thing in the place of %s is found', (path) => {
  rmSync(join(root, path), { recursive: true });
  symlinkSync('Z', join(root, path));
  expect(look).toThrow(
    expect.objectContaining({ code: 'unwritable', message: expect.stringContaining('something that is not ours') }),
  );
});

test.each(['a', 'sub/d', 'é'])('that %s is gone is found', (path) => {
  rmSync(join(root, path));
  expect(look).toThrow(
    expect.objectContaining({ code: 'unwritable', message: expect.stringContaining('removed meanwhile') }),
  );
});
