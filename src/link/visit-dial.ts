/** The side that calls, with something other than a link in mind: an upgrade of HTTP on a connection whose keys are proved. [L-3] */
import { request } from 'node:http';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { deadline, reasonOf } from '../base/async.ts';
import { Fault, toFault } from '../base/fault.ts';
import { faultOfAnswer } from './upgrade.ts';

/**
 * Asks for `path` to become `protocol`, and gives the stream that it became, with the headers of the answer. Throws the fault with which it is refused,
 * `peer_unreachable`, `timeout`, `cancelled`. `socket` is ended where it comes to nothing.
 */
export async function visit(
  socket: TLSSocket,
  options: {
    path: string;
    protocol: string;
    host: string;
    headers?: Record<string, string>;
    timeoutMs: number;
    signal?: AbortSignal | undefined;
  },
): Promise<{ stream: Duplex; headers: Readonly<Record<string, string | string[] | undefined>> }> {
  const { path, protocol, host, headers, timeoutMs } = options;
  const what = `asking for "${path.replace(/[^/]*$/, '…')}"`; // the end of it is a secret
  using limit = deadline(timeoutMs, what, options.signal);
  return await new Promise((resolve, reject) => {
    const asking = request({
      path,
      headers: { ...headers, host, connection: 'Upgrade', upgrade: protocol },
      createConnection: () => socket,
    });
    const fail = (error: unknown): void => {
      limit.removeEventListener('abort', abort);
      asking.destroy();
      socket.destroy();
      reject(toFault(error, what, 'peer_unreachable'));
    };
    const abort = (): void => fail(reasonOf(limit));
    limit.addEventListener('abort', abort, { once: true });
    if (limit.aborted) return abort();
    asking.on('error', fail);
    asking.once('response', (response) => fail(faultOfAnswer(what, response)));
    asking.once('upgrade', (response, upgraded, head) => {
      limit.removeEventListener('abort', abort);
      asking.removeAllListeners();
      asking.on('error', () => {}); // the stream tells
      if (head.length > 0) upgraded.unshift(head);
      resolve({ stream: upgraded, headers: response.headers });
    });
    asking.once('close', () => fail(new Fault('link_closed', `${what}: the connection ended before the answer`)));
    asking.end();
  });
}
