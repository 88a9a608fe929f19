import { once } from 'node:events';
import { connect } from 'node:tls';
import { expect, test } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { silentLog } from '../base/log.ts';
import { createIdentity } from './certificate.ts';
import { dial } from './dial.ts';
import { Listener } from './listen.ts';
import { Router } from './router.ts';

test('a connection takes the cheaper cipher; one that offers nothing but others is let in, and TLS 1.2 is not [L-1]', async () => {
  const [there, here] = [await createIdentity(), await createIdentity()];
  await using listener = new Listener({
    host: '127.0.0.1',
    port: 0,
    identity: there,
    router: new Router(),
    self: () => ({ protocol: { min: 1, max: 1 }, software: 'test', role: 'node', account: null }),
    clock: systemClock,
    log: silentLog(),
    onLink: () => {},
  });
  await listener.start();
  const { port } = listener;
  const socket = await dial({ address: `127.0.0.1:${port}`, expect: there.id, identity: here });
  expect(socket.getCipher().name).toBe('TLS_AES_128_GCM_SHA256');
  socket.destroy();

  const own = { port, host: '127.0.0.1', key: here.key.pem, cert: here.cert, rejectUnauthorized: false };
  for (const ciphers of ['TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256']) {
    const other = connect({ ...own, ciphers });
    await once(other, 'secureConnect');
    expect(other.getCipher().name).toBe(ciphers);
    other.destroy();
  }
  await expect(once(connect({ ...own, maxVersion: 'TLSv1.2' }), 'secureConnect')).rejects.toThrow();
});
