/** Jobs through the doors: asked for, waited for, retried, cancelled, bounded; by header, by operation, by key. */

import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Client, createClient } from '../src/api/client.ts';
import type { Job } from '../src/api/job.ts';
import { localClient } from '../src/api/operations.ts';
import { silentLog } from '../src/base/log.ts';
import { homePaths } from '../src/node/home.ts';
import type { Tracker } from '../src/tracker/tracker.ts';
import { type Member, TestNet } from './testnet.ts';

let net: TestNet;
let tracker: Tracker;
let alice: Member;
let bob: Member;
let token: string;
let doors: Record<string, Client>;

beforeAll(async () => {
  net = await TestNet.create();
  tracker = await net.tracker();
  alice = await net.member('alice', tracker, { http: true });
  bob = await net.member('bob', tracker);
  token = (await readFile(homePaths(alice.home).token, 'utf8')).trim();
  doors = {
    'in process': localClient({ backend: alice.backend, log: silentLog() }),
    socket: alice.client,
    http: createClient({ url: `http://127.0.0.1:${alice.agent.httpPort}`, token }),
  };
});
afterAll(() => net[Symbol.asyncDispose]());

async function ended(client: Client, id: string): Promise<Job> {
  let last: Job | undefined;
  for await (const job of await client.jobs.wait({ id })) last = job;
  return last ?? expect.fail('the job was not shown');
}

const saidOf = async (words: string): Promise<number> => {
  const list = await bob.client.messages.list({ handle: 'alice', limit: 1000 });
  return list.filter((message) => message.text === words).length;
};

