/** The addresses of this machine, found without sending a packet. */
import { createSocket } from 'node:dgram';
import { networkInterfaces } from 'node:os';
import { type Clock, systemClock } from './clock.ts';

/** A public address: the way to it is the default route. Nothing is ever sent there. */
const ELSEWHERE = '1.1.1.1';

/** IPs of this machine's interfaces other than loopback and IPv6 link-local, IPv4 first. */
export function interfaceIps(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const usable = all.filter(({ internal, address }) => !internal && !/^fe80:/i.test(address));
  return [...usable.filter(({ family }) => family === 'IPv4'), ...usable.filter(({ family }) => family === 'IPv6')].map(
    ({ address }) => address,
  );
}

export type InterfaceWatch = {
  /**
   * Told of the addresses of now when they are others than before, or when the machine has slept: what was said on the old ones
   * is then worth little. Not told of those at the start.
   */
  onChange(addresses: readonly string[], why: 'addresses' | 'slept'): void;
  /** Ends it. */
  signal: AbortSignal;
  /** Milliseconds between two looks. */
  everyMs?: number;
  /** For tests. */
  read?: () => string[];
  clock?: Clock;
};

/** Milliseconds between two looks, each of which costs about 0.1 ms: a change is known within 1 s, also where a look comes late. */
const LOOK_MS = 500;

/** Milliseconds by which a look comes late only where the machine, or the process, did not run. */
const SLEPT_MS = 5000;

/**
 * Watches for addresses that come and go. It looks, because systems tell of it in ways of their own, and not at all of some; it
 * keeps no process alive.
 */
export function watchInterfaces(watch: InterfaceWatch): void {
  const { onChange, signal, everyMs = LOOK_MS, read = interfaceIps, clock = systemClock } = watch;
  if (signal.aborted) return;
  let known = read();
  let looked = clock.now();
  const look = (): void => {
    const [addresses, at] = [read(), clock.now()];
    const hasSlept = at - looked > everyMs + SLEPT_MS;
    const isOther = addresses.toSorted().join() !== known.toSorted().join();
    known = addresses;
    looked = at;
    if (isOther || hasSlept) onChange(addresses, isOther ? 'addresses' : 'slept');
  };
  const timer = setInterval(look, everyMs);
  timer.unref();
  signal.addEventListener('abort', () => clearInterval(timer), { once: true });
}

/**
 * The IP with which this machine goes out by its default route. Connecting a UDP socket asks the kernel for the route
 * and sends nothing. Without a route: the first interface's IP, else 127.0.0.1.
 */
export async function defaultIp(): Promise<string> {
  const routed = await new Promise<string | undefined>((resolve) => {
    const socket = createSocket('udp4');
    socket.once('error', () => {
      socket.close();
      resolve(undefined);
    });
    socket.connect(9, ELSEWHERE, () => {
      const { address } = socket.address();
      socket.close();
      resolve(address === '0.0.0.0' ? undefined : address); // Linux connects without a route too, from nowhere
    });
  });
  return routed ?? interfaceIps()[0] ?? '127.0.0.1';
}
