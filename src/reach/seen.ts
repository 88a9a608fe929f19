/** What a tracker answers to whoever asks where it sees them: plain HTTP on the connection that it is about. [N-30] */
import { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { addressText, formatAddress, plainIp } from '../link/address.ts';
import type { Key } from '../link/identity.ts';
import type { HttpHandler } from '../link/listen.ts';
import { sighting, signSighting } from './sighting.ts';

export const SEEN_PATH = '/reach/seen';

export const seen = z.object({
  sighting,
  /** Where else it answers: one of the other family of addresses tells where a node is seen by that. */
  also: z.array(addressText).max(8),
  /** Its UDP port for STUN; null where it has none. */
  stun: z.number().int().min(1).max(65_535).nullable(),
});
export type Seen = z.infer<typeof seen>;

/** `addresses`, `stun`: asked at each request. */
export function seenHttp(options: {
  key: Key;
  clock: Clock;
  addresses(): readonly string[];
  stun(): number | null;
}): HttpHandler {
  const { key, clock } = options;
  return (request, response, { peer }) => {
    if (peer === undefined) {
      throw new Fault('unauthenticated', 'asking where one is seen: show a client certificate of a node key');
    }
    const { remoteAddress, remotePort = 0 } = request.socket;
    const address = formatAddress({ host: plainIp(remoteAddress), port: remotePort });
    const also = options.addresses().filter((each) => addressText.safeParse(each).success);
    const answer: Seen = {
      sighting: signSighting(key, { node: peer, address, at: clock.now() }),
      also,
      stun: options.stun(),
    };
    response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' });
    response.end(`${JSON.stringify(answer)}\n`);
  };
}

/** At a port that a proxy stands before. [N-30] */
export const notSeen: HttpHandler = () => {
  throw new Fault('wrong_state', 'asking where one is seen: this tracker stands behind a proxy, and sees only that');
};
