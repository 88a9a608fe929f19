/** A TCP connection from a local port that others go out from, too. */
import { connect, isIPv6, type Socket } from 'node:net';
import { reasonOf } from '../base/async.ts';
import { type Fault, toFault } from '../base/fault.ts';
import { type Address, formatAddress } from '../link/address.ts';

/**
 * Connects to an IP. The port is bound with SO_REUSEADDR, as libuv does it: several connections may go out from it, to different
 * places, as long as nobody listens at it. Port 0: any free one. Throws `peer_unreachable`, `timeout`, `port_taken`, `cancelled`.
 */
export async function connectFrom({
  host,
  port,
  localPort,
  signal,
}: Address & { localPort: number; signal: AbortSignal }): Promise<Socket> {
  if (signal.aborted) throw reasonOf(signal);
  return await new Promise((resolve, reject) => {
    const localAddress = isIPv6(host) ? '::' : '0.0.0.0';
    const socket = connect({ host, port, localAddress, localPort, noDelay: true });
    const fail = (fault: Fault): void => {
      signal.removeEventListener('abort', abort);
      socket.destroy();
      reject(fault);
    };
    const failed = (error: Error): void =>
      fail(toFault(error, `connecting to "${formatAddress({ host, port })}"`, 'peer_unreachable'));
    const abort = (): void => fail(reasonOf(signal));
    signal.addEventListener('abort', abort, { once: true });
    socket.once('error', failed);
    socket.once('connect', () => {
      signal.removeEventListener('abort', abort);
      socket.off('error', failed);
      socket.on('error', () => {}); // a close follows, and tells
      resolve(socket);
    });
  });
}
