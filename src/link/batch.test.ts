/** Several messages in one frame, from hello to the other side's table. [L-35] */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { systemClock } from '../base/clock.ts';
import { FAULTS, Fault, type FaultCode } from '../base/fault.ts';
import { silentLog } from '../base/log.ts';
import { Gathered } from './gathered.ts';
import type { HelloInfo } from './hello.ts';
import { Key } from './identity.ts';
import { Link, type MessageStream } from './link.ts';
import { BATCH_BYTES, MOST_BATCH, method, notice } from './message.ts';
import { pair } from './pair.ts';
import { Router } from './router.ts';

const echo = method('test.echo', { params: z.string(), result: z.string() });
const slow = method('test.slow', { params: z.number(), result: z.number() });
const small = method('test.small', { params: z.string(), result: z.null(), maxBytes: 100 });
const poke = notice('test.poke', { params: z.number() });

const helloOf = (batch?: number): HelloInfo => ({
  protocol: { min: 1, max: 1 },
  software: 'test',
  role: 'node',
  account: null,
  ...(batch !== undefined && { batch }),
});

function table(): { router: Router; pokes: number[] } {
  const pokes: number[] = [];
  const router = new Router()
    .handle(echo, (text) => text)
    .handle(slow, async (n) => {
      await new Promise((resolve) => setImmediate(resolve));
      return n;
    })
    .handle(small, () => null)
    .on(poke, (n) => void pokes.push(n));
  return { router, pokes };
}

/** A stream whose other end is the test itself. */
class Wire implements MessageStream {
  readonly address = 'the test';
  readonly rung = 'local';
  readonly bufferedBytes = 0;
  readonly sentBytes = 0;
  readonly sent: string[] = [];
  shared = 1;
  closed: { code: number; reason: string } | undefined;
  say: (text: string) => void = () => {};
  #end: (code: number, reason: string) => void = () => {};

  start(on: Parameters<MessageStream['start']>[0]): void {
    this.say = (said) => on.frame(said);
    this.#end = (code, reason) => on.close(code, reason);
  }
  share(most: number): void {
    this.shared = most;
  }
  send(text: string): void {
    this.sent.push(text);
  }
  ping(): void {}
  pause(): void {}
  resume(): void {}
  close(code: number, reason: string): void {
    this.closed ??= { code, reason };
    this.#end(code, reason);
  }
  cut(): void {
    this.close(1006, '');
  }
}

const helloText = JSON.stringify({ jsonrpc: '2.0', id: 0, method: 'hello', params: helloOf(MOST_BATCH) });

function answering(self: HelloInfo = helloOf(MOST_BATCH), greeted = true): { wire: Wire; pokes: number[] } {
  const wire = new Wire();
  const { router, pokes } = table();
  const peer = Key.generate().id;
  const link = new Link({ stream: wire, router, self, peer, dialled: false, clock: systemClock, log: silentLog() });
  link.start().catch(() => {});
  if (greeted) wire.say(helloText);
  wire.sent.length = 0;
  return { wire, pokes };
}

const closeOf = (code: FaultCode): number => 4000 + FAULTS[code].exit;
const said = (n: number): object => ({ jsonrpc: '2.0', method: poke.name, params: n });
const asked = (id: number, text: unknown = `${id}`): object => ({
  jsonrpc: '2.0',
  id,
  method: echo.name,
  params: text,
});

test('what is said in one tick shares frames with whoever takes that, in its order; others get one each [L-35]', async () => {
  for (const batch of [MOST_BATCH, 3, 1, undefined]) {
    const [a, b] = [table(), table()];
    const [idA, idB] = [Key.generate().id, Key.generate().id];
    const [link] = await pair(
      { router: a.router, self: helloOf(MOST_BATCH), id: idA },
      { router: b.router, self: helloOf(batch), id: idB },
    );
    for (let n = 0; n < 10; n++) link.notify(poke, n);
    const answers = await Promise.all(Array.from({ length: 200 }, (_, n) => link.request(slow, n)));
    expect(answers).toEqual(Array.from({ length: 200 }, (_, n) => n));
    expect(b.pokes).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    await expect(link.request(small, 'x'.repeat(101))).rejects.toMatchObject({ code: 'too_large' });
    link.close();
  }
});

