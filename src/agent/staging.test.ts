import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { Staging } from './staging.ts';

const home = mkdtempSync(join(tmpdir(), 'netapp-staging-'));
const folder = join(home, 'outgoing');
afterAll(() => rmSync(home, { recursive: true, force: true }));

const base64 = (text: string): string => Buffer.from(text).toString('base64');

test('what came in pieces is one private file, and no half of it has its name', async () => {
  const staging = new Staging(folder);
  const { upload } = await staging.take({ at: 0, data: base64('one '), last: false });
  expect(await readdir(folder)).toEqual([`${upload}.draft`]);
  const { path } = await staging.take({ upload, at: 4, data: base64('two'), last: true });
  expect(await readdir(folder)).toEqual([upload]);
  expect(readFileSync(path ?? '', 'utf8')).toBe('one two');
  expect((await stat(path ?? '')).mode & 0o777).toBe(0o600);
});

test('a piece that comes again changes nothing, also the last one, and also half of it new', async () => {
  const { upload } = await new Staging(folder).take({ at: 0, data: base64('abc'), last: false });
  const later = new Staging(folder); // as after a restart
  expect(await later.take({ upload, at: 0, data: base64('abc'), last: false })).toMatchObject({ size: 3 });
  expect(await later.take({ upload, at: 2, data: base64('cde'), last: true })).toMatchObject({ size: 5 });
  const again = await later.take({ upload, at: 2, data: base64('cde'), last: true });
  expect(readFileSync(again.path ?? '', 'utf8')).toBe('abcde');
});

test('pieces that come at once are written one after another', async () => {
  const staging = new Staging(folder);
  const { upload } = await staging.take({ at: 0, data: '', last: false });
  const pieces = ['0123', '4567', '89ab'].map((text, index) =>
    staging.take({ upload, at: 4 * index, data: base64(text), last: index === 2 }),
  );
  const last = (await Promise.all(pieces)).at(-1);
  expect(readFileSync(last?.path ?? '', 'utf8')).toBe('0123456789ab');
});

test('an empty file is one, too', async () => {
  const { path, size } = await new Staging(folder).take({ at: 0, data: '', last: true });
  expect([size, readFileSync(path ?? '').length]).toEqual([0, 0]);
});

test('a gap is told with what is here, and an unknown one is unknown', async () => {
  const staging = new Staging(folder);
  const { upload } = await staging.take({ at: 0, data: base64('abc'), last: false });
  const gap = staging.take({ upload, at: 9, data: base64('x'), last: false });
  await expect(gap).rejects.toMatchObject({ code: 'wrong_state', data: { size: 3 } });
  const unknown = staging.take({ upload: '00000000-0000-4000-8000-000000000000', at: 0, data: '', last: true });
  await expect(unknown).rejects.toMatchObject({ code: 'unknown_id' });
});

test('files of one folder stand in it by their paths, and none outside of it', async () => {
  const staging = new Staging(folder);
  const id = randomUUID();
  const put = (as: string, text: string) => staging.take({ at: 0, data: base64(text), last: true, folder: id, as });
  const one = await put('a/b/one.txt', '1');
  expect(await put('two.txt', '2')).toMatchObject({ path: one.path });
  expect(one.path).toBe(join(folder, id));
  expect(readFileSync(join(folder, id, 'a/b/one.txt'), 'utf8')).toBe('1');
  expect((await readdir(join(folder, id), { recursive: true })).sort()).toEqual(['a', 'a/b', 'a/b/one.txt', 'two.txt']);
  const again = { upload: one.upload, at: 0, data: base64('1'), last: true, folder: id, as: 'a/b/one.txt' };
  expect(await staging.take(again)).toEqual(one);
  for (const as of ['../out', 'a/../../out', '/out', '', 'a//b', '.', 'a\0b', 'x'.repeat(300), 'a/'.repeat(70)]) {
    await expect(put(as, 'x')).rejects.toMatchObject({ code: 'invalid_argument' });
  }
  const nowhere = staging.take({ at: 0, data: '', last: true, as: 'x' });
  await expect(nowhere).rejects.toMatchObject({ code: 'invalid_argument' });
});
