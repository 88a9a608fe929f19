/** The first exchange on a link: versions, roles, and the account behind the node. [L-10] */
import { z } from 'zod';
import { Fault } from '../base/fault.ts';
import { binding, bindingHolds } from './binding.ts';
import { signature } from './identity.ts';
import { method } from './message.ts';
import { RUNGS } from './rung.ts';

/** Versions of the protocol that this program speaks, first to last. */
export const PROTOCOL = { min: 1, max: 1 };

/** WebSocket subprotocol of the link. */
export const SUBPROTOCOL = 'netapp.1';

const helloInfo = z.object({
  protocol: z.object({ min: z.number().int(), max: z.number().int() }),
  /** Name and version of the program, for people. */
  software: z.string().max(80),
  role: z.enum(['node', 'tracker']),
  /** The account that the node hosts; a tracker has none. */
  account: binding.nullable(),
  /** Where the link passes a proxy, by the side that dialled: its signature of both challenges. [L-43] */
  proof: signature.optional(),
  /** Messages that it takes in one frame; missing: one. [L-35] */
  batch: z.number().int().min(1).optional(),
  /**
   * Between nodes, by the side that dialled: the rung that it takes the link to stand on, and whether it dials although there is
   * another one; the other side says the same, where it knows what that is for. [N-72]
   */
  way: z.object({ rung: z.enum(RUNGS), instead: z.boolean() }).optional(),
});

/** Which link this is to be, of several between two nodes. */
export type LinkWay = NonNullable<z.infer<typeof helloInfo>['way']>;

export type HelloInfo = z.infer<typeof helloInfo>;

export const hello = method('hello', { params: helloInfo, result: helloInfo });

/** What a link keeps of it, without what it has already. */
export function keptOf({ protocol, software, role, account, batch }: HelloInfo, peer: string): HelloInfo {
  const isOurs = protocol.min === PROTOCOL.min && protocol.max === PROTOCOL.max;
  return {
    protocol: isOurs ? PROTOCOL : protocol,
    software,
    role,
    account: account && {
      account: account.account,
      handle: account.handle,
      node: peer,
      until: account.until,
      sig: account.sig,
    },
    batch,
  };
}

/** Throws where the other side's hello cannot be lived with. */
export function checkHello(info: HelloInfo, peer: string, now: number): void {
  if (info.protocol.min > PROTOCOL.max || info.protocol.max < PROTOCOL.min) {
    throw new Fault(
      'unsupported_version',
      `greeting: the other side speaks protocol ${info.protocol.min} to ${info.protocol.max}, this one ${PROTOCOL.min} to ${PROTOCOL.max}`,
    );
  }
  if (info.account && !bindingHolds(info.account, peer, now)) {
    throw new Fault('bad_signature', 'greeting: the account does not vouch for this node, or no longer');
  }
}
