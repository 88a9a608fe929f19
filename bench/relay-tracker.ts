/** What passes bytes on between two connections, in a process of its own: a tracker, or as little as Node can do it with. */
import type { AddressInfo } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { silentLog } from '../src/base/log.ts';
import { createIdentity } from '../src/link/certificate.ts';
import { Tracker } from '../src/tracker/tracker.ts';
import { answer } from './child.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void; // what the flag makes

answer({
  tracker: async (home: string) => {
    const relayLimits = { bytesPerDay: 0, pairsPerAccount: 0, idleSeconds: 0 };
    const tracker = new Tracker({ home, host: '127.0.0.1', port: 0, zone: 'bench', relayLimits, log: silentLog() });
    await tracker.start();
    return { address: `127.0.0.1:${tracker.port}`, peer: tracker.peer };
  },
  /** Joins connections two by two, as they come. */
  plain: async () => {
    const identity = await createIdentity();
    let waiting: TLSSocket | undefined;
    const own = { key: identity.key.pem, cert: identity.cert, minVersion: 'TLSv1.3' as const };
    const server = createServer({ ...own, requestCert: true, rejectUnauthorized: false, noDelay: true }, (socket) => {
      const other = waiting;
      waiting = other ? undefined : socket;
      socket.on('error', () => {});
      if (other) socket.pipe(other).pipe(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, peer: identity.id }; // of a TCP server
  },
  /** Resident bytes, all garbage given back. */
  rss: () => {
    collect();
    collect();
    return process.memoryUsage.rss();
  },
});
