/** One local port, and how it looks from outside: what the NAT between makes of it. [N-33] */
import { lookup } from 'node:dns/promises';
import { request } from 'node:http';
import { isIP, isIPv6, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { abortable, deadline } from '../base/async.ts';
import { Fault, isFaultCode, toFault } from '../base/fault.ts';
import { type Address, formatAddress, isProxied, parseAddress, plainIp } from '../link/address.ts';
import type { Identity } from '../link/certificate.ts';
import { dial } from '../link/dial.ts';
import { connectFrom } from './connect-from.ts';
import { SEEN_PATH, type Seen, seen } from './seen.ts';
import type { Sighting } from './sighting.ts';

/** How one family of addresses looks. */
export type View = {
  family: 4 | 6;
  /** This machine’s own address on the way there. */
  local: string;
  sighting: Sighting;
};

/** Milliseconds for the tracker’s answer, and for a second one by the other family. */
const ASK_MS = 5000;
const OTHER_MS = 1500;
const MOST_ANSWER_BYTES = 16_384;

export class Outlook implements Disposable {
  /** The local TCP port that all of it is about. */
  readonly port: number;
  readonly views: readonly View[];
  /** Where the tracker answers to STUN, by UDP. */
  readonly stun: Address | undefined;
  readonly #sockets: readonly TLSSocket[];

  private constructor(parts: { port: number; views: View[]; stun: Address | undefined; sockets: TLSSocket[] }) {
    this.port = parts.port;
    this.views = parts.views;
    this.stun = parts.stun;
    this.#sockets = parts.sockets;
  }

  /**
   * Asks the tracker, from a port that nobody uses, how that looks to it. The connection stays until this is disposed: it holds the
   * mapping. Throws `wrong_state` where the tracker stands behind a proxy, and as `dial` does.
   */
  static async take(options: {
    tracker: { peer: string; address: string };
    identity: Identity;
    signal: AbortSignal;
  }): Promise<Outlook> {
    const { tracker, identity } = options;
    const what = `asking the tracker at "${tracker.address}" where it sees this node`;
    if (isProxied(tracker.address)) {
      throw new Fault('wrong_state', `${what}: it stands behind a proxy, and sees only that`);
    }
    using limit = deadline(ASK_MS, what, options.signal);
    const { host, port } = parseAddress(tracker.address);
    const ip = isIP(host) === 0 ? (await abortable(lookup(host), limit)).address : host;
    const first = await look({ at: { host: ip, port }, from: 0, expect: tracker.peer, identity, signal: limit });
    const views = [first.view];
    const sockets = [first.tls];
    const other = first.seen.also
      .map(parseAddress)
      .find(({ host: also }) => isIP(also) !== 0 && isIPv6(also) !== isIPv6(ip));
    if (other) {
      using soon = deadline(OTHER_MS, what, limit);
      // Most machines have one family only: then there is nothing to see.
      const second = await look({ at: other, from: first.port, expect: tracker.peer, identity, signal: soon }).catch(
        () => undefined,
      );
      if (second) {
        views.push(second.view);
        sockets.push(second.tls);
      }
    }
    const { stun } = first.seen;
    return new Outlook({
      port: first.port,
      views,
      sockets,
      stun: stun === null ? undefined : { host: ip, port: stun },
    });
  }

  get sightings(): Sighting[] {
    return this.views.map(({ sighting }) => sighting);
  }

  /** This machine’s own addresses of the port. */
  get locals(): string[] {
    return this.views.map(({ local }) => formatAddress({ host: local, port: this.port }));
  }

  [Symbol.dispose](): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

async function look(options: {
  at: Address;
  from: number;
  expect: string;
  identity: Identity;
  signal: AbortSignal;
}): Promise<{ view: View; seen: Seen; port: number; tls: TLSSocket }> {
  const { at, from, expect, identity, signal } = options;
  const socket = await connectFrom({ ...at, localPort: from, signal });
  const local = localOf(socket);
  const address = formatAddress(at);
  const tls = await dial({ address, expect, identity, signal, over: { stream: socket, rung: 'direct' } });
  try {
    const answer = await ask(tls, signal);
    const { sighting } = answer;
    if (sighting.tracker !== expect || sighting.node !== identity.id) {
      throw new Fault(
        'malformed',
        `asking the tracker at "${address}" where it sees this node: it speaks of somebody else`,
      );
    }
    return {
      view: { family: isIPv6(at.host) ? 6 : 4, local: local.host, sighting },
      seen: answer,
      port: local.port,
      tls,
    };
  } catch (error) {
    tls.destroy();
    throw error;
  }
}

const localOf = (socket: Socket): Address => ({ host: plainIp(socket.localAddress), port: socket.localPort ?? 0 });

/** One question on a connection that stays open after the answer. */
async function ask(socket: TLSSocket, signal: AbortSignal): Promise<Seen> {
  const what = 'asking the tracker where it sees this node';
  const asking = new Promise<Seen>((resolve, reject) => {
    const headers = { host: 'tracker', connection: 'keep-alive' };
    const asked = request({ createConnection: () => socket, path: SEEN_PATH, headers });
    asked.once('error', (error) => reject(toFault(error, what, 'tracker_down')));
    asked.once('response', (response) => {
      const parts: Buffer[] = [];
      let length = 0;
      response.on('data', (part: Buffer) => {
        length += part.length;
        if (length > MOST_ANSWER_BYTES) socket.destroy();
        else parts.push(part);
      });
      response.once('error', (error) => reject(toFault(error, what, 'tracker_down')));
      response.once('end', () => {
        const code = response.headers['x-netapp-fault'];
        // A tracker of before knows no such path.
        if (response.statusCode !== 200) {
          return reject(
            new Fault(isFaultCode(code) ? code : 'malformed', `${what}: refused with HTTP ${response.statusCode}`),
          );
        }
        try {
          resolve(seen.parse(JSON.parse(Buffer.concat(parts).toString())));
        } catch (error) {
          reject(new Fault('malformed', `${what}: its answer is not of its form`, { cause: error }));
        }
      });
    });
    asked.end();
  });
  return await abortable(asking, signal);
}
