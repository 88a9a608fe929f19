/** The addresses of this machine, found without sending a packet. */
import { createSocket } from 'node:dgram';
import { networkInterfaces } from 'node:os';

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
