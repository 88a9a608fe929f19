/** What a node makes of what STUN servers say, some of which see it elsewhere than it is. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, expect, test } from 'vitest';
import { silentLog } from '../base/log.ts';
import type { Address } from '../link/address.ts';
import { createIdentity } from '../link/certificate.ts';
import { natKind } from './nat.ts';
import { natSeenBy } from './nat-seen.ts';
import { readRequest, writeAnswer } from './stun.ts';

let opened = new DisposableStack();
afterEach(() => {
  opened.dispose();
  opened = new DisposableStack();
});

/** A server that sees everybody at `as`; null: it says nothing. */
async function server(host: string, as: Address | null): Promise<Address> {
  const socket = createSocket('udp4').bind(0, host);
  opened.defer(() => socket.close());
  await once(socket, 'listening');
  socket.on('message', (bytes, from) => {
    const request = readRequest(bytes);
    if (request && as) socket.send(writeAnswer(request, as, undefined), from.port, from.address);
  });
  return { host, port: socket.address().port };
}

const outside = (port: number): Address => ({ host: '203.0.113.9', port });

test('one answer does not tell the kind, two of two hosts do [N-92]', async () => {
  const one = await server('127.0.0.1', outside(4000));
  const same = await server('127.0.0.2', outside(4000));
  const other = await server('127.0.0.3', outside(4001));
  expect(await natKind({ servers: [one] })).toMatchObject({ kind: 'unknown', hosts: 1 });
  expect(await natKind({ servers: [one, same] })).toMatchObject({ kind: 'endpoint-independent', hosts: 2 });
  expect(await natKind({ servers: [one, other] })).toMatchObject({ kind: 'address-dependent', hosts: 2 });
});

test('who says nothing tells nothing, nor a tracker that is behind a proxy, or not there', async () => {
  const mute = await server('127.0.0.1', null);
  expect(await natKind({ servers: [mute] })).toEqual({ kind: 'unknown', seen: [], hosts: 0 });
  const identity = await createIdentity();
  const trackers = ['wss://chat.example.org:443', '127.0.0.1:1'].map((address) => ({ peer: identity.id, address }));
  const { signal } = new AbortController();
  expect(await natSeenBy(trackers, { identity, log: silentLog(), signal })).toEqual({
    kind: 'unknown',
    seen: [],
    hosts: 0,
  });
});
