/** Zones out in the world: who serves them by SRV, and their key by TXT, or by first sight. [Z-40] [Z-41] */
import { Resolver } from 'node:dns/promises';
import { abortable } from '../base/async.ts';
import { Fault } from '../base/fault.ts';
import { formatAddress } from '../link/address.ts';
import { peerId } from '../link/identity.ts';
import { MOST_TRACKERS } from './delegation.ts';
import { MOST_ADDRESSES } from './record.ts';

/** What DNS says of a zone. */
type ZoneNames = {
  /** `IP:port`, the preferred first. */
  addresses: string[];
  /** From TXT; undefined: it says none. */
  key: string | undefined;
};

export type LookUpZone = (zone: string, signal: AbortSignal) => Promise<ZoneNames | undefined>;

const NO_SUCH = ['ENOTFOUND', 'ENODATA'];
const KEY = /^netapp1 key=([a-z2-7]{52})$/;

/**
 * Asks the machine's resolvers, or `servers` (IP or IP:port). Undefined where there is no such record. Throws `timeout` where
 * nobody answers, `malformed` for what is not of its form.
 */
export function lookUpWith(servers?: readonly string[]): LookUpZone {
  return async (zone, signal) => {
    const resolver = new Resolver({ timeout: 1500, tries: 2 });
    if (servers && servers.length > 0) resolver.setServers(servers);
    const cancel = (): void => resolver.cancel();
    signal.addEventListener('abort', cancel, { once: true });
    const ask = async <T>(work: Promise<T>): Promise<T | undefined> => {
      try {
        return await abortable(work, signal);
      } catch (error) {
        const code = error instanceof Error && 'code' in error ? String(error.code) : '';
        if (NO_SUCH.includes(code)) return undefined;
        if (error instanceof Fault) throw error;
        throw new Fault('timeout', `asking DNS for "${zone}": ${code || 'no answer'}`, { cause: error });
      }
    };
    try {
      const name = `_netapp._tcp.${zone}`;
      const found = await ask(resolver.resolveSrv(name));
      if (!found || found.length === 0) return undefined;
      const texts = (await ask(resolver.resolveTxt(name))) ?? [];
      const sorted = found.toSorted((a, b) => a.priority - b.priority || b.weight - a.weight).slice(0, MOST_TRACKERS);
      // RFC 2782: a lone "." says that the service is decidedly not there.
      const addresses: string[] = [];
      for (const { name: host, port } of sorted.filter((each) => each.name !== '' && each.name !== '.')) {
        // The same resolver says where its own names lead, so that what was looked at is what is dialled.
        const fours = (await ask(resolver.resolve4(host))) ?? [];
        const sixes = fours.length > 0 ? [] : ((await ask(resolver.resolve6(host))) ?? []);
        addresses.push(...[...fours, ...sixes].map((ip) => formatAddress({ host: ip, port })));
      }
      addresses.splice(MOST_ADDRESSES);
      if (addresses.length === 0) return undefined;
      const keys = texts
        .flatMap((parts) => KEY.exec(parts.join(''))?.[1] ?? [])
        .filter((key) => peerId.safeParse(key).success);
      if (new Set(keys).size > 1)
        throw new Fault('malformed', `asking DNS for "${zone}": its TXT records name several keys`);
      return { addresses, key: keys[0] };
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  };
}