describe.each(['in process', 'socket', 'http'])('%s', (name) => {
  const door = (): Client => doors[name] ?? expect.fail(`no door "${name}"`);

  test('a job is asked for, answers at once, and comes to what the operation answers', async () => {
    const words = `by a job, ${name}`;
    const job = await door().jobs.create({ operation: 'messages.say', input: { handle: 'bob', text: words } });
    expect(job).toMatchObject({
      operation: 'messages.say',
      state: 'queued',
      attempts: 0,
      answer: null,
      source: 'asked',
    });
    const last = await ended(door(), job.id);
    expect(last).toMatchObject({
      id: job.id,
      state: 'done',
      error: null,
      attempts: 1,
      answer: { text: words, to: 'bob@lab' },
    });
    expect(await door().jobs.show({ id: job.id.slice(0, 8) })).toEqual(last);
    expect((await door().jobs.list({ state: 'done' })).at(-1)?.id).toBe(job.id);
    await alice.event('job.done', ({ id }) => id === job.id);
  });

  test('what is wrong with it is said at once, or is what it came to', async () => {
    await expect(door().jobs.create({ operation: 'messages.shout' })).rejects.toMatchObject({
      code: 'unknown_operation',
    });
    await expect(door().jobs.create({ operation: 'people.list' })).rejects.toMatchObject({ code: 'unknown_operation' });
    await expect(
      door().jobs.create({ operation: 'messages.say', input: { handle: 'bob', text: '' } }),
    ).rejects.toMatchObject({ code: 'invalid_argument', data: { field: 'text' } });
    const say = { operation: 'messages.say', input: { handle: 'bob', text: 'x' } };
    await expect(door().jobs.create({ ...say, every: 'now and then' })).rejects.toMatchObject({
      code: 'invalid_argument',
    });
    await expect(door().jobs.create({ ...say, in: '5m', every: '@daily' })).rejects.toMatchObject({
      code: 'invalid_argument',
    });
    const job = await door().jobs.create({ operation: 'messages.say', input: { handle: 'nobody', text: 'x' } });
    expect(await ended(door(), job.id)).toMatchObject({ state: 'failed', error: { code: 'unknown_handle' } });
    await expect(door().jobs.show({ id: 'nothing' })).rejects.toMatchObject({ code: 'unknown_id' });
  });

  test('the same key is the same job; another request with it is refused', async () => {
    const words = `once, ${name}`;
    const asked = { operation: 'messages.say', input: { handle: 'bob', text: words }, key: `key-${name.length}` };
    const [first, second] = await Promise.all([door().jobs.create(asked), door().jobs.create(asked)]);
    expect(second.id).toBe(first.id);
    const last = await ended(door(), first.id);
    const again = await door().jobs.create(asked);
    expect(again).toEqual(last);
    await expect(
      door().jobs.create({ ...asked, input: { handle: 'bob', text: 'something else' } }),
    ).rejects.toMatchObject({ code: 'key_reused', data: { job: first.id } });
    await expect.poll(() => saidOf(words)).toBe(1);
  });

  test('what is scheduled can be cancelled, and runs when tried again', async () => {
    const words = `later, ${name}`;
    const job = await door().jobs.create({
      operation: 'messages.say',
      input: { handle: 'bob', text: words },
      in: '1h',
    });
    expect(job).toMatchObject({ state: 'scheduled', due: expect.any(String) });
    expect(await door().jobs.cancel({ id: job.id })).toMatchObject({
      state: 'cancelled',
      error: { code: 'cancelled' },
    });
    await expect(door().messages.search({ query: words })).resolves.toEqual([]);
    await door().jobs.retry({ id: job.id });
    expect(await ended(door(), job.id)).toMatchObject({ state: 'done', answer: { text: words } });
    await expect(door().jobs.retry({ id: job.id })).rejects.toMatchObject({ code: 'wrong_state' });
    await expect(door().jobs.cancel({ id: job.id })).rejects.toMatchObject({ code: 'wrong_state' });
  });

  test('a wait has an end', async () => {
    const job = await door().jobs.create({
      operation: 'messages.say',
      input: { handle: 'bob', text: 'x' },
      in: '1h',
    });
    const waited = (async () => Array.fromAsync(await door().jobs.wait({ id: job.id, timeout: 0.05 })))();
    await expect(waited).rejects.toMatchObject({ code: 'timeout', data: { job: job.id, state: 'scheduled' } });
    expect(await door().jobs.show({ id: job.id, wait: 0.05 })).toMatchObject({ state: 'scheduled' });
    await door().jobs.cancel({ id: job.id });
  });

  test('a file is sent as a job, which is done when it is offered, and shows what it is doing', async () => {
    const path = join(net.folder, `by-job-${name.replaceAll(' ', '-')}.txt`);
    await writeFile(path, name);
    const job = await door().jobs.create({ operation: 'files.send', input: { handle: 'bob', path } });
    const last = await ended(door(), job.id);
    expect(last).toMatchObject({ state: 'done', answer: { state: 'offered', id: job.id } });
    await bob.event('file.offered', (data) => data.name === path.split('/').at(-1));
  });
});

