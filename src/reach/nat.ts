/** What kind of NAT is between here and the outside, as far as it can be told by asking from one port in several places. RFC 5780, section 4.3. */
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { isIP, isIPv6 } from 'node:net';
import { z } from 'zod';
import { abortable, deadline } from '../base/async.ts';
import { interfaceIps } from '../base/interfaces.ts';
import { type Address, formatAddress } from '../link/address.ts';
import { readAnswer, type StunAnswer, writeRequest } from './stun.ts';

/**
 * How a NAT maps (RFC 4787, section 4.1). `none`: the outside sees this machine’s own address and port. `endpoint-independent`: it
 * sees one and the same, wherever one goes. `address-dependent`, `address-and-port-dependent`: another for each host, or for each
 * port of a host; holes do not come about through the last. `unknown`: nobody answered, or from one place only.
 */
export const natMapping = z.enum([
  'none',
  'endpoint-independent',
  'address-dependent',
  'address-and-port-dependent',
  'unknown',
]);
export type NatMapping = z.infer<typeof natMapping>;

export type NatReport = {
  kind: NatMapping;
  /** Where each place that answered saw the one port. */
  seen: { by: string; as: string }[];
  /** Hosts that answered: with one alone, `endpoint-independent` may be `address-dependent`. */
  hosts: number;
};

/** Milliseconds for the answers; one is asked for again after a third of it, and after two. */
const ASK_MS = 1500;
const MOST_ASKED = 4;

/** Asks STUN servers, IP and port, at most four. Throws only what the signal says. */
export async function natKind(options: {
  servers: readonly Address[];
  signal?: AbortSignal | undefined;
}): Promise<NatReport> {
  const servers = options.servers.filter(({ host }) => isIP(host) !== 0).slice(0, MOST_ASKED);
  const [one] = servers;
  if (!one) return { kind: 'unknown', seen: [], hosts: 0 };
  const alike = servers.filter(({ host }) => isIPv6(host) === isIPv6(one.host));
  const socket = createSocket(isIPv6(one.host) ? 'udp6' : 'udp4');
  socket.on('error', () => {}); // shows as silence
  try {
    const asker = new Asker(socket);
    const first = await asker.ask(alike, options.signal);
    const others = first.flatMap(({ server, answer }) =>
      answer.other ? [{ host: server.host, port: answer.other.port }] : [],
    );
    const all = [...first, ...(await asker.ask(others, options.signal))];
    return report(all, socket.address().port);
  } finally {
    socket.close();
  }
}

type Heard = { server: Address; answer: StunAnswer };

function report(all: readonly Heard[], port: number): NatReport {
  const seen = all.map(({ server, answer }) => ({ by: formatAddress(server), as: formatAddress(answer.mapped) }));
  const byHost = Map.groupBy(all, ({ server }) => server.host);
  const hosts = byHost.size;
  const different = (heard: readonly Heard[]): boolean =>
    new Set(heard.map(({ answer }) => formatAddress(answer.mapped))).size > 1;
  const own = new Set(['127.0.0.1', '::1', ...interfaceIps()]);
  const isOwn = all.length > 0 && all.every(({ answer: { mapped } }) => mapped.port === port && own.has(mapped.host));
  if (isOwn) return { kind: 'none', seen, hosts };
  if (all.length < 2) return { kind: 'unknown', seen, hosts };
  if ([...byHost.values()].some(different)) return { kind: 'address-and-port-dependent', seen, hosts };
  return { kind: different(all) ? 'address-dependent' : 'endpoint-independent', seen, hosts };
}

/** Questions from one port, each said up to three times. */
class Asker {
  readonly #socket: Socket;
  readonly #pending = new Map<string, (answer: StunAnswer) => void>();

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('message', (bytes) => {
      const answer = readAnswer(bytes);
      if (answer) this.#pending.get(answer.id.toString('hex'))?.(answer);
    });
  }

  /** What those say that answer in time. */
  async ask(servers: readonly Address[], signal: AbortSignal | undefined): Promise<Heard[]> {
    using limit = deadline(ASK_MS, 'asking STUN servers', signal);
    const heard: Heard[] = [];
    const each = servers.map(async (server) => {
      const id = randomBytes(12);
      const request = writeRequest(id);
      const say = (): void => this.#socket.send(request, server.port, server.host, () => {});
      const { promise, resolve } = Promise.withResolvers<StunAnswer>();
      this.#pending.set(id.toString('hex'), resolve);
      say();
      const again = setInterval(say, ASK_MS / 3);
      try {
        heard.push({ server, answer: await abortable(promise, limit) });
      } catch (error) {
        if (signal?.aborted) throw error;
      } finally {
        clearInterval(again);
        this.#pending.delete(id.toString('hex'));
      }
    });
    await Promise.all(each);
    return heard;
  }
}
