/** Port mapping by PCP (RFC 6887), and by NAT-PMP (RFC 6886) where the router knows no other: one port, two versions of one packet. */
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { sleep } from '../base/async.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Gateway } from './gateway.ts';
import { type Lease, WANTED_SECONDS, type Wish } from './lease.ts';

const PCP_PORT = 5351;

/**
 * Milliseconds until it is asked again, each twice the one before (RFC 6886, section 3.1, begins so, too; RFC 6887 would begin at
 * 3 s, for relays that are no home's). A router that is silent for all of them, 3.75 s, offers nothing.
 */
const TRIES_MS = [250, 500, 1000, 2000];

const VERSION = { pmp: 0, pcp: 2 } as const;
const RESPONSE = 0x80;
const OP = { external: 0, mapTcp: 2, map: 1 } as const;
const TCP = 6;
const SUCCESS = 0;
const UNSUPPORTED_VERSION = 1;
const PCP_BYTES = 60;
const NONCE_BYTES = 12;
/** Results by number (RFC 6887, section 7.4; RFC 6886, section 3.5), for people. */
const PCP_RESULTS = [
  'success',
  'the version is unknown',
  'it is not allowed',
  'the request is malformed',
  'the operation is unknown',
  'an option is unknown',
  'an option is malformed',
  'the network behind it is down',
  'it has no ports left',
  'the protocol is unknown',
  'we have too many ports',
  'it cannot give that outside address',
  'a third router stands between us',
  'too many peers',
];
const PMP_RESULTS = [
  'success',
  'the version is unknown',
  'it is not allowed',
  'the network behind it is down',
  'it has no ports left',
  'the operation is unknown',
];

export type PcpPlace = Gateway & { /** For tests. */ port?: number };

/** A lease by PCP, else by NAT-PMP. Throws `peer_unreachable` where neither is offered, `forbidden` where the router refuses it. */
export async function leaseByPcp(place: PcpPlace, wish: Wish, signal: AbortSignal): Promise<Lease> {
  return await mapByPcp(place, wish, randomBytes(NONCE_BYTES), signal);
}

async function mapByPcp(place: PcpPlace, wish: Wish, nonce: Buffer, signal: AbortSignal): Promise<Lease> {
  await using asking = await Asking.open(place);
  const answer = await asking.ask(pcpMap(place.own, wish, nonce, WANTED_SECONDS), isPcpAnswer(wish, nonce), signal);
  if (answer[0] === VERSION.pmp) return await mapByPmp(place, wish, signal);
  const code = answer[3] ?? 0;
  if (code === UNSUPPORTED_VERSION) return await mapByPmp(place, wish, signal);
  if (code !== SUCCESS) throw refused(place, 'PCP', code, PCP_RESULTS);
  const outside = { host: ipAt(answer, 44), port: answer.readUInt16BE(42) };
  const again = { ...wish, outside: outside.port };
  return {
    by: 'pcp',
    outside,
    seconds: answer.readUInt32BE(4),
    renew: (limit) => mapByPcp(place, again, nonce, limit),
    async release(limit) {
      await using giving = await Asking.open(place);
      await giving.ask(pcpMap(place.own, { ...wish, outside: 0 }, nonce, 0), isPcpAnswer(wish, nonce), limit);
    },
  };
}

/** RFC 6887, sections 7.1 and 11.1. */
function pcpMap(own: string, { port, outside }: Wish, nonce: Buffer, seconds: number): Buffer {
  const packet = Buffer.alloc(PCP_BYTES);
  packet[0] = VERSION.pcp;
  packet[1] = OP.map;
  packet.writeUInt32BE(seconds, 4);
  mapped(own).copy(packet, 8);
  nonce.copy(packet, 24);
  packet[36] = TCP;
  packet.writeUInt16BE(port, 40);
  packet.writeUInt16BE(outside, 42);
  mapped('0.0.0.0').copy(packet, 44);
  return packet;
}

/** One to this very request (section 11.4); or of a router that knows no PCP (section 9, and RFC 6886, section 3.5). */
const isPcpAnswer =
  ({ port }: Wish, nonce: Buffer) =>
  (answer: Buffer): boolean => {
    if (answer[0] === VERSION.pmp) return answer.length >= 4 && answer.readUInt16BE(2) === UNSUPPORTED_VERSION;
    if (answer[0] !== VERSION.pcp || answer[1] !== (RESPONSE | OP.map) || answer.length < 24) return false;
    if (answer[3] !== SUCCESS && answer.length < PCP_BYTES) return true;
    return (
      answer.length >= PCP_BYTES &&
      nonce.equals(answer.subarray(24, 36)) &&
      answer[36] === TCP &&
      answer.readUInt16BE(40) === port
    );
  };

