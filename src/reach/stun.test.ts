import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { silentLog } from '../base/log.ts';
import { natKind } from './nat.ts';
import { readAnswer, readRequest, writeAnswer, writeRequest } from './stun.ts';
import { StunServer } from './stun-server.ts';

const HOST = '127.0.0.1';

/** A server with both of its ports: another program may have the second, then it is tried again. */
async function server(): Promise<StunServer & { port: number; otherPort: number }> {
  for (;;) {
    const stun = new StunServer({ host: HOST, clock: systemClock, log: silentLog() });
    const free = createSocket('udp4');
    free.bind(0, HOST);
    await once(free, 'listening');
    const { port } = free.address();
    free.close();
    await once(free, 'close');
    await stun.start(port);
    if (stun.port !== null && stun.otherPort !== null) return stun as StunServer & { port: number; otherPort: number }; // both looked at
    stun[Symbol.dispose]();
  }
}

test('an answer of another maker’s reads right, and one’s own in the same way [N-43]', () => {
  // RFC 5769, section 2.2: 192.0.2.1 port 32853, without its software, integrity and fingerprint.
  const id = Buffer.from('b7e7a701bc34d686fa87dfae', 'hex');
  const theirs = Buffer.from(`0101000c2112a442${id.toString('hex')}002000080001a147e112a643`, 'hex');
  expect(readAnswer(theirs)).toMatchObject({ mapped: { host: '192.0.2.1', port: 32853 } });
  const request = readRequest(writeRequest(id));
  if (!request) return expect.fail('one’s own request is none');
  expect(writeAnswer(request, { host: '192.0.2.1', port: 32853 }, undefined).equals(theirs)).toBe(true);
  // Section 2.3.
  const from = { host: '2001:db8:1234:5678:11:2233:4455:6677', port: 32853 };
  const six = writeAnswer(request, from, { host: '::', port: 7 });
  expect(readAnswer(six)).toEqual({ id, mapped: from, other: { host: '::', port: 7 } });
  expect(six.toString('hex')).toContain('0002a1470113a9faa5d3f179bc25f4b5bed2b9d9');
});

test('no bytes of a stranger do more than be no request', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
      expect(readRequest(Buffer.from(bytes))).toBeUndefined();
      expect(readAnswer(Buffer.from(bytes))).toBeUndefined();
      const whole = Buffer.concat([writeRequest(randomBytes(12)), Buffer.from(bytes)]);
      if (bytes.length > 0) expect(readRequest(whole)).toBeUndefined();
    }),
  );
});

test('an answer is hardly larger than what asks for it, and never with what is nobody’s need [N-44]', () => {
  const bare = Buffer.from(`000100002112a442${'00'.repeat(12)}`, 'hex');
  const request = readRequest(bare);
  if (!request) return expect.fail('the smallest request is one');
  const other = { host: '0.0.0.0', port: 7 };
  const answer = writeAnswer(request, { host: '203.0.113.7', port: 4000 }, other);
  expect(answer.length).toBe(32);
  expect(readAnswer(answer)?.other).toBeUndefined();
  const padded = writeRequest(randomBytes(12));
  const whole = readRequest(padded);
  if (!whole) return expect.fail('a padded request is one');
  for (const host of ['203.0.113.7', '2001:db8::7']) {
    const full = writeAnswer(whole, { host, port: 4000 }, host.includes(':') ? { host: '::', port: 7 } : other);
    expect(readAnswer(full)?.other?.port).toBe(7);
    expect(full.length).toBeLessThanOrEqual(padded.length);
  }
});

test('what must be understood and is not is refused, as the standard has it', () => {
  const changed = Buffer.from(`000100082112a442${'00'.repeat(12)}0003000400000006`, 'hex');
  const request = readRequest(changed);
  if (!request) return expect.fail('it is a request');
  const answer = writeAnswer(request, { host: '203.0.113.7', port: 4000 }, undefined);
  expect(answer.readUInt16BE(0)).toBe(0x01_11);
  expect(answer.length).toBeLessThanOrEqual(changed.length * 2);
});

test('the tracker tells where a packet came from, at two ports, so that the mapping can be told [N-43]', async () => {
  using stun = await server();
  const report = await natKind({ servers: [{ host: HOST, port: stun.port }] });
  expect(report).toMatchObject({ kind: 'none', hosts: 1 });
  expect(report.seen.map(({ by }) => by)).toEqual([`${HOST}:${stun.port}`, `${HOST}:${stun.otherPort}`]);
});

test('where nobody answers the kind is not known', async () => {
  const silent = createSocket('udp4');
  silent.bind(0, HOST);
  await once(silent, 'listening');
  const report = await natKind({ servers: [{ host: HOST, port: silent.address().port }] });
  silent.close();
  expect(report).toEqual({ kind: 'unknown', seen: [], hosts: 0 });
});

test('one address is answered so often and no more [N-44]', async () => {
  using stun = await server();
  const socket = createSocket('udp4');
  let answers = 0;
  socket.on('message', () => (answers += 1));
  socket.bind(0, HOST);
  await once(socket, 'listening');
  for (let n = 0; n < 500; n += 1) socket.send(writeRequest(randomBytes(12)), stun.port, HOST);
  await expect.poll(() => answers, { timeout: 10_000 }).toBeGreaterThan(40);
  await new Promise((done) => socket.send('no request', stun.port, HOST, done));
  socket.close();
  expect(answers).toBeLessThan(200);
});