test('messages that came together are each taken as if they had come alone [L-35]', async () => {
  const { wire, pokes } = answering();
  expect(wire.shared).toBe(MOST_BATCH);
  wire.say(JSON.stringify([asked(1), said(1), asked(2, 3), { jsonrpc: '2.0', method: 'unknown.notice', params: 0 }]));
  wire.say(JSON.stringify([said(2), { jsonrpc: '2.0', id: 3, method: 'unknown.method', params: 0 }]));
  await expect.poll(() => wire.sent.length).toBe(3);
  const answers = wire.sent.map((text) => JSON.parse(text)).sort((a, b) => a.id - b.id);
  expect(answers).toMatchObject([
    { id: 1, result: '1' },
    { id: 2, error: { data: { code: 'invalid_argument' } } },
    { id: 3, error: { data: { code: 'unknown_operation' } } },
  ]);
  expect(pokes).toEqual([1, 2]);
  expect(wire.closed).toBeUndefined();
});

test('a method that takes less is held to it by what it was sent, not by what came with it [L-22] [L-35]', async () => {
  const { wire } = answering();
  const ask = (id: number, text: string): object => ({ jsonrpc: '2.0', id, method: small.name, params: text });
  wire.say(JSON.stringify([ask(1, 'short'), asked(2, 'x'.repeat(1000)), ask(3, 'x'.repeat(200))]));
  await expect.poll(() => wire.sent.length).toBe(3);
  const answers = wire.sent.map((text) => JSON.parse(text)).sort((a, b) => a.id - b.id);
  expect(answers).toMatchObject([{ id: 1, result: null }, { id: 2 }, { error: { data: { code: 'too_large' } } }]);
});

const hostile: [string, string, FaultCode][] = [
  ['one bad among good ones', JSON.stringify([said(1), asked(1), { jsonrpc: '2.0' }]), 'malformed'],
  ['a list in a list', JSON.stringify([said(1), [said(2)]]), 'malformed'],
  ['an empty list', '[]', 'malformed'],
  ['hundreds of thousands', `[${'0,'.repeat(400_000)}0]`, 'too_large'],
  ['too many small ones', `[${Array.from({ length: MOST_BATCH + 1 }, () => '0').join()}]`, 'too_large'],
  ['too many bytes', JSON.stringify([said(1), asked(1, 'x'.repeat(BATCH_BYTES))]), 'too_large'],
  ['a second hello among others', JSON.stringify([JSON.parse(helloText)]), 'malformed'],
];

for (const [what, frame, code] of hostile) {
  test(`${what}: the link is closed, and nothing of the frame was done [L-35]`, () => {
    const { wire, pokes } = answering();
    wire.say(frame);
    expect(wire.closed).toMatchObject({ code: closeOf(code) });
    expect(wire.sent).toEqual([]);
    expect(pokes).toEqual([]);
  });
}

test('hello comes alone, and several only to a side that said that it takes them [L-35]', () => {
  const early = answering(helloOf(MOST_BATCH), false).wire;
  early.say(`[${helloText}]`);
  expect(early.closed).toMatchObject({ code: closeOf('wrong_state') });
  const old = answering(helloOf()).wire;
  old.say(JSON.stringify([said(1)]));
  expect(old.closed).toMatchObject({ code: closeOf('malformed') });
});

