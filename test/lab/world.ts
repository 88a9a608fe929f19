/** The sites and machines of the table: one of each way in which people are connected, and two where two of a kind matter. */
import type { Lab } from './lab.ts';
import type { Machine } from './machine.ts';
import { type Nat, usualNat } from './nat.ts';
import type { SiteOptions } from './site.ts';

const perDestination: Nat = { ...usualNat, mapping: 'per-destination', ports: 'random' };

type Place = SiteOptions & { machines: readonly string[]; firewall?: boolean; inside?: string };

const places: Record<string, Place> = {
  /** An address of its own, of each kind, and nothing in the way. */
  open: { machines: ['open'], ipv6: true },
  /** An address of its own, and a firewall that lets nothing in. */
  wall: { machines: ['wall'], firewall: true },
  /** The usual router, with two machines behind it. */
  home: { machines: ['home', 'desk'], nat: usualNat },
  /** Another outside port than the inside one, and still one for all. */
  random: { machines: ['random'], nat: { ...usualNat, ports: 'random' } },
  /** Whoever sends to the outside port is let in. */
  cone: { machines: ['cone'], nat: { ...usualNat, filtering: 'endpoint-independent' } },
  /** A SYN that comes too early is answered, by RST. */
  reset: { machines: ['reset'], nat: { ...usualNat, unsolicited: 'reset' } },
  /** Another outside port for each whom it talks to. */
  strict: { machines: ['strict'], nat: perDestination },
  firm: { machines: ['firm'], nat: perDestination },
  /** A provider’s router, and a home’s behind it. */
  carrier: { machines: [], nat: usualNat, provider: true },
  double: { machines: ['double'], nat: usualNat, inside: 'carrier' },
  /** Guests who see the router alone, which leads them back to one another. */
  hotel: { machines: ['guest', 'visitor'], nat: { ...usualNat, hairpin: true }, isolated: true },
  /** And one which does not. */
  hostel: { machines: ['lodger', 'roomer'], nat: usualNat, isolated: true },
  /** IPv6 alone, behind a firewall. */
  six: { machines: ['six'], ipv4: false, ipv6: true, firewall: true },
  /** The worst NAT by IPv4, and IPv6 with a firewall beside it. */
  dual: { machines: ['dual'], nat: perDestination, ipv6: true },
  /** A company that lets out only what looks like the web. */
  office: { machines: ['office'], nat: usualNat, outPorts: [443] },
};

/** All machines of the table, in its order. */
export const everybody = Object.values(places).flatMap(({ machines }) => machines);

/** Those of `names`, with the sites that they need. */
export async function build(lab: Lab, names: readonly string[] = everybody): Promise<Machine[]> {
  const wanted = new Set(names);
  const needed = new Set(
    Object.entries(places).flatMap(([name, { machines, inside }]) =>
      machines.some((machine) => wanted.has(machine)) ? [name, ...(inside === undefined ? [] : [inside])] : [],
    ),
  );
  const made: Machine[] = [];
  for (const [name, { machines, firewall, inside, ...options }] of Object.entries(places)) {
    if (!needed.has(name)) continue;
    const behind = inside === undefined ? undefined : lab.sites.get(inside);
    const site = await lab.site(name, { ...options, ...(behind && { behind }) });
    for (const machine of machines)
      if (wanted.has(machine)) made.push(await lab.machine(machine, site, { firewall: firewall ?? false }));
  }
  return made;
}

/** Programs that start at once: more, and each takes longer than a start may. */
const STARTS_AT_ONCE = 4;

/** Starts a node at each machine. */
export async function upAll(machines: readonly Machine[], trackers: readonly Machine[]): Promise<void> {
  const work = machines.values();
  const worker = async (): Promise<void> => {
    for (const machine of work) await machine.up(trackers);
  };
  await Promise.all(Array.from({ length: STARTS_AT_ONCE }, worker));
}
