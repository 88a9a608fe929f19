import { expect, test } from 'vitest';
import { z } from 'zod';
import { systemClock } from '../base/clock.ts';
import { silentLog } from '../base/log.ts';
import { type Binding, bind } from './binding.ts';
import { acceptChannels, openChannel } from './channel.ts';
import type { HelloInfo } from './hello.ts';
import { Key } from './identity.ts';
import type { Link } from './link.ts';
import { method, notice } from './message.ts';
import { pair } from './pair.ts';
import { Router } from './router.ts';

const whoAmI = method('test.who', {
  params: z.object({}),
  result: z.object({ asker: z.string(), asked: z.string().nullable() }),
});
const hang = method('test.hang', { params: z.object({}), result: z.object({}) });
const poke = notice('test.poke', { params: z.object({ n: z.number() }) });
const rawOpen = method('link.open', { params: z.object({ channel: z.number(), to: z.null() }), result: z.object({}) });

const quiet = { clock: systemClock, log: silentLog() };
const node = Key.generate();
const tracker = Key.generate();

const helloOf = (account: Binding | null): HelloInfo => ({
  protocol: { min: 1, max: 1 },
  software: 'test',
  role: account ? 'node' : 'tracker',
  account,
});

const accountOf = (key: Key, name: string): Binding => bind(key, `${name}@lab`, node.id, systemClock.now());

/** A node linked with a tracker that takes channels, and what the tracker heard. */
async function carrying(options: { most?: number; hosted?: readonly string[] } = {}) {
  const heard: { n: number; from: string | undefined }[] = [];
  const taken: Link[] = [];
  const release = Promise.withResolvers<void>();
  const router = new Router()
    .handle(whoAmI, (_params, { link }) => ({
      asker: link.account?.account ?? '',
      asked: link.own?.account ?? null,
    }))
    .handle(hang, async () => {
      await release.promise;
      return {};
    })
    .on(poke, ({ n }, { link }) => void heard.push({ n, from: link.account?.account }));
  const self = (): HelloInfo => helloOf(null);
  acceptChannels(router, {
    ...quiet,
    ...(options.most !== undefined && { most: options.most }),
    end: (to) =>
      to === null || options.hosted?.includes(to)
        ? { router, self, onLink: (link) => void taken.push(link) }
        : undefined,
  });
  const own = new Router();
  const [carrier, theirs] = await pair(
    { router: own, self: helloOf(accountOf(Key.generate(), 'gateway')), id: node.id },
    { router, self: helloOf(null), id: tracker.id },
  );
  const open = (key: Key, name: string, to: string | null = null): Promise<Link> =>
    openChannel(carrier, { to, router: own, self: () => helloOf(accountOf(key, name)), ...quiet });
  return { carrier, theirs, open, heard, taken, release: () => release.resolve() };
}

test('accounts of one node speak on channels of one link, each for itself [L-60]', async () => {
  const { carrier, open, heard, taken } = await carrying();
  const keys = [Key.generate(), Key.generate(), Key.generate()];
  const channels = await Promise.all(keys.map((key, index) => open(key, `a${index}`)));
  const answers = await Promise.all(channels.map((channel) => channel.request(whoAmI, {})));
  expect(answers.map(({ asker }) => asker)).toEqual(keys.map(({ id }) => id));
  expect(channels.map(({ peer }) => peer)).toEqual(keys.map(() => tracker.id));
  expect(taken.every((link) => link.carrier !== undefined && link.peer === node.id)).toBe(true);
  // What one says is not taken for another's, and the carrier still speaks for its own account.
  channels[1]?.notify(poke, { n: 1 });
  carrier.notify(poke, { n: 2 });
  await carrier.request(whoAmI, {});
  expect(heard.find(({ n }) => n === 1)?.from).toBe(keys[1]?.id);
  expect(heard.find(({ n }) => n === 2)?.from).toBe(carrier.own?.account);
});

test('a binding for another node’s key is refused on a channel as on any link [L-60]', async () => {
  const { open, carrier } = await carrying();
  const key = Key.generate();
  const stranger = bind(key, 'a@lab', Key.generate().id, systemClock.now());
  const opening = openChannel(carrier, { to: null, router: new Router(), self: () => helloOf(stranger), ...quiet });
  await expect(opening).rejects.toMatchObject({ code: 'bad_signature' });
  expect(carrier.open).toBe(true);
  expect((await open(key, 'a')).open).toBe(true);
});

