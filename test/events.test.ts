/** Events and webhooks of real programs, across kills and restarts: numbers never go back, nothing is missed. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { followEvents } from '../src/api/resume.ts';
import { type Delivered, verifyWebhook } from '../src/api/webhook-check.ts';
import { type Running, run, start } from './program.ts';
import { until } from './testnet.ts';

let folder: string;
let alice: Running;

const up = (): Promise<Running> =>
  start(join(folder, 'alice'), ['up', '--name', 'alice', '--port', '0', '--tracker-port', '0', '--http-port', '0']);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'netapp-events-'));
  alice = await up();
  await alice.client.rooms.create({ name: 'notes' });
});
afterEach(async () => {
  await alice.kill();
  await rm(folder, { recursive: true, force: true });
});

/** Makes events: something is said in a room. */
const say = async (words: string): Promise<void> =>
  void (await alice.client.messages.say({ handle: '#notes', text: words }));

test('cursors grow across a kill, and a follower goes on by itself where it was', async () => {
  const seen: number[] = [];
  const words: string[] = [];
  const stop = new AbortController();
  const options = { from: 0, match: ['message.sent'], signal: stop.signal, retry: { firstMs: 10, mostMs: 200 } };
  const following = (async () => {
    for await (const { cursor, data } of followEvents(alice.client, options)) {
      seen.push(cursor);
      words.push(String(data.text));
    }
  })();
  await say('one');
  await until(() => words.includes('one'), Boolean);
  await alice.kill();
  alice = await up();
  await say('two');
  await until(() => words.includes('two'), Boolean);
  await alice.stop();
  alice = await up();
  await say('three');
  await until(() => words.includes('three'), Boolean);
  stop.abort();
  await following;
  expect(seen).toEqual([...new Set(seen)].sort((a, b) => a - b));
  expect(words).toEqual(['one', 'two', 'three']);
  const { stdout } = await run(['events', 'last', '--home', alice.home]);
  expect(JSON.parse(stdout).last).toBeGreaterThanOrEqual(seen.at(-1) ?? 0);
});

test('the command line follows from a cursor, by several patterns, and says when one is gone', async () => {
  await say('one');
  const last = JSON.parse((await run(['events', 'last', '--home', alice.home])).stdout).last;
  const gone = await run(['events', '--from', String(last + 50_000), '--home', alice.home, '--json']);
  expect([gone.code, JSON.parse(gone.stderr)]).toMatchObject([15, { code: 'cursor_gone', data: { oldest: 1 } }]);
  const wrong = await run(['events', '--match', 'Nothing Such', '--home', alice.home]);
  expect(wrong.code).toBe(2);
  const client = alice.client;
  const types = new Set<string>();
  for await (const { type } of await client.events.follow({ from: 0, match: ['tracker.*', 'message.sent'] })) {
    types.add(type);
    if (types.size === 2) break;
  }
  expect([...types].sort()).toEqual(['message.sent', 'tracker.changed']);
});

test('a webhook gets what happened while its target was away and the agent was killed, in order, each at least once', async () => {
  const got: Delivered[] = [];
  let secret = '';
  const target = (port: number): Server =>
    createServer(async (request, response) => {
      got.push(verifyWebhook(secret, request.headers, await text(request)));
      response.writeHead(204).end();
    }).listen(port, '127.0.0.1');
  const first = target(0);
  await once(first, 'listening');
  const { port } = first.address() as AddressInfo; // a TCP server's address is one of these
  const made = await run([
    ...['webhooks', 'create', `http://127.0.0.1:${port}/hook`, '--match', 'message.sent', '--match', 'never.*'],
    ...['--home', alice.home, '--json'],
  ]);
  const hook = JSON.parse(made.stdout);
  secret = hook.secret;
  expect(hook.match).toEqual(['message.sent', 'never.*']);
  await say('one');
  await until(
    () => got.length,
    (count) => count > 0,
  );
  first.close();
  first.closeAllConnections();
  await say('two');
  await say('three');
  await until(
    () => alice.client.webhooks.show({ id: hook.id }),
    ({ state }) => state === 'retrying',
  );
  await alice.kill();
  const second = target(port);
  await once(second, 'listening');
  alice = await up();
  await say('four');
  await until(() => got.some(({ data }) => data.text === 'four'), Boolean);
  second.close();
  second.closeAllConnections();
  const words = got.map(({ data }) => String(data.text)).filter((each, at, all) => each !== all[at - 1]);
  expect(words).toEqual(['one', 'two', 'three', 'four']);
  const cursors = got.map(({ cursor }) => cursor);
  expect(cursors).toEqual(cursors.toSorted((a, b) => a - b));
  const listed = await run(['webhooks', 'list', '--home', alice.home]);
  expect(listed.stdout).toContain(`http://127.0.0.1:${port}/hook`);
  expect((await run(['webhooks', 'delete', hook.id, '--home', alice.home])).code).toBe(0);
});

test('notes are left out where nobody wants them; data and errors are not', async () => {
  const asked = ['files', 'list', '--home', alice.home];
  expect((await run(asked)).stderr).toContain('no files yet');
  expect(await run([...asked, '--quiet'])).toEqual({ code: 0, stdout: '', stderr: '' });
  expect(await run(['-q', ...asked, '--json'])).toEqual({ code: 0, stdout: '[]\n', stderr: '' });
  const wrong = await run(['people', 'find', 'nobody', '-q', '--home', alice.home]);
  expect([wrong.code, wrong.stderr]).toEqual([10, expect.stringContaining('"nobody@lab"')]);
});

test('a link for the browser is printed; without a terminal nothing is opened', async () => {
  const opened = await run(['open', '--home', alice.home], { env: { DISPLAY: ':99' } });
  expect(opened.stdout).toMatch(new RegExp(`^link +${alice.text('http')}/open#[\\w-]{43}$`, 'm'));
  expect((await run(['sessions', 'list', '--home', alice.home])).stderr).toContain('no browser has a session');
});
