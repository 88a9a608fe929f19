import { request } from 'node:https';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { silentLog } from '../base/log.ts';
import { createIdentity, type Identity } from '../link/certificate.ts';
import { Listener } from '../link/listen.ts';
import { DIRECTORY_PATH, directoryHttp } from './http.ts';
import { list } from './messages.ts';
import { Guest, helloOf, Lab } from './testing.ts';

let lab: Lab;
let listener: Listener;
let client: Identity;
let alice: Guest;
const owner = {};

beforeEach(async () => {
  lab = new Lab();
  client = await createIdentity();
  listener = new Listener({
    host: '127.0.0.1',
    port: 0,
    identity: await createIdentity(),
    router: lab.router,
    self: () => helloOf('tracker'),
    clock: lab.clock,
    log: silentLog(),
    onLink: () => {},
  });
  listener.route(DIRECTORY_PATH, directoryHttp({ table: lab.table, clock: lab.clock }));
  await listener.start();
  alice = new Guest('alice', lab.clock);
  lab.table.announce(alice.record(), '192.0.2.1', owner, []);
});
afterEach(() => listener[Symbol.asyncDispose]());

type Answer = { status: number; headers: NodeJS.Dict<string | string[]>; body: string };

function ask(
  path: string,
  over: { method?: string; headers?: Record<string, string>; bare?: boolean } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const shown = over.bare ? {} : { key: client.key.pem, cert: client.cert };
    const { method = 'GET', headers = {} } = over;
    const port = listener.port;
    request(
      { host: '127.0.0.1', port, path, method, headers, rejectUnauthorized: false, agent: false, ...shown },
      (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (text: string) => {
          body += text;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
      },
    )
      .on('error', reject)
      .end();
  });
}

test('the list is read with a tag, and asked again it is a 304 until something changes [D-30] [D-31]', async () => {
  const first = await ask('/directory/list');
  expect(first.status).toBe(200);
  expect(first.headers).toMatchObject({
    'content-type': 'application/json',
    'cache-control': 'private, max-age=5, must-revalidate',
    etag: expect.stringMatching(/^"[^"]+"$/),
  });
  const page = list.result.parse(JSON.parse(first.body));
  expect(page.entries.map(({ record }) => record.handle)).toEqual(['alice@lab']);
  const etag = String(first.headers.etag);
  for (const tag of [etag, `W/${etag}`, `"x", ${etag}`, '*']) {
    const again = await ask('/directory/list', { headers: { 'if-none-match': tag } });
    expect(again).toMatchObject({ status: 304, body: '', headers: { etag } });
  }
  const { seq, until, sig } = alice.record({ seq: lab.clock.now() + 1 });
  lab.table.renew(alice.account.id, { seq, until, sig }, owner);
  expect((await ask('/directory/list', { headers: { 'if-none-match': etag } })).status).toBe(304);
  const bob = new Guest('bob', lab.clock);
  lab.table.announce(bob.record(), '192.0.2.1', {}, []);
  const changed = await ask('/directory/list', { headers: { 'if-none-match': etag } });
  expect(changed.status).toBe(200);
  expect(changed.headers.etag).not.toBe(etag);
  const delta = list.result.parse(JSON.parse((await ask(`/directory/list?since=${page.version}`)).body));
  expect(delta).toMatchObject({ full: false, entries: [{ record: { handle: 'bob@lab' } }] });
});

test('the same tag means the same bytes, also where records were renewed meanwhile [D-31]', async () => {
  const first = await ask('/directory/list');
  lab.clock.pass(30_000);
  const { seq, until, sig } = alice.record();
  lab.table.renew(alice.account.id, { seq, until, sig }, owner);
  const later = await ask('/directory/list');
  expect(later.body).not.toBe(first.body);
  expect(later.headers.etag).not.toBe(first.headers.etag);
});

test('one record is read with its own tag, which others do not change [D-30]', async () => {
  const first = await ask('/directory/records/alice@lab');
  expect(JSON.parse(first.body)).toMatchObject({ record: { handle: 'alice@lab' }, online: true });
  lab.table.announce(new Guest('bob', lab.clock).record(), '192.0.2.1', {}, []);
  const headers = { 'if-none-match': String(first.headers.etag) };
  expect((await ask('/directory/records/alice%40lab', { headers })).status).toBe(304);
  lab.table.goodbye(alice.account.id, owner);
  const gone = await ask('/directory/records/alice@lab', { headers });
  expect(JSON.parse(gone.body)).toMatchObject({ online: false });
});

test('HEAD tells the size and sends nothing [D-30]', async () => {
  const [get, head] = [await ask('/directory/list'), await ask('/directory/list', { method: 'HEAD' })];
  expect(head).toMatchObject({ status: 200, body: '', headers: { etag: get.headers.etag } });
  expect(Number(head.headers['content-length'])).toBe(Buffer.byteLength(get.body));
});

test.each([
  ['/directory/list', { bare: true }, 401, 'unauthenticated'],
  ['/directory/list', { method: 'POST' }, 405, 'unknown_operation'],
  ['/directory/list?since=x', {}, 400, 'invalid_argument'],
  ['/directory/list?after=x', {}, 400, 'invalid_argument'],
  ['/directory/records/nobody@lab', {}, 404, 'unknown_handle'],
  ['/directory/records/', {}, 400, 'invalid_argument'],
  ['/directory/records/%ff', {}, 400, 'invalid_argument'],
  ['/directory/else', {}, 404, 'unknown_operation'],
])('%s with %j is HTTP %i, %s [D-32] [D-33]', async (path, over, status, code) => {
  const answer = await ask(path, over);
  expect(answer).toMatchObject({ status, headers: { 'x-netapp-fault': code } });
  expect(JSON.parse(answer.body)).toMatchObject({ code });
  if (status === 405) expect(answer.headers.allow).toBe('GET, HEAD');
});