describe('a job that waits', () => {
  test('says for whom, and goes on when they come', async () => {
    const carol = await net.member('carol', tracker);
    await alice.client.people.find({ handle: 'carol' });
    const port = carol.node.port;
    await net.stop(carol);
    await alice.event('person.offline', ({ handle }) => handle === 'carol@lab');
    const job = await alice.client.jobs.create({
      operation: 'links.connect',
      input: { target: 'carol' },
      when: ['peer'],
    });
    const say = await alice.client.jobs.create({
      operation: 'messages.say',
      input: { handle: 'carol', text: 'when you are there' },
      when: ['peer'],
    });
    const waits = await alice.event('job.waiting', ({ id }) => id === job.id);
    expect(waits.data).toMatchObject({ waitingFor: { what: 'peer', who: 'carol', message: 'carol is offline' } });
    await alice.event('job.waiting', ({ id }) => id === say.id);
    await net.member('carol', tracker, { port });
    expect(await ended(alice.client, job.id)).toMatchObject({ state: 'done', answer: { handle: 'carol@lab' } });
    expect(await ended(alice.client, say.id)).toMatchObject({ state: 'done' });
  });

  test('for a tracker goes on when it is back; a message behind it does not overtake it', async () => {
    const own = await net.tracker({ name: 'other', zone: 'other' });
    const frank = await net.member('frank', own);
    const { port, invite } = own;
    await net.stop(own);
    const erin = await net.member('erin', { invite }, { ready: false }); // who so knows nobody yet
    const say = (words: string) =>
      erin.client.jobs.create({ operation: 'messages.say', input: { handle: 'frank', text: words } });
    const jobs = [await say('first'), await say('second')];
    const waits = await erin.event('job.waiting');
    expect(waits.data).toMatchObject({ id: jobs[0]?.id, waitingFor: { what: 'tracker' } });
    expect((await erin.client.jobs.list({})).map(({ state }) => state)).toEqual(['waiting', 'queued']);
    await net.tracker({ name: 'other', zone: 'other', port });
    for (const { id } of jobs) expect(await ended(erin.client, id)).toMatchObject({ state: 'done' });
    await frank.event('message.received', (data) => data.text === 'second');
    const said = await frank.client.messages.list({});
    expect(said.map(({ text }) => text)).toEqual(['first', 'second']);
  });

  test('fails at its deadline, and can be cancelled', async () => {
    const input = { handle: 'bob', text: 'never' };
    const space = { operation: 'messages.say', input, when: [`space:${10 ** 15 - 1}`] };
    const late = await alice.client.jobs.create({ ...space, within: '1s' });
    expect(await ended(alice.client, late.id)).toMatchObject({ state: 'failed', error: { code: 'timeout' } });
    const job = await alice.client.jobs.create(space);
    const waits = await alice.event('job.waiting', ({ id }) => id === job.id);
    expect(waits.data).toMatchObject({ waitingFor: { what: 'space' } });
    expect(await alice.client.jobs.cancel({ id: job.id })).toMatchObject({ state: 'cancelled' });
    expect(await saidOf('never')).toBe(0);
  });

  test('for a rung is met by a nearer one', async () => {
    const input = { handle: 'bob', text: 'near' };
    const job = await alice.client.jobs.create({ operation: 'messages.say', input, when: ['rung:lan', 'tracker'] });
    expect(await ended(alice.client, job.id)).toMatchObject({ state: 'done' });
  });
});

test('the transfer of a job that is cancelled is cancelled with it', async () => {
  const path = join(net.folder, 'waits.bin');
  await writeFile(path, Buffer.alloc(100_000, 1));
  const dave = await net.member('dave', tracker);
  await dave.client.files.send({ handle: 'alice', path });
  const offer = await alice.event('file.offered', ({ name }) => name === 'waits.bin');
  await net.stop(dave); // so that the fetch waits
  const id = String(offer.data.id);
  const job = await alice.client.jobs.create({ operation: 'files.get', input: { id } });
  for await (const { answer } of await alice.client.jobs.wait({ id: job.id })) if (answer) break;
  expect(await alice.client.jobs.cancel({ id: job.id })).toMatchObject({ state: 'cancelled' });
  expect(await alice.client.files.show({ id })).toMatchObject({ state: 'cancelled' });
});

