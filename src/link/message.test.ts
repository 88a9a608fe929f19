import fc from 'fast-check';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { Fault } from '../base/fault.ts';
import { BATCH_BYTES, Encoded, encodeNotice, encodeResult, MOST_BATCH, parseFrame } from './message.ts';

/** What a message is, in the words of a schema: what is read by hand must say the same. */
const version = { jsonrpc: z.literal('2.0') };
const id = z.number().int().nonnegative();
const name = z.string().min(1).max(80);
const error = z.object({
  code: z.number().int(),
  message: z.string().max(4000),
  data: z.object({ code: z.string().optional() }).loose().optional(),
});
const message = z.union([
  z.object({ ...version, id, method: name, params: z.unknown() }),
  z.object({ ...version, method: name, params: z.unknown() }),
  z.object({ ...version, id, error }),
  z.object({ ...version, id, result: z.unknown() }),
]);

function bySchema(value: unknown): unknown {
  const parsed = message.safeParse(value);
  if (!parsed.success) return 'malformed';
  const frame = parsed.data;
  if ('error' in frame) return { kind: 'error', id: frame.id, message: frame.error.message };
  if ('result' in frame) return { kind: 'result', id: frame.id, result: frame.result };
  if ('id' in frame) return { kind: 'request', id: frame.id, method: frame.method, params: frame.params };
  return { kind: 'notice', method: frame.method, params: frame.params };
}

function byHand(value: unknown): unknown {
  const text = JSON.stringify(value);
  try {
    const read = parseFrame(text, Buffer.byteLength(text), false);
    if (Array.isArray(read) || read.kind !== 'error') return read;
    return { kind: 'error', id: read.id, message: read.fault.message };
  } catch (thrown) {
    return thrown instanceof Fault ? thrown.code : thrown;
  }
}

const some = fc.oneof(fc.jsonValue({ maxDepth: 1 }), fc.constant('2.0'));
const anyId = fc.oneof(fc.nat(), fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }), some);
const anyName = fc.oneof(fc.string({ maxLength: 90 }), fc.constant('directory.find'), some);
const anyError = fc.oneof(
  fc.record({ code: anyId, message: fc.oneof(fc.string(), some), data: fc.oneof(fc.record({ code: some }), some) }),
  fc.record({ code: fc.integer(), message: fc.string() }),
  some,
);
const nearly = fc.record(
  {
    jsonrpc: fc.oneof({ weight: 9, arbitrary: fc.constant('2.0') }, some),
    id: anyId,
    method: anyName,
    params: some,
    error: anyError,
    result: some,
  },
  { requiredKeys: [] },
);

test('a message that is read by hand is what its schema says, or malformed where that refuses it [L-20]', () => {
  const kinds = new Set<unknown>();
  fc.assert(
    fc.property(fc.oneof({ weight: 9, arbitrary: nearly }, some), (value) => {
      const text: unknown = JSON.parse(JSON.stringify(value));
      const expected = bySchema(text);
      kinds.add(typeof expected === 'string' ? expected : Object(expected).kind);
      expect(byHand(text)).toEqual(expected);
    }),
    { numRuns: 5000, seed: 1 },
  );
  expect(kinds).toEqual(new Set(['malformed', 'request', 'notice', 'result', 'error']));
});

const notice = { jsonrpc: '2.0', method: 'a', params: null };
const read = (value: unknown, takesSeveral = true): unknown => {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return parseFrame(text, Buffer.byteLength(text), takesSeveral);
};
const fault = (code: string) => expect.objectContaining({ code });

test('a frame may hold several messages, in order; one bad among them makes all of it malformed [L-35]', () => {
  const asked = { jsonrpc: '2.0', id: 7, method: 'b', params: {} };
  expect(read([notice, asked])).toEqual([
    { kind: 'notice', method: 'a', params: null },
    { kind: 'request', id: 7, method: 'b', params: {} },
  ]);
  for (const bad of [[], [[notice]], [notice, 1], [notice, null], [notice, { ...notice, jsonrpc: '1.0' }]]) {
    expect(() => read(bad)).toThrow(fault('malformed'));
  }
  expect(() => read([notice], false)).toThrow(fault('malformed')); // this side did not say that it takes several
});

test('more messages, or more bytes, than may come together are too_large, and the bytes before they are read [L-35]', () => {
  const small = { jsonrpc: '2.0', method: 'a', params: 0 };
  expect(read(Array.from({ length: MOST_BATCH }, () => small))).toHaveLength(MOST_BATCH);
  expect(() => read(`[${'1,'.repeat(MOST_BATCH)}1]`)).toThrow(fault('too_large'));
  expect(() => read(`[${'1,'.repeat(300_000)}1]`)).toThrow(fault('too_large'));
  expect(() => read(`[${' '.repeat(BATCH_BYTES)}`)).toThrow(fault('too_large')); // not even JSON
  expect(() => read(` [${' '.repeat(BATCH_BYTES)}1]`)).toThrow(fault('too_large'));
  const long = { ...notice, params: 'x'.repeat(BATCH_BYTES) };
  expect(read(long)).toEqual({ kind: 'notice', method: 'a', params: long.params }); // alone it may be longer
});

test('what was encoded before is sent as if it had been encoded now', () => {
  fc.assert(
    fc.property(fc.nat(), fc.jsonValue(), (asked, value) => {
      const encoded = new Encoded(JSON.stringify(value));
      expect(encodeResult(asked, encoded)).toBe(encodeResult(asked, value));
      expect(encodeNotice('test.notice', encoded)).toBe(encodeNotice('test.notice', value));
    }),
  );
});
