/** The addresses of this machine, found without sending a packet. */
import { createSocket } from 'node:dgram';
import { networkInterfaces } from 'node:os';

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
