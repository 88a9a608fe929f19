/** The kind of NAT between a node and its trackers, as all of them together show it. */
import { toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { type Address, isProxied } from '../link/address.ts';
import type { Identity } from '../link/certificate.ts';
import { type NatReport, natKind } from './nat.ts';
import { Outlook } from './outlook.ts';

/** Trackers that are asked: each one more tells whether a NAT is another one for each host. */
const MOST_ASKED = 4;

/** `address`: `host:port`, or of a proxy, behind which a tracker sees nothing. Throws only the signal's reason. */
export async function natSeenBy(
  trackers: readonly { peer: string; address: string }[],
  { identity, log, signal }: { identity: Identity; log: Log; signal: AbortSignal },
): Promise<NatReport> {
  const asked = trackers.filter(({ address }) => !isProxied(address)).slice(0, MOST_ASKED);
  const servers = await Promise.all(
    asked.map(async (tracker): Promise<Address | undefined> => {
      try {
        using outlook = await Outlook.take({ tracker, identity, signal });
        return outlook.stun;
      } catch (error) {
        if (signal.aborted) throw error;
        log.debug({ err: toFault(error), tracker: tracker.address }, 'a tracker does not say where it sees this node');
        return undefined;
      }
    }),
  );
  return await natKind({ servers: servers.filter((server) => server !== undefined), signal });
}
