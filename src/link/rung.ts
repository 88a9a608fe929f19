/** Which step of the ladder a connection stands on: how two machines reach one another. */
import type { Duplex } from 'node:stream';
import { formatAddress, parseAddress, plainIp, scopeOf } from './address.ts';

/** From the nearest on: this machine, this network, an address that answers, a hole in what is between, a tracker that passes bytes on. */
export const RUNGS = ['local', 'lan', 'direct', 'punched', 'relay'] as const;
export type Rung = (typeof RUNGS)[number];

/** Whether `a` is nearer than `b`. */
export const isBetter = (a: Rung, b: Rung): boolean => RUNGS.indexOf(a) < RUNGS.indexOf(b);

/** Sorts the nearest to the front. */
export const nearestFirst = (a: { rung: Rung }, b: { rung: Rung }): number =>
  RUNGS.indexOf(a.rung) - RUNGS.indexOf(b.rung);

/** Where a connection to the address, made in the plain way, would stand. */
export function rungOf(address: string): Rung {
  const scope = scopeOf(parseAddress(address).host);
  if (scope === 'loopback') return 'local';
  return scope === 'private' ? 'lan' : 'direct';
}

/** The other side of a connection, for people, and how it is reached. */
export type Origin = { readonly address: string; readonly rung: Rung };

const origins = new WeakMap<Duplex, Origin>();

/** Notes where a connection comes from that its socket cannot tell, or tells wrongly. */
export function noteOrigin(socket: Duplex, origin: Origin): void {
  origins.set(socket, origin);
}

/** Where a connection comes from: as was noted, else as its socket tells. */
export function originOf(
  socket: Duplex & { remoteAddress?: string | undefined; remotePort?: number | undefined },
): Origin {
  const noted = origins.get(socket);
  if (noted) return noted;
  const host = plainIp(socket.remoteAddress);
  const address = formatAddress({ host, port: socket.remotePort ?? 0 });
  if (host === '') return { address, rung: 'direct' };
  const origin = { address, rung: rungOf(formatAddress({ host, port: socket.remotePort ?? 1 })) };
  origins.set(socket, origin); // it stays the same, and is asked for at each request
  return origin;
}