async function mapByPmp(place: PcpPlace, wish: Wish, signal: AbortSignal): Promise<Lease> {
  await using asking = await Asking.open(place);
  const external = await asking.ask(Buffer.from([VERSION.pmp, OP.external]), isPmpAnswer(OP.external, 12), signal);
  const answer = await asking.ask(pmpMap(wish, WANTED_SECONDS), isMapOf(wish), signal);
  for (const each of [external, answer]) {
    const code = each.readUInt16BE(2);
    if (code !== SUCCESS) throw refused(place, 'NAT-PMP', code, PMP_RESULTS);
  }
  const outside = { host: [...external.subarray(8, 12)].join('.'), port: answer.readUInt16BE(10) };
  return {
    by: 'nat-pmp',
    outside,
    seconds: answer.readUInt32BE(12),
    renew: (limit) => mapByPmp(place, { ...wish, outside: outside.port }, limit),
    async release(limit) {
      await using giving = await Asking.open(place);
      await giving.ask(pmpMap({ ...wish, outside: 0 }, 0), isMapOf(wish), limit);
    },
  };
}

/** RFC 6886, section 3.3. */
function pmpMap({ port, outside }: Wish, seconds: number): Buffer {
  const packet = Buffer.alloc(12);
  packet[1] = OP.mapTcp;
  packet.writeUInt16BE(port, 4);
  packet.writeUInt16BE(outside, 6);
  packet.writeUInt32BE(seconds, 8);
  return packet;
}

const isPmpAnswer =
  (op: number, bytes: number) =>
  (answer: Buffer): boolean =>
    answer[0] === VERSION.pmp &&
    answer[1] === (RESPONSE | op) &&
    answer.length >= 8 &&
    (answer.length >= bytes || answer.readUInt16BE(2) !== SUCCESS);

const isMapOf =
  ({ port }: Wish) =>
  (answer: Buffer): boolean =>
    isPmpAnswer(OP.mapTcp, 16)(answer) && (answer.readUInt16BE(2) !== SUCCESS || answer.readUInt16BE(8) === port);

const refused = ({ ip }: Gateway, protocol: string, code: number, words: readonly string[]): Fault =>
  new Fault('forbidden', `asking the router "${ip}" for a port by ${protocol}: ${words[code] ?? `result ${code}`}`);

/** An IPv4 address as an IPv6 one. */
function mapped(ip: string): Buffer {
  return Buffer.from([...Array<number>(10).fill(0), 0xff, 0xff, ...ip.split('.').map(Number)]);
}

function ipAt(packet: Buffer, at: number): string {
  const bytes = packet.subarray(at, at + 16);
  if (mapped('0.0.0.0').subarray(0, 12).equals(bytes.subarray(0, 12))) return [...bytes.subarray(12)].join('.');
  const groups = Array.from({ length: 8 }, (_, n) => bytes.readUInt16BE(n * 2).toString(16));
  return groups.join(':');
}

/** Questions to the router, one at a time; only what comes from its address and port is an answer. [N-61] */
class Asking implements AsyncDisposable {
  readonly #socket: Socket;
  readonly #place: PcpPlace;

  private constructor(socket: Socket, place: PcpPlace) {
    this.#socket = socket;
    this.#place = place;
  }

  static async open(place: PcpPlace): Promise<Asking> {
    const { promise, resolve, reject } = Promise.withResolvers<Asking>();
    const socket = createSocket('udp4');
    socket.once('error', (error) => {
      socket.close();
      reject(toFault(error, `asking the router "${place.ip}"`, 'peer_unreachable'));
    });
    // Connected: the kernel lets no packet in but those of that address and port.
    socket.connect(place.port ?? PCP_PORT, place.ip, () => {
      socket.removeAllListeners('error');
      socket.on('error', () => {}); // whoever asks hears of it
      resolve(new Asking(socket, place));
    });
    return await promise;
  }

  /** Throws `peer_unreachable` where nobody answers. */
  async ask(packet: Buffer, isAnswer: (answer: Buffer) => boolean, signal: AbortSignal): Promise<Buffer> {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const over = new AbortController();
    const onMessage = (answer: Buffer): void => {
      if (isAnswer(answer)) resolve(answer);
    };
    const silent = (cause?: unknown): Fault =>
      new Fault('peer_unreachable', `asking the router "${this.#place.ip}" for a port: it does not answer`, { cause });
    const onError = (error: Error): void => reject(silent(error)); // nothing listens at that port of it
    this.#socket.on('message', onMessage).on('error', onError);
    const tries = async (): Promise<void> => {
      for (const wait of TRIES_MS) {
        this.#socket.send(packet);
        await sleep(wait, AbortSignal.any([signal, over.signal]));
      }
      throw silent();
    };
    tries().catch(reject);
    try {
      return await promise;
    } finally {
      over.abort();
      this.#socket.off('message', onMessage).off('error', onError);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((done) => this.#socket.close(done));
  }
}
