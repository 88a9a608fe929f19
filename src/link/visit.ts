/** A connection that is to become something other than a link: an upgrade of HTTP by a node that has proved its key. [L-3] */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Fault } from '../base/fault.ts';
import { peerId } from './identity.ts';
import { refuseUpgrade } from './routes.ts';

/** By whom has this side's own key, another process of it: for which node it comes. */
export const FOR_HEADER = 'x-netapp-for';

export type Visit = {
  /** Key of the node. */
  readonly peer: string;
  /** Whether another process of this side brings it. */
  readonly isBrought: boolean;
  readonly path: string;
  /** What it is to become: the `Upgrade` of the request, in small letters. */
  readonly protocol: string;
  readonly socket: Duplex;
  /** Says yes; from then on the stream is what was asked for. */
  accept(): Duplex;
  refuse(fault: Fault): void;
};

export type VisitHandler = (visit: Visit) => void | Promise<void>;

/** `self`: the own key; `answers`: headers that the answer carries besides. Nothing of the request is kept in memory. */
export function visitOf(
  { url, headers }: IncomingMessage,
  {
    socket,
    head,
    peer,
    self,
    answers = [],
  }: {
    socket: Duplex;
    head: Buffer;
    peer: string;
    self: string;
    answers?: readonly string[];
  },
): Visit {
  const [path = ''] = (url ?? '').split('?');
  const protocol = (headers.upgrade ?? '').toLowerCase();
  const named = peerId.safeParse(headers[FOR_HEADER]);
  const isBrought = peer === self && named.success;
  return made({ path, protocol, peer: isBrought ? (named.data ?? peer) : peer, isBrought }, socket, head, answers);
}

function made(
  asked: Pick<Visit, 'path' | 'protocol' | 'peer' | 'isBrought'>,
  socket: Duplex,
  head: Buffer,
  answers: readonly string[],
): Visit {
  const lines = ['HTTP/1.1 101 Switching Protocols', `upgrade: ${asked.protocol}`, 'connection: Upgrade', ...answers];
  return {
    ...asked,
    socket,
    accept: () => {
      socket.write(`${lines.join('\r\n')}\r\n\r\n`);
      if (head.length > 0) socket.unshift(head);
      return socket;
    },
    refuse: (fault) => refuseUpgrade(socket, fault),
  };
}

/** Which handler takes which paths. */
export class Visits {
  readonly #all: { prefix: string; handler: VisitHandler }[] = [];

  add(prefix: string, handler: VisitHandler): void {
    this.#all.push({ prefix, handler });
  }

  find(url: string | undefined): VisitHandler | undefined {
    return this.#all.find(({ prefix }) => url?.startsWith(prefix))?.handler;
  }
}