test('whatever is gathered leaves in its order, in frames that the other side takes [L-35]', () => {
  const text = fc.oneof(
    fc.string(),
    fc.string({ unit: 'grapheme' }),
    fc.nat(30_000).map((n) => 'ü€😀'.repeat(n / 4)),
  );
  fc.assert(
    fc.property(fc.array(text, { maxLength: 60 }), fc.integer({ min: 1, max: 12 }), (texts, most) => {
      const gathered = new Gathered();
      gathered.share(most);
      const messages = texts.map((params) => JSON.stringify({ params }));
      for (const message of messages) gathered.add(message);
      const frames = gathered.take();
      const back = frames.flatMap((frame) => {
        const value: unknown = JSON.parse(frame);
        if (!Array.isArray(value)) return [value];
        expect(value.length).toBeLessThanOrEqual(most);
        expect(Buffer.byteLength(frame)).toBeLessThanOrEqual(BATCH_BYTES);
        return value;
      });
      expect(back).toEqual(messages.map((message) => JSON.parse(message)));
      expect(gathered.take()).toEqual([]);
      expect(gathered.units).toBe(0);
    }),
  );
});

const end = (router: Router) => ({ id: Key.generate().id, router, self: helloOf(MOST_BATCH) });

test('each message is overseen, answered at once or later, also where several share a frame [L-35] [A-43]', async () => {
  const calm = { at: (_link: Link): void => {} };
  const ended: string[] = [];
  const { router } = table();
  const watched = new Router({
    overseer: {
      admit: (link) => calm.at(link),
      admitAll: () => expect.fail('nothing here is answered by heart'),
      ended: (name, outcome) => void ended.push(`${name} ${outcome}`),
    },
  })
    .handle(echo, (text) => text)
    .handle(slow, async (n) => {
      await new Promise((resolve) => setImmediate(resolve));
      if (n < 0) throw new Fault('forbidden', 'below zero');
      return n;
    })
    .on(poke, () => {});
  const [near, far] = await pair(end(router), end(watched));
  let admitted = 0;
  calm.at = () => {
    admitted += 1;
    if (admitted > 6) throw new Fault('too_many', 'enough');
  };
  near.notify(poke, 1);
  const asked = [
    near.request(echo, 'short'),
    near.request(echo, 'long'),
    near.request(slow, 1),
    near.request(slow, -1),
    near.request(small, ''),
    near.request(echo, 'short'),
  ];
  const outcomes = (await Promise.allSettled(asked)).map((one) =>
    one.status === 'fulfilled' ? one.value : one.reason.code,
  );
  expect(outcomes).toEqual(['short', 'long', 1, 'forbidden', 'unknown_operation', 'too_many']);
  expect(admitted).toBe(7);
  expect(ended.toSorted()).toEqual([
    'test.echo ok',
    'test.echo ok',
    'test.echo too_many',
    'test.slow forbidden',
    'test.slow ok',
    'unknown unknown_operation',
  ]);
  near.notify(poke, 2);
  expect(await far.closed).toMatchObject({ code: 'too_many' });
});

test('an answer that shares a frame may be as long as its method says, and no longer [L-22] [L-35]', async () => {
  const brief = method('test.brief', { params: z.number(), result: z.string(), answerBytes: 100 });
  const router = new Router().handle(brief, (n) => 'x'.repeat(n));
  const [near] = await pair(end(new Router()), end(router));
  const [short, long] = await Promise.allSettled([near.request(brief, 90), near.request(brief, 99)]);
  expect(short).toMatchObject({ status: 'fulfilled', value: 'x'.repeat(90) });
  expect(long).toMatchObject({ status: 'rejected', reason: { code: 'too_large' } });
});

test('a frame of a channel stands alone, in its place among the messages [L-62]', () => {
  const gathered = new Gathered();
  gathered.share(10);
  for (const text of ['{"a":1}', '{"b":2}', '1:{"c":3}', '3!1000 goodbye', '{"d":4}']) gathered.add(text);
  expect(gathered.take()).toEqual(['[{"a":1},{"b":2}]', '1:{"c":3}', '3!1000 goodbye', '{"d":4}']);
  expect(gathered.units).toBe(0);
});