describe('over HTTP', () => {
  async function ask(
    method: string,
    path: string,
    headers: Record<string, string> = {},
    body?: unknown,
  ): Promise<{ status: number | undefined; headers: Record<string, unknown>; body: Record<string, unknown> }> {
    const outgoing = request({
      host: '127.0.0.1',
      port: alice.agent.httpPort,
      method,
      path,
      agent: false,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
    });
    outgoing.end(body === undefined ? undefined : JSON.stringify(body));
    const [response] = await once(outgoing, 'response');
    return { status: response.statusCode, headers: response.headers, body: JSON.parse(await text(response)) };
  }
  const say = (headers: Record<string, string>, words: string) =>
    ask('POST', '/v1/messages', headers, { handle: 'bob', text: words });

  test('"Prefer: respond-async" is answered with 202 and where to look', async () => {
    const { status, headers, body } = await say({ prefer: 'respond-async' }, 'async');
    expect(status).toBe(202);
    expect(headers).toMatchObject({ location: `/v1/jobs/${body.id}`, 'preference-applied': 'respond-async' });
    const { body: job } = await ask('GET', `${headers.location}?wait=30`);
    expect(job).toMatchObject({ state: 'done', answer: { text: 'async' } });
    const waited = await say({ prefer: 'respond-async, wait=30' }, 'async and waited for');
    expect(waited).toMatchObject({ status: 202, body: { state: 'done' } });
    expect(await ask('POST', '/v1/messages', { prefer: 'respond-async' }, { handle: 'bob', text: '' })).toMatchObject({
      status: 400,
      body: { code: 'invalid_argument' },
    });
    expect(await ask('GET', '/v1/people', { prefer: 'respond-async' })).toMatchObject({ status: 200 });
  });

  test('the same Idempotency-Key gets the same answer, at once or later', async () => {
    const answers = await Promise.all([1, 2, 3].map(() => say({ 'idempotency-key': 'k1' }, 'keyed')));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1);
    await expect.poll(() => saidOf('keyed')).toBe(1);
    expect(await say({ 'idempotency-key': '"k1"' }, 'other')).toMatchObject({
      status: 422,
      body: { code: 'key_reused' },
    });
    expect(await say({ 'idempotency-key': 'a b' }, 'x')).toMatchObject({ status: 400 });
    expect(await ask('PUT', '/v1/people/me/status', { 'idempotency-key': 'k2' }, {})).toMatchObject({
      status: 400,
      body: { code: 'invalid_argument' },
    });
    const wrong = { handle: 'nobody', text: 'x' };
    const failed = await ask('POST', '/v1/messages', { 'idempotency-key': 'k3' }, wrong);
    expect(failed).toMatchObject({ status: 404, body: { code: 'unknown_handle' } });
    expect(await ask('POST', '/v1/messages', { 'idempotency-key': 'k3' }, wrong)).toMatchObject({ status: 404 });
  });

  test('a full queue says when to come again', async () => {
    const later = { operation: 'messages.say', input: { handle: 'bob', text: 'x' }, in: '1h' };
    const { jobs } = alice.backend;
    const fill = (made: string[] = []): string[] => {
      try {
        for (;;) made.push(jobs.create(later).id);
      } catch (error) {
        expect(error).toMatchObject({ code: 'queue_full' });
        return made;
      }
    };
    const made = fill();
    expect(made.length).toBeGreaterThan(9_900);
    const { status, headers, body } = await say({ prefer: 'respond-async' }, 'no room');
    expect({ status, code: body.code, after: headers['retry-after'] }).toEqual({
      status: 503,
      code: 'queue_full',
      after: '5',
    });
    expect((await say({}, 'without a job')).status).toBe(200);
    for (const id of made) await jobs.cancel(id);
    expect((await say({ prefer: 'respond-async' }, 'room again')).status).toBe(202);
  });
});

test('a room is made once for a key, and jobs of it keep their order', async () => {
  const create = { operation: 'rooms.create', input: { name: 'by job', members: ['bob'] }, key: 'room-1' };
  const [first] = await Promise.all([alice.client.jobs.create(create), alice.client.jobs.create(create)]);
  expect(await ended(alice.client, first.id)).toMatchObject({ state: 'done', answer: { name: 'by job' } });
  expect((await alice.client.rooms.list()).filter(({ name }) => name === 'by job')).toHaveLength(1);
  const words = Array.from({ length: 20 }, (_, n) => `line ${n}`);
  const jobs = [];
  for (const each of words) {
    jobs.push(await alice.client.jobs.create({ operation: 'messages.say', input: { handle: '#by job', text: each } }));
  }
  for (const { id } of jobs) await ended(alice.client, id);
  const said = await alice.client.messages.list({ handle: '#by job' });
  expect(said.map(({ text }) => text)).toEqual(words);
});
