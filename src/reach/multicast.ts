/** Packets of multicast DNS (RFC 6762), said and heard on each network by itself, over IPv4 and IPv6. */
import { createSocket, type Socket } from 'node:dgram';
import type { Log } from '../base/log.ts';
import type { Network } from './networks.ts';

const MDNS_PORT = 5353;
const GROUP = { udp4: '224.0.0.251', udp6: 'ff02::fb' } as const;
/** RFC 6762, section 11: it says that the packet has passed no router. */
const TTL = 255;
/** Bytes of the largest packet (RFC 6762, section 17). */
const MOST_BYTES = 9000;

type Family = keyof typeof GROUP;

/** Where a packet came from; a link-local IPv6 address has its zone behind "%". */
export type Source = { address: string; network: Network };

export type MulticastOptions = {
  onPacket(packet: Buffer, source: Source): void;
  log: Log;
  /** For tests: another port is another network. */
  port?: number | undefined;
};

export class Multicast implements AsyncDisposable {
  readonly #options: MulticastOptions;
  readonly #port: number;
  readonly #hearing = new Map<Family, Socket>();
  /** By what they say and from where: `eth0 udp4 192.0.2.7`. */
  readonly #senders = new Map<string, Socket>();
  #networks: readonly Network[] = [];
  #using: Promise<void> = Promise.resolve();
  #ended = false;

  constructor(options: MulticastOptions) {
    this.#options = options;
    this.#port = options.port ?? MDNS_PORT;
  }

  /** Networks on which something can be said now. */
  get networks(): readonly Network[] {
    return this.#networks.filter((network) => this.#sendersOf(network).length > 0);
  }

  /** Speaks and hears there from now on, and nowhere else; what cannot be had is tried again when it is called again. */
  use(networks: readonly Network[]): Promise<void> {
    this.#networks = networks;
    this.#using = this.#using.then(() => this.#open());
    return this.#using;
  }

  async #open(): Promise<void> {
    const networks = this.#networks;
    if (this.#ended) return;
    const wanted = new Map(networks.flatMap((network) => sides(network).map((side) => [side.key, side] as const)));
    for (const [key, socket] of this.#senders) {
      if (wanted.has(key)) continue;
      this.#senders.delete(key);
      socket.close();
    }
    for (const { key, family, network, from } of wanted.values()) {
      if (this.#senders.has(key)) continue;
      const hearing = this.#hearing.get(family) ?? (await this.#bind(family, undefined));
      if (!hearing) continue;
      this.#hearing.set(family, hearing);
      const on = family === 'udp4' ? from : `::%${network.zone}`;
      join(hearing, family, on);
      const sender = await this.#bind(family, from);
      if (!sender) continue;
      try {
        sender.setMulticastInterface(on);
        sender.setMulticastTTL(TTL);
        this.#senders.set(key, sender);
      } catch (error) {
        sender.close();
        this.#options.log.debug({ err: error, network: network.name }, 'this network takes no multicast');
      }
    }
  }

  /** Gives undefined where the address is not there any more, or not yet. */
  async #bind(family: Family, address: string | undefined): Promise<Socket | undefined> {
    const socket = createSocket({ type: family, reuseAddr: true, ipv6Only: family === 'udp6' });
    const { promise, resolve } = Promise.withResolvers<Socket | undefined>();
    socket.on('error', (error) => {
      this.#options.log.debug({ err: error, address }, 'a socket for multicast failed');
      this.#forget(socket);
      resolve(undefined);
    });
    // Only the one that is bound to no address hears what is said to all.
    if (address === undefined) socket.on('message', (packet, { address: from }) => this.#heard(packet, from));
    socket.bind({ port: this.#port, ...(address !== undefined && { address }) }, () => resolve(socket));
    socket.unref();
    return await promise;
  }

  #forget(socket: Socket): void {
    for (const held of [this.#senders, this.#hearing] as Map<string, Socket>[]) {
      for (const [key, each] of held) if (each === socket) held.delete(key);
    }
    try {
      socket.close();
    } catch {
      // it has closed by itself
    }
  }

  /** What comes from elsewhere than the link on which it says to be is nobody's answer (RFC 6762, section 11). [N-52] */
  #heard(packet: Buffer, from: string): void {
    if (packet.length > MOST_BYTES) return;
    const [ip = '', zone] = from.split('%');
    const network = this.#networks.find((each) => each.contains(ip) && (zone === undefined || each.zone === zone));
    if (network) this.#options.onPacket(packet, { address: from, network });
  }

  /** To everybody on the network. What cannot be sent is lost, as any packet may be. */
  async send(network: Network, packet: Uint8Array): Promise<void> {
    const sending = this.#sendersOf(network).map(({ family, socket }) => {
      const to = family === 'udp4' ? GROUP.udp4 : `${GROUP.udp6}%${network.zone}`;
      return new Promise<void>((done) => {
        socket.send(packet, this.#port, to, (error) => {
          if (error) this.#options.log.debug({ err: error, network: network.name }, 'a packet to all was not sent');
          done();
        });
      });
    });
    await Promise.all(sending);
  }

  #sendersOf(network: Network): { family: Family; socket: Socket }[] {
    return sides(network).flatMap(({ key, family }) => {
      const socket = this.#senders.get(key);
      return socket ? [{ family, socket }] : [];
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    await this.#using;
    const all = [...this.#senders.values(), ...this.#hearing.values()];
    this.#senders.clear();
    this.#hearing.clear();
    await Promise.all(all.map((socket) => new Promise<void>((done) => socket.close(done))));
  }
}

function join(socket: Socket, family: Family, on: string): void {
  try {
    socket.addMembership(GROUP[family], on);
  } catch {
    // it is a member there already, or the interface takes no multicast: then nothing is sent there either
  }
}

function sides(network: Network): { key: string; family: Family; network: Network; from: string }[] {
  const { name, ipv4, ipv6 } = network;
  const side = (family: Family) => (from: string) => ({ key: `${name} ${family} ${from}`, family, network, from });
  return [...(ipv4 === undefined ? [] : [ipv4].map(side('udp4'))), ...ipv6.map(side('udp6'))];
}
