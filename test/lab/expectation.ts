/** Which rung two machines can stand on, from what stands between them; the program is not asked. */
import type { Rung } from '../../src/link/rung.ts';
import type { Machine } from './machine.ts';
import type { Nat } from './nat.ts';
import type { Site } from './site.ts';

/** How a machine faces the internet by one kind of address. */
type Facing = {
  /** Whether it answers whoever dials it. */
  answers: boolean;
  /** Whether it can send by any port, and by UDP. */
  sends: boolean;
  /** Whether others can know the outside port that it will send to them from. */
  mapping: 'none' | Nat['mapping'];
  /** Who gets an answer to the first packet. */
  filtering: 'none' | Nat['filtering'];
};

const strictness: Record<Facing['filtering'], number> = {
  none: 0,
  'endpoint-independent': 1,
  address: 2,
  'address-and-port': 3,
};

const routersOf = (site: Site): Site[] => [site, ...(site.options.behind ? routersOf(site.options.behind) : [])];

/** By IPv4 and IPv6; undefined where it has no address of that kind. */
function facingsOf({ site, firewall, plug }: Machine): { ipv4: Facing | undefined; ipv6: Facing | undefined } {
  const routers = routersOf(site);
  const nats = routers.flatMap(({ options }) => options.nat ?? []);
  const sends = routers.every(({ options }) => options.outPorts === undefined);
  const filtering = [...nats.map((nat) => nat.filtering), ...(firewall ? (['address-and-port'] as const) : [])].reduce<
    Facing['filtering']
  >((most, one) => (strictness[one] > strictness[most] ? one : most), 'none');
  const mapping: Facing['mapping'] = nats.some((nat) => nat.mapping === 'per-destination')
    ? 'per-destination'
    : nats.length > 0
      ? 'endpoint-independent'
      : 'none';
  // A router with a NAT for IPv4 is a firewall for IPv6.
  const guarded = firewall || nats.length > 0;
  return {
    ipv4: plug.ipv4 === undefined ? undefined : { answers: filtering === 'none', sends, mapping, filtering },
    ipv6:
      plug.ipv6 === undefined
        ? undefined
        : { answers: !guarded, sends, mapping: 'none', filtering: guarded ? 'address-and-port' : 'none' },
  };
}

/** Whether two can meet where a tracker has told each the outside address of the other. */
function canPunch(one: Facing, other: Facing): boolean {
  if (!one.sends || !other.sends) return false;
  const [a, b] = [one.mapping === 'per-destination', other.mapping === 'per-destination'];
  if (a && b) return false;
  // Where one's port cannot be known beforehand, the other must hear it from any port of its address.
  const hearsAnyPort = ({ filtering }: Facing): boolean => strictness[filtering] <= strictness.address;
  if (a) return hearsAnyPort(other);
  if (b) return hearsAnyPort(one);
  return true;
}

/** Two with a router in common meet only inside of it, or where it leads them back. */
function commonRouter(one: Machine, other: Machine): Site | undefined {
  const others = new Set(routersOf(other.site));
  return routersOf(one.site).find((site) => others.has(site));
}

/** The best rung that there is between them, when `from` wants `to`. */
export function expectedRung(from: Machine, to: Machine): Rung {
  const common = commonRouter(from, to);
  if (common?.options.nat) {
    if (from.site === to.site && !common.options.isolated) return to.firewall && from.firewall ? 'punched' : 'lan';
    if (!common.options.nat.hairpin) return 'relay';
  }
  const [a, b] = [facingsOf(from), facingsOf(to)];
  const both = [
    [a.ipv4, b.ipv4],
    [a.ipv6, b.ipv6],
  ].flatMap(([mine, its]) => (mine && its ? [[mine, its] as const] : []));
  if (both.some(([mine, its]) => mine.sends && its.answers)) return 'direct';
  if (both.some(([mine, its]) => its.sends && mine.answers)) return 'direct';
  return both.some(([mine, its]) => canPunch(mine, its)) ? 'punched' : 'relay';
}
