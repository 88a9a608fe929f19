import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type ResponseHead, ResponseReader } from './response.ts';

/** What a reader makes of bytes that come in pieces of these sizes. */
function read(
  text: string,
  sizes: number[],
  answers: number,
): { heads: ResponseHead[]; bodies: string[]; ended: number } {
  const got = { heads: [] as ResponseHead[], bodies: [] as string[], ended: 0 };
  const reader = new ResponseReader();
  for (let n = 0; n < answers; n++) {
    reader.expect({
      head: (head) => {
        got.heads.push(head);
        got.bodies.push('');
      },
      body: (buffer, from, to) => got.bodies.push((got.bodies.pop() ?? '') + buffer.toString('latin1', from, to)),
      end: () => {
        got.ended += 1;
      },
    });
  }
  const bytes = Buffer.from(text, 'latin1');
  for (let at = 0, n = 0; at < bytes.length; n++) {
    const size = sizes[n % sizes.length] ?? 1;
    const piece = bytes.subarray(at, at + size);
    reader.push(piece, piece.length);
    at += size;
  }
  return got;
}

const two =
  'HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nContent-Range: bytes 0-4/9\r\n\r\nhello' +
  'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200\r\nETag:  "x" \r\ncontent-length: 3\r\n\r\nabc';

test('answers are read whole, however they are cut into pieces [F-12]', () => {
  const once = read(two, [two.length], 3);
  expect(once).toMatchObject({ bodies: ['hello', '', 'abc'], ended: 3 });
  expect(once.heads[2]?.headers.get('etag')).toBe('"x"');
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1 }), (sizes) => {
      expect(read(two, sizes, 3)).toEqual(once);
    }),
  );
});

test.each([
  ['no status line', 'hello\r\n\r\n'],
  ['another version', 'HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx'],
  ['an interim answer', 'HTTP/1.1 100 Continue\r\n\r\n'],
  ['no length', 'HTTP/1.1 200 OK\r\n\r\n'],
  ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n'],
  ['a chunked body', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n'],
  ['a negative length', 'HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n'],
  ['a length of letters', 'HTTP/1.1 200 OK\r\ncontent-length: 0x10\r\n\r\n'],
  ['a folded header', 'HTTP/1.1 200 OK\r\na: b\r\n c\r\ncontent-length: 0\r\n\r\n'],
  ['a bare newline', 'HTTP/1.1 200 OK\ncontent-length: 0\r\n\r\n'],
  ['a head without end', `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(9000)}`],
  ['bytes after the last answer', 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nmore'],
])('%s is malformed [F-12]', (_what, text) => {
  for (const size of [1, 7, 100_000]) {
    expect(() => read(text, [size], 1)).toThrow(expect.objectContaining({ code: 'malformed' }));
  }
});

test('a refusal in any form shows its head', () => {
  const refusal = 'HTTP/1.1 403 Forbidden\r\nx-netapp-fault: forbidden\r\ntransfer-encoding: chunked\r\n\r\n';
  expect(read(refusal, [1000], 1).heads[0]?.headers.get('x-netapp-fault')).toBe('forbidden');
});

test('garbage never does more than throw', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.integer({ min: 1, max: 20 }), (text, size) => {
      try {
        read(text, [size], 2);
      } catch (error) {
        expect(error).toMatchObject({ code: 'malformed' });
      }
    }),
  );
});
