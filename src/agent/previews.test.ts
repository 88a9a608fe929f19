import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { silentLog } from '../base/log.ts';
import { Previews } from './previews.ts';

const folder = mkdtempSync(join(tmpdir(), 'netapp-previews-'));
const previews = new Previews({ host: '127.0.0.1', log: silentLog() });
beforeAll(() => previews.start());
afterAll(async () => {
  await previews[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

function shown(name: string, content = 'content'): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return previews.show({ path, name }).url;
}

test.each([
  ['page.html', 'text/plain; charset=utf-8'],
  ['drawing.svg', 'text/plain; charset=utf-8'],
  ['feed.xml', 'text/plain; charset=utf-8'],
  ['script.js', 'text/plain; charset=utf-8'],
  ['nothing', 'text/plain; charset=utf-8'],
  ['picture.png', 'image/png'],
  ['Film.MP4', 'video/mp4'],
])('%s is sent as %s, and may run nothing', async (name, type) => {
  const answer = await fetch(shown(name, '<script>alert(1)</script>'));
  expect(answer.status).toBe(200);
  expect(answer.headers.get('content-type')).toBe(type);
  expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
  expect(answer.headers.get('content-security-policy')).toMatch(/^default-src 'none';.* sandbox;/);
  expect(answer.headers.get('set-cookie')).toBeNull();
});

test('a player gets the part that it asks for', async () => {
  const url = shown('song.mp3', '0123456789');
  const part = await fetch(url, { headers: { range: 'bytes=2-4' } });
  expect([part.status, part.headers.get('content-range'), await part.text()]).toEqual([206, 'bytes 2-4/10', '234']);
  const rest = await fetch(url, { headers: { range: 'bytes=7-' } });
  expect(await rest.text()).toBe('789');
  const outside = await fetch(url, { headers: { range: 'bytes=50-' } });
  expect(await outside.text()).toBe('0123456789');
});

test('nobody gets what they were given no address for', async () => {
  const { origin } = previews;
  for (const path of ['/', '/x', '/../../etc/passwd', `/${'A'.repeat(22)}`]) {
    expect((await fetch(origin + path)).status).toBe(404);
  }
  expect((await fetch(shown('posted.txt'), { method: 'POST', body: 'x' })).status).toBe(404);
});

test('another name for this machine is no way in, so that no other site can point there', async () => {
  const { hostname, port, pathname } = new URL(shown('host.txt', 'secret'));
  const answer = await new Promise<string>((resolve, reject) => {
    const asking = request(
      { hostname, port, path: pathname, headers: { host: `evil.example:${port}` } },
      (response) => {
        text(response).then((body) => resolve(`${response.statusCode}${body}`), reject);
      },
    );
    asking.on('error', reject).end();
  });
  expect(answer).toBe('404');
});

test('a link that took the place of a file leads nowhere', async () => {
  writeFileSync(join(folder, 'private'), 'secret');
  symlinkSync(join(folder, 'private'), join(folder, 'swapped.txt'));
  const { url } = previews.show({ path: join(folder, 'swapped.txt'), name: 'swapped.txt' });
  expect((await fetch(url)).status).toBe(404);
});

test('a port that is taken is no reason to stay away', async () => {
  const port = Number(new URL(previews.origin).port);
  await using other = new Previews({ host: '127.0.0.1', log: silentLog() });
  await other.start(port);
  expect(new URL(other.origin).port).not.toBe(String(port));
  const path = join(folder, 'other.txt');
  writeFileSync(path, 'x');
  expect(await (await fetch(other.show({ path, name: 'other.txt' }).url)).text()).toBe('x');
});

test('only so many addresses hold: the oldest goes first', async () => {
  const first = shown('first.txt');
  for (let count = 0; count < 500; count++) previews.show({ path: folder, name: 'x' });
  expect((await fetch(first)).status).toBe(404);
});