test('who is not hosted is refused, and so is a channel on a channel; the link stays [L-60]', async () => {
  const wanted = Key.generate().id;
  const { open, carrier } = await carrying({ hosted: [wanted] });
  await expect(open(Key.generate(), 'a', Key.generate().id)).rejects.toMatchObject({ code: 'unknown_id' });
  const channel = await open(Key.generate(), 'a', wanted);
  const nested = openChannel(channel, { to: null, router: new Router(), self: () => helloOf(null), ...quiet });
  await expect(nested).rejects.toMatchObject({ code: 'forbidden' });
  expect([carrier.open, channel.open]).toEqual([true, true]);
});

test('a side that knows no channels says so, and the link stays', async () => {
  const plain = new Router().handle(whoAmI, () => ({ asker: '', asked: null }));
  const [carrier] = await pair(
    { router: new Router(), self: helloOf(null), id: node.id },
    { router: plain, self: helloOf(null), id: tracker.id },
  );
  const opening = openChannel(carrier, { to: null, router: new Router(), self: () => helloOf(null), ...quiet });
  await expect(opening).rejects.toMatchObject({ code: 'unknown_operation' });
  await carrier.request(whoAmI, {}); // nothing was sent meanwhile that it could not read
  expect(carrier.open).toBe(true);
});

test('numbers are odd for who dialled, and none is open twice [L-61]', async () => {
  const { carrier } = await carrying();
  await expect(carrier.request(rawOpen, { channel: 2, to: null })).rejects.toMatchObject({ code: 'malformed' });
  await carrier.request(rawOpen, { channel: 7, to: null });
  await expect(carrier.request(rawOpen, { channel: 7, to: null })).rejects.toMatchObject({ code: 'malformed' });
});

test('each side may end a channel, with a reason, and nothing else ends with it [L-62]', async () => {
  const { carrier, open, taken } = await carrying();
  const [one, two] = await Promise.all([open(Key.generate(), 'a'), open(Key.generate(), 'b')]);
  one.close();
  expect(await one.closed).toMatchObject({ code: 'normal' });
  await two.request(whoAmI, {});
  taken.find((link) => link.account?.handle === 'b@lab')?.close();
  expect(await two.closed).toMatchObject({ code: 'normal' });
  // What was under way for a channel that has ended is late, and skipped.
  carrier.sendFrame('1:{"jsonrpc":"2.0","id":9,"method":"test.who","params":{}}');
  expect((await carrier.request(whoAmI, {})).asked).toBeNull();
  expect(carrier.open).toBe(true);
});

test('a frame that is of no channel’s form closes the link, and channels end with it [L-62]', async () => {
  const { carrier, theirs, open } = await carrying();
  const channel = await open(Key.generate(), 'a');
  carrier.sendFrame('1?');
  expect(await theirs.closed).toMatchObject({ code: 'malformed' });
  await carrier.closed;
  await channel.closed;
  expect(channel.open).toBe(false);
  await expect(channel.request(whoAmI, {})).rejects.toMatchObject({ code: 'link_closed' });
});

test('a link carries so many channels and no more [L-63]', async () => {
  const { open } = await carrying({ most: 2 });
  const one = await open(Key.generate(), 'a');
  await open(Key.generate(), 'b');
  await expect(open(Key.generate(), 'c')).rejects.toMatchObject({ code: 'too_many' });
  one.close();
  await one.closed;
  await expect(open(Key.generate(), 'c')).resolves.toMatchObject({ open: true });
});

test('too many requests at once on one channel stop the reading of all, and it goes on when they are answered [L-25]', async () => {
  const { open, release } = await carrying();
  const [one, two] = await Promise.all([open(Key.generate(), 'a'), open(Key.generate(), 'b')]);
  const hanging = Array.from({ length: 70 }, () => one.request(hang, {}));
  const other = two.request(whoAmI, {});
  const first = await Promise.race([
    other,
    new Promise((done) => setImmediate(() => setImmediate(() => done('none yet')))),
  ]);
  expect(first).toBe('none yet');
  release();
  await Promise.all(hanging);
  expect((await other).asker).toBe(two.own?.account);
});
