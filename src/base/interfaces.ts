/** The addresses of this machine, found without sending a packet. */
import { createSocket } from 'node:dgram';
import { networkInterfaces } from 'node:os';
import { type Clock, systemClock } from './clock.ts';

/** Public addresses: the way to them is the default route. Nothing is ever sent there. */
const ELSEWHERE = { udp4: '1.1.1.1', udp6: '2606:4700:4700::1111' };

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

/** One interface with an address that others may reach. */
export type Interface = {
  name: string;
  /** IPv4 first; IPv6 link-local ones last. */
  addresses: string[];
  /** The way out of this network goes through it. */
  isDefault: boolean;
};

/** This machine's interfaces but loopback, those of a default route first. */
export async function interfaces(): Promise<Interface[]> {
  const routes = await Promise.all([routedIp('udp4'), routedIp('udp6')]);
  const rank = (ip: string): number => (ip.includes('.') ? 0 : /^fe[89ab]/i.test(ip) ? 2 : 1);
  return Object.entries(networkInterfaces())
    .map(([name, all = []]) => {
      const addresses = all.filter(({ internal }) => !internal).map(({ address }) => address);
      addresses.sort((a, b) => rank(a) - rank(b));
      return { name, addresses, isDefault: addresses.some((ip) => routes.includes(ip)) };
    })
    .filter(({ addresses }) => addresses.length > 0)
    .sort((a, b) => Number(b.isDefault) - Number(a.isDefault));
}

/**
 * The IP with which this machine goes out by its default route. Connecting a UDP socket asks the kernel for the route
 * and sends nothing. Without a route: the first interface's IP, else 127.0.0.1.
 */
export async function defaultIp(): Promise<string> {
  return (await routedIp('udp4')) ?? interfaceIps()[0] ?? '127.0.0.1';
}

/** The IP of the default route of one family; undefined without one. */
function routedIp(family: keyof typeof ELSEWHERE): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket(family);
    socket.once('error', () => {
      socket.close();
      resolve(undefined);
    });
    socket.connect(9, ELSEWHERE[family], () => {
      const { address } = socket.address();
      socket.close();
      resolve(address === '0.0.0.0' || address === '::' ? undefined : address); // Linux connects without a route too, from nowhere
    });
  });
}
