/**
 * To which addresses of another node anything is sent before it has answered from there: those that the tracker saw it at, which both ask,
 * and its own ones where both stand behind the same address. Nobody can have a node send to a third one. [N-32] [N-34]
 */
import { BlockList, isIP, isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { Fault } from '../base/fault.ts';
import { type Address, formatAddress, parseAddress, scopeOf } from '../link/address.ts';
import type { View } from './outlook.ts';
import { isOf, type Sighting } from './sighting.ts';

/** One sighting of each family. */
export const MOST_SIGHTINGS = 2;
/** Addresses of its own that a node may name, and others may try. */
export const MOST_LOCALS = 2;

const familyOf = (host: string): 4 | 6 => (isIPv6(host) ? 6 : 4);

/**
 * Of what the node `node` showed, the sightings to rely on, each beside the own view of that family. A private address is only one
 * for whom the tracker sees at a private address too: elsewhere it is another machine. [N-32]
 */
export function pairs(
  mine: readonly View[],
  theirs: readonly Sighting[],
  node: string,
): { mine: View; theirs: Address }[] {
  return mine.flatMap((view) => {
    const own = parseAddress(view.sighting.address).host;
    const shown = theirs.slice(0, MOST_SIGHTINGS).find((each) => {
      const { host } = parseAddress(each.address);
      return isIP(host) !== 0 && familyOf(host) === view.family && isOf(node, each, view.sighting);
    });
    if (!shown) return [];
    const address = parseAddress(shown.address);
    return scopeOf(address.host) === scopeOf(own) ? [{ mine: view, theirs: address }] : [];
  });
}

/** Where `pairs` gives none. */
export const nothingCommon = (): Fault =>
  new Fault('wrong_state', 'making a hole: no tracker has seen both sides lately by one kind of address');

/** Whether the tracker sees both at one address: then they may be in one network, and may tell each other their own addresses. [N-34] */
export const isSameHost = ({ mine, theirs }: { mine: View; theirs: Address }): boolean =>
  parseAddress(mine.sighting.address).host === theirs.host;

/** Those of the named addresses that lie in a network that this machine is in itself. [N-34] */
export function nearby(named: readonly string[]): Address[] {
  const nets = ownNets();
  return named
    .slice(0, MOST_LOCALS)
    .map(parseAddress)
    .filter(({ host }) => {
      const version = isIP(host);
      if (version === 0 || scopeOf(host) !== 'private') return false;
      return nets.check(host, version === 4 ? 'ipv4' : 'ipv6');
    });
}

function ownNets(): BlockList {
  const list = new BlockList();
  for (const each of Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])) {
    const [net, bits] = each.cidr?.split('/') ?? [];
    if (each.internal || net === undefined || scopeOf(net) !== 'private') continue;
    list.addSubnet(net, Number(bits), each.family === 'IPv4' ? 'ipv4' : 'ipv6');
  }
  return list;
}

/** Where TCP may try: at most four addresses. */
export function targets(options: {
  mine: readonly View[];
  theirs: readonly Sighting[];
  locals: readonly string[];
  node: string;
}): string[] {
  const agreed = pairs(options.mine, options.theirs, options.node);
  const near = agreed.some(isSameHost) ? nearby(options.locals) : [];
  const families = new Set(options.mine.map(({ family }) => family));
  const own = new Set(options.mine.map(({ sighting }) => sighting.address));
  const all = [...near, ...agreed.map(({ theirs }) => theirs)].filter(({ host }) => families.has(familyOf(host)));
  return [...new Set(all.map(formatAddress))].filter((address) => !own.has(address));
}
