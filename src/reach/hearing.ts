/**
 * Whether multicast is heard: a question of DNS-SD (RFC 6763, section 9) is sent to each network, which this machine has to hear
 * itself, and others may answer. It is of mDNS like any other, and asks for nothing of ours. [N-93]
 */
import { randomBytes } from 'node:crypto';
import { isIPv6 } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { encode } from 'dns-packet';
import { reasonOf } from '../base/async.ts';
import type { Log } from '../base/log.ts';
import { Multicast } from './multicast.ts';
import type { Network } from './networks.ts';

/** What was heard on one network. */
export type Hearing = {
  network: string;
  /** The question came back: nothing on this machine keeps multicast out. */
  heard: boolean;
  /** Other machines that said anything meanwhile: the network carries multicast. */
  others: number;
};

/** Milliseconds that others have to answer, who wait up to 500 so as not to speak all at once (RFC 6762, section 6). */
const LISTEN_MS = 1000;
/** Milliseconds until it is asked again: a packet may be lost. */
const AGAIN_MS = 300;
/** Machines that are counted of one network. */
const MOST_OTHERS = 1000;

export type HearingOptions = {
  networks: readonly Network[];
  log: Log;
  signal?: AbortSignal | undefined;
  listenMs?: number;
  /** For tests: another port is another network. */
  port?: number | undefined;
};

/** In the order of `networks`. Throws only the signal's reason: what cannot be sent is not heard. */
export async function hear({ networks, log, signal, listenMs = LISTEN_MS, port }: HearingOptions): Promise<Hearing[]> {
  // A name that nobody has, so that it is known again among the questions of others.
  const name = `${randomBytes(8).toString('hex')}.local`;
  const question = encode({
    type: 'query',
    questions: [
      { type: 'PTR', name: '_services._dns-sd._udp.local' },
      { type: 'A', name },
    ],
  });
  const heard = new Set<string>();
  // Most machines speak by both families of addresses: each is counted by itself.
  const others = new Map(networks.map(({ name }) => [name, { ipv4: new Set<string>(), ipv6: new Set<string>() }]));
  await using multicast = new Multicast({
    onPacket: (packet, { address, network }) => {
      if (packet.equals(question)) heard.add(network.name);
      const [ip = ''] = address.split('%');
      const known = others.get(network.name)?.[isIPv6(ip) ? 'ipv6' : 'ipv4'];
      if (!known || known.size >= MOST_OTHERS || network.addresses.includes(ip)) return;
      known.add(address);
    },
    log,
    port,
  });
  await multicast.use(networks);
  const ask = (): Promise<unknown> => Promise.all(networks.map((network) => multicast.send(network, question)));
  await ask();
  await listen(AGAIN_MS, signal);
  await ask();
  await listen(Math.max(0, listenMs - AGAIN_MS), signal);
  return networks.map((network) => ({
    network: network.name,
    heard: heard.has(network.name),
    others: Math.max(others.get(network.name)?.ipv4.size ?? 0, others.get(network.name)?.ipv6.size ?? 0),
  }));
}

/** Unlike `sleep` it keeps the process: the sockets that it listens with do not. */
async function listen(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await delay(ms, undefined, { ...(signal && { signal }) });
  } catch (error) {
    throw signal?.aborted ? reasonOf(signal) : error;
  }
}
