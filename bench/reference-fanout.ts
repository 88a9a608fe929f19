/**
 * The honest best of telling many in Node: plain node:tls, each message written to each receiver, each of whom answers.
 * It keeps nothing, signs nothing, and knows no members. Processes of this program: some that listen, one or more that tell.
 */
import type { AddressInfo } from 'node:net';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { createIdentity } from '../src/link/certificate.ts';
import { answer } from './child.ts';

const sockets: TLSSocket[] = [];

/** Calls `each` for every `size` bytes that come. */
function count(socket: TLSSocket, size: number, each: () => void): void {
  let got = 0;
  socket.on('data', (data: Buffer) => {
    for (got += data.length; got >= size; got -= size) each();
  });
}

answer({
  listen: async (receivers: number, message: number, word: number) => {
    const identity = await createIdentity();
    const back = Buffer.alloc(word, 'x');
    const ports: number[] = [];
    for (let n = 0; n < receivers; n++) {
      const server = createServer({ key: identity.key.pem, cert: identity.cert, minVersion: 'TLSv1.3' }, (socket) => {
        socket.setNoDelay(true);
        socket.on('error', () => {}); // the other side is done
        count(socket, message, () => socket.write(back));
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      ports.push((server.address() as AddressInfo).port); // of a TCP server
    }
    return ports;
  },
  dial: async (ports: number[]) => {
    for (const port of ports) {
      const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
      socket.setNoDelay(true);
      await new Promise((resolve) => socket.once('secureConnect', resolve));
      sockets.push(socket);
    }
  },
  /** Tells everybody so many messages, `window` of which at most lack an answer. */
  tell: async (messages: number, window: number, size: number, word: number) => {
    const message = Buffer.alloc(size, 'x');
    let [told, answered] = [0, 0];
    const next = (): void => {
      told += 1;
      for (const socket of sockets) socket.write(message);
    };
    await new Promise<void>((resolve) => {
      for (const socket of sockets) {
        count(socket, word, () => {
          answered += 1;
          if (answered === messages * sockets.length) resolve();
          else if (answered % sockets.length === 0 && told < messages) next();
        });
      }
      for (let n = 0; n < Math.min(window, messages); n++) next();
    });
  },
});
