import { afterEach, beforeEach, expect, test } from 'vitest';
import { z } from 'zod';
import { Relay } from '../../test/relay.ts';
import { systemClock } from '../base/clock.ts';
import { silentLog } from '../base/log.ts';
import { createIdentity, type Identity } from './certificate.ts';
import { dial, dialLink } from './dial.ts';
import type { HelloInfo } from './hello.ts';
import { Listener } from './listen.ts';
import { method } from './message.ts';
import { Router } from './router.ts';
import { Sessions } from './sessions.ts';

const who = method('who', { params: z.object({}), result: z.object({ peer: z.string() }) });
const hello: HelloInfo = { protocol: { min: 1, max: 1 }, software: 'test', role: 'tracker', account: null };
const router = new Router().handle(who, (_params, { link }) => ({ peer: link.peer }));

let cleanup: AsyncDisposable[];
let [tracker, node]: Identity[] = [];

beforeEach(async () => {
  cleanup = [];
  [tracker, node] = [await createIdentity(), await createIdentity()];
});

afterEach(async () => {
  for (const thing of cleanup.reverse()) await thing[Symbol.asyncDispose]();
});

const known = (identity: Identity | undefined): Identity => identity ?? expect.fail('no identity');

async function listen(identity: Identity | undefined, port = 0): Promise<Listener> {
  const listener = new Listener({
    host: '127.0.0.1',
    port,
    identity: known(identity),
    router,
    self: () => hello,
    clock: systemClock,
    log: silentLog(),
    onLink: () => {},
  });
  await listener.start();
  cleanup.push(listener);
  return listener;
}

async function stop(listener: Listener): Promise<void> {
  cleanup.splice(cleanup.indexOf(listener), 1);
  await listener[Symbol.asyncDispose]();
}

/** One link on which something is asked: a session comes with what is answered. */
async function linkTo(port: number, sessions: Sessions): Promise<string> {
  const link = await dialLink({
    address: `127.0.0.1:${port}`,
    expect: known(tracker).id,
    identity: known(node),
    router: new Router(),
    self: () => ({ ...hello, role: 'node' }),
    clock: systemClock,
    log: silentLog(),
    sessions,
  });
  const { peer } = await link.request(who, {});
  link.close();
  await link.closed;
  return peer;
}

const reused = async (port: number, sessions: Sessions, expecting = known(tracker).id): Promise<boolean> => {
  const socket = await dial({ address: `127.0.0.1:${port}`, expect: expecting, identity: known(node), sessions });
  const isReused = socket.isSessionReused();
  socket.destroy();
  return isReused;
};

test('a link that is dialled again resumes its session, and both sides know each other as before [L-6]', async () => {
  const sessions = new Sessions();
  const listener = await listen(tracker);
  expect(await reused(listener.port, sessions)).toBe(false);
  expect(await linkTo(listener.port, sessions)).toBe(known(node).id);
  expect(await reused(listener.port, sessions)).toBe(true);
  expect(await linkTo(listener.port, sessions)).toBe(known(node).id); // as the other side sees it, in a resumed one
});

test('a session outlives a restart of the other side, and holds at another process with its key [L-6]', async () => {
  const sessions = new Sessions();
  const before = await listen(tracker);
  const { port } = before;
  await linkTo(port, sessions);
  await stop(before);
  await listen(tracker, port);
  expect(await reused(port, sessions)).toBe(true);
  // Two processes behind one address, as behind a forwarder of connections.
  const second = await listen(tracker);
  const relay = await Relay.to(second.port);
  cleanup.push(relay);
  const address = `127.0.0.1:${relay.port}`;
  const kept = sessions.get(known(tracker).id, `127.0.0.1:${port}`) ?? expect.fail('no session was kept');
  sessions.keep(known(tracker).id, address, kept);
  expect(await reused(relay.port, sessions)).toBe(true);
});

test('another key at a known address is refused, whatever session is offered to it [L-6] [L-2]', async () => {
  const sessions = new Sessions();
  const before = await listen(tracker);
  const { port } = before;
  await linkTo(port, sessions);
  await stop(before);
  const liar = await createIdentity();
  await listen(liar, port);
  await expect(linkTo(port, sessions)).rejects.toMatchObject({ code: 'wrong_key' });
  await expect(reused(port, sessions)).rejects.toMatchObject({ code: 'wrong_key' });
  // Who means the liar is not given the session of the other.
  expect(await reused(port, sessions, liar.id)).toBe(false);
});

test('a session of a handshake in which another key was shown is never kept', async () => {
  const sessions = new Sessions();
  const listener = await listen(tracker);
  const other = await createIdentity();
  await expect(reused(listener.port, sessions, other.id)).rejects.toMatchObject({ code: 'wrong_key' });
  expect(sessions.get(other.id, `127.0.0.1:${listener.port}`)).toBeUndefined();
});

test('what is kept has a bound: the oldest gives way', () => {
  const sessions = new Sessions();
  for (let n = 0; n < 100; n++) sessions.keep('peer', `192.0.2.1:${n + 1}`, Buffer.from([n]));
  expect(sessions.get('peer', '192.0.2.1:1')).toBeUndefined();
  expect(sessions.get('peer', '192.0.2.1:100')).toEqual(Buffer.from([99]));
});
