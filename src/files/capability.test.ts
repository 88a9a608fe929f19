/** Links by which programs that are no nodes fetch: what they give, to whom, and how they end. */
import { execFile, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { connect } from 'node:tls';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { hash as hashOf } from '../base/encoding.ts';
import { Key, pinOf } from '../link/identity.ts';
import { issue, read } from './capability.ts';
import type { NewLink } from './control.ts';
import { eachWithTwo, type Person } from './fixture.ts';
import type { Transfer } from './transfer.ts';

const MiB = 1024 * 1024;
const HOUR = 3_600_000;

let alice: Person;
let bob: Person;
eachWithTwo((two) => {
  ({ alice, bob } = two);
});

async function linked(size: number, name = 'a.bin'): Promise<{ sent: Transfer; data: Buffer; link: NewLink }> {
  const data = randomBytes(size);
  const path = join(alice.home, 'own', name);
  await writeFile(path, data);
  const { id } = await alice.service.send(bob.id, path);
  const sent = await alice.until(id, 'offered');
  return { sent, data, link: await alice.service.control.link(id, HOUR) };
}

const url = (path: string): string => `https://${alice.address}${path}`;

/** A client without any certificate. */
async function get(path: string, headers: Record<string, string> = {}, agent = new Agent()) {
  const asked = request(url(path), { rejectUnauthorized: false, agent, headers });
  asked.end();
  const [response] = await once(asked, 'response');
  const pieces: Buffer[] = [];
  for await (const piece of response) pieces.push(piece);
  return { status: response.statusCode, headers: response.headers, body: Buffer.concat(pieces) };
}

test('a capability holds for its hash, its issuer and its time alone [F-50]', () => {
  const [key, other] = [Key.generate(), Key.generate()];
  const [one, two] = [hashOf('one'), hashOf('two')];
  const { id, text } = issue(key, one, 5000);
  expect(text).toMatch(/^[\w-]{118}$/);
  expect(issue(key, one, 5000).text).not.toBe(text);
  const good = { issuer: key.id, hash: one, now: 4999 };
  expect(read(text, good)).toEqual({ id, until: 5000 });
  expect(read(text, { ...good, now: 5000 })).toBeUndefined();
  expect(read(text, { ...good, hash: two })).toBeUndefined();
  expect(read(text, { ...good, issuer: other.id })).toBeUndefined();
  for (let at = 0; at < 88; at++) {
    const bytes = Buffer.from(text, 'base64url');
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    expect(read(bytes.toString('base64url'), good)).toBeUndefined();
  }
  for (const bad of ['', 'x', text.slice(1), `${text}A`, '!'.repeat(118)]) expect(read(bad, good)).toBeUndefined();
});

test('who has the link has the file without a certificate, with all that HTTP offers [F-51] [F-11]', async () => {
  const { data, link, sent } = await linked(2 * MiB + 3, 'ein Brief’s.pdf');
  const whole = await get(link.path);
  expect(whole).toMatchObject({
    status: 200,
    headers: {
      etag: `"${sent.hash}.0"`,
      'content-disposition': "attachment; filename*=UTF-8''ein%20Brief%E2%80%99s.pdf",
      'cache-control': expect.stringContaining('private'),
    },
  });
  expect(whole.body.equals(data)).toBe(true);
  const part = await get(link.path, { range: 'bytes=5-9', 'if-range': `"${sent.hash}.0"` });
  expect(part).toMatchObject({ status: 206, headers: { 'content-range': `bytes 5-9/${data.length}` } });
  expect(part.body.equals(data.subarray(5, 10))).toBe(true);
  expect((await get(link.path, { range: `bytes=${data.length}-` })).status).toBe(416);
  expect((await get(link.path, { 'if-none-match': `"${sent.hash}.0"` })).status).toBe(304);
  expect(hashOf((await get(link.manifestPath)).body)).toBe(sent.hash);
});

test('connections are kept for the next request, and closed where that is asked for [F-11]', async () => {
  const { link } = await linked(10);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const sockets = new Set<unknown>();
  agent.on('free', (socket) => sockets.add(socket));
  for (let n = 0; n < 3; n++) expect((await get(link.path, {}, agent)).headers.connection).toBe('keep-alive');
  expect(sockets.size).toBe(1);
  agent.destroy();
  expect((await get(link.path, { connection: 'close' })).headers.connection).toBe('close');
});

test('a link gives nothing else, nothing after its end, and says nothing of why [F-51]', async () => {
  const { link, sent } = await linked(10);
  const other = await linked(10, 'b.bin');
  const refused = async (path: string): Promise<Buffer> => {
    const got = await get(path);
    expect(got).toMatchObject({ status: 403, headers: { 'x-netapp-fault': 'forbidden' } });
    return got.body;
  };
  const query = link.path.split('?')[1] ?? '';
  const body = await refused(`/blobs/${other.sent.hash}/0?${query}`);
  expect(await refused(`/blobs/${hashOf('nothing')}/0?${query}`)).toEqual(body);
  expect(await refused(`/blobs/${sent.hash}/0?cap=`)).toEqual(body);
  expect(await refused(`/blobs/${sent.hash}/0?cap=${'A'.repeat(118)}`)).toEqual(body);
  // Well signed, but never given out: as after a restore of the key.
  expect(
    await refused(`/blobs/${sent.hash}/0?cap=${issue(alice.identity.key, sent.hash, Date.now() + HOUR).text}`),
  ).toEqual(body);
  const brief = await alice.service.control.link(sent.id, 1);
  await new Promise((done) => setTimeout(done, 5));
  expect(await refused(brief.path)).toEqual(body);
  expect((await get(link.path)).status).toBe(200);
  alice.service.control.revoke(link.id);
  expect(await refused(link.path)).toEqual(body);
  expect(() => alice.service.control.revoke(link.id)).toThrow(expect.objectContaining({ code: 'unknown_id' }));
  expect((await get(other.link.path)).status).toBe(200);
  await alice.service.cancel(other.sent.id);
  expect(await refused(other.link.path)).toEqual(body);
  expect((await get(`/blobs/${sent.hash}/0`)).status).toBe(401);
});

test('links outlive a restart, are listed without their secret, and lead to files that one sends alone', async () => {
  const { link, sent } = await linked(10);
  await alice.down();
  await alice.up();
  expect((await get(link.path)).status).toBe(200);
  const { id, transfer, hash, at, until } = link;
  expect(alice.service.control.links()).toEqual([{ id, transfer, hash, at, until }]);
  expect(transfer).toBe(sent.id);
  const got = await bob.offered();
  await expect(bob.service.control.link(got.id, HOUR)).rejects.toMatchObject({ code: 'wrong_state' });
});

/** A connection that asks, and reads no more than it must. */
async function slow(path: string): Promise<TLSSocket> {
  const [host = '', port = ''] = alice.address.split(':');
  const socket = connect({ host, port: Number(port), rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`);
  await once(socket, 'readable');
  return socket;
}

test('revoking a link ends what is fetched by it now [F-51]', async () => {
  const { link } = await linked(64 * MiB);
  const socket = await slow(link.path);
  const closed = once(socket, 'close');
  alice.service.control.revoke(link.id);
  let bytes = 0;
  socket.on('data', (data) => (bytes += data.length));
  socket.on('error', () => {});
  await closed;
  expect(bytes).toBeLessThan(64 * MiB);
});

test('who comes by links takes no place from members, and a link has a bound [F-52]', async () => {
  const { link, sent } = await linked(64 * MiB);
  const got = await bob.offered();
  const sockets = await Promise.all(Array.from({ length: 8 }, () => slow(link.path)));
  // Eight wait for a place; the one that comes after all the others is refused, whichever it is.
  const more = Array.from({ length: 9 }, () => get(link.path, { range: 'bytes=0-0' }));
  expect((await Promise.race(more)).headers['x-netapp-fault']).toBe('too_many');
  await bob.service.accept(got.id);
  await bob.until(got.id, 'done');
  await alice.until(sent.id, 'done');
  for (const socket of sockets) socket.destroy();
  expect((await Promise.all(more)).map(({ status }) => status).sort()).toEqual([...Array(8).fill(206), 429]);
});

function has(program: string, argument: string): boolean {
  const found = spawnSync(program, [argument]).status === 0;
  if (!found) process.stderr.write(`capability.test: ${program} is not here, what it fetches is not tested\n`);
  return found;
}
const hasCurl = has('curl', '--version');
const hasAria2 = has('aria2c', '--version');

test('curl and aria2c are here, or nobody relies on it', () => {
  expect((hasCurl && hasAria2) || process.env.CI !== 'true', 'install curl and aria2').toBe(true);
});

test.skipIf(!hasCurl)('curl fetches by a link with the key pinned, resumes, and refuses another key', async () => {
  const { data, link } = await linked(5 * MiB + 1);
  const out = join(bob.home, 'out');
  const curl = async (node: string, ...args: string[]): Promise<string> => {
    const pin = ['-k', '--pinnedpubkey', `sha256//${pinOf(node) ?? ''}`];
    const base = ['-s', ...pin, '-o', out, '-w', '%{http_code}'];
    return (await promisify(execFile)('curl', [...base, ...args, url(link.path)])).stdout;
  };
  expect(await curl(alice.identity.id)).toBe('200');
  expect((await readFile(out)).equals(data)).toBe(true);
  await writeFile(out, data.subarray(0, 1_234_567));
  expect(await curl(alice.identity.id, '-C', '-')).toBe('206');
  expect((await readFile(out)).equals(data)).toBe(true);
  await expect(curl(bob.identity.id)).rejects.toMatchObject({ code: 90 }); // CURLE_SSL_PINNEDPUBKEYNOTMATCH
});

test.skipIf(!hasAria2)('aria2c fetches by a link over eight connections, and resumes', async () => {
  const { data, link } = await linked(24 * MiB);
  const args = ['-q', '-x8', '-s8', '-k1M', '--check-certificate=false', '-d', bob.home, '-o', 'out'];
  await promisify(execFile)('aria2c', [...args, url(link.path)]);
  expect((await readFile(join(bob.home, 'out'))).equals(data)).toBe(true);
  const before = alice.served.length;
  expect(alice.served.filter(({ range }) => range !== undefined).length).toBeGreaterThan(2);
  await writeFile(join(bob.home, 'half'), data.subarray(0, 20 * MiB));
  await promisify(execFile)('aria2c', [
    '-q',
    '-c',
    '--check-certificate=false',
    '-d',
    bob.home,
    '-o',
    'half',
    url(link.path),
  ]);
  expect((await readFile(join(bob.home, 'half'))).equals(data)).toBe(true);
  // It begins at the front and at once goes on where it was: what left meanwhile is less than the whole.
  const again = alice.served.slice(before).reduce((sum, { bytes }) => sum + bytes, 0);
  expect(again).toBeLessThan(data.length);
});

test.skipIf(!hasAria2)('aria2c fetches with a client certificate, too [F-10]', async () => {
  const { encodeAccount, ACCOUNT_HEADER } = await import('./wire.ts');
  const { sent, data } = await linked(3 * MiB);
  const folder = join(bob.home, 'keys');
  await mkdir(folder);
  const [cert, key] = [join(folder, 'c.pem'), join(folder, 'k.pem')];
  await writeFile(cert, bob.identity.cert);
  await writeFile(key, bob.identity.key.pem, { mode: 0o600 });
  const own = [
    `--certificate=${cert}`,
    `--private-key=${key}`,
    `--header=${ACCOUNT_HEADER}: ${encodeAccount(bob.binding())}`,
  ];
  const args = ['-q', '--check-certificate=false', ...own, '-d', bob.home, '-o', 'out', url(`/blobs/${sent.hash}/0`)];
  await promisify(execFile)('aria2c', args);
  expect((await readFile(join(bob.home, 'out'))).equals(data)).toBe(true);
});
