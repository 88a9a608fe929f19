/** Holes for UDP, both sides: ICE, with the tracker as signalling and STUN server. [N-40] [N-41] */
import type { Duplex } from 'node:stream';
import { z } from 'zod';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { parseAddress, scopeOf } from '../link/address.ts';
import { isSameHost, MOST_SIGHTINGS, nearby, nothingCommon, pairs } from './candidates.ts';
import type { Ice, IceSession } from './ice.ts';
import { type Candidate, type IceSide, iceSide, MOST_CANDIDATES } from './ice-side.ts';
import { natMapping } from './nat.ts';
import type { Outlook } from './outlook.ts';
import type { Asking } from './punch-tcp.ts';
import { type Sighting, sighting } from './sighting.ts';
import type { Endpoint } from './signal-wire.ts';
import type { SignalHandler } from './signals.ts';
import { becauseOf, type Vantage } from './vantage.ts';

export const UDP = 'punch.udp';
export const UDP_GO = 'punch.udp.go';

/** Both ways. */
export const udpOffer = z.object({
  sightings: z.array(sighting).min(1).max(MOST_SIGHTINGS),
  side: iceSide,
  nat: natMapping,
});

/** From the asker, once it has read the answer: `ufrag` is its own. */
export const udpGo = z.object({ ufrag: iceSide.shape.ufrag });

/**
 * The side without the addresses to which nothing may be sent: left are those at the host that the tracker saw the node at, which
 * proved its key on a connection from there, and near ones where both are in one network. [N-41]
 */
function allowed(side: IceSide, outlook: Outlook, theirs: readonly Sighting[], node: string): IceSide {
  const agreed = pairs(outlook.views, theirs, node);
  const hosts = new Set(agreed.map(({ theirs: { host } }) => host));
  const own = agreed.some(isSameHost) ? side.candidates.filter(({ host }) => !hosts.has(host)) : [];
  const near = new Set(nearby(own.map(addressOf)).map(({ host }) => host));
  return { ...side, candidates: side.candidates.filter(({ host }) => hosts.has(host) || near.has(host)) };
}

const addressOf = ({ host, port }: Candidate): string => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);

/** What of the own side the other one may know: not the own addresses in a network that it is not in. [N-34] */
function told(side: IceSide, outlook: Outlook, isNear: boolean): IceSide {
  const seen = new Set(outlook.sightings.map(({ address }) => parseAddress(address).host));
  const candidates = side.candidates.filter(
    ({ host, type }) => type === 'srflx' || seen.has(host) || (isNear && scopeOf(host) === 'private'),
  );
  return { ...side, candidates: candidates.slice(0, MOST_CANDIDATES) };
}

/** A channel to the node. Throws `peer_unreachable` with why none comes about, `unknown_operation`, and as signals do. */
export async function punchUdp(options: {
  to: Endpoint;
  signals: Asking;
  vantage: Vantage;
  ice: Ice;
  signal: AbortSignal;
}): Promise<Duplex> {
  const { to, signals, vantage, ice, signal } = options;
  using outlook = await vantage.towards(to.account, signal);
  const session = await ice.open(outlook.stun);
  try {
    const mine = told(await session.offer(signal), outlook, false);
    const { sightings } = outlook;
    const answer = udpOffer.parse(await signals.ask(to, UDP, { sightings, side: mine, nat: vantage.nat }, { signal }));
    const theirs = allowed(answer.side, outlook, answer.sightings, to.node);
    if (theirs.candidates.length === 0) throw nothingCommon();
    session.accept(theirs);
    await signals.ask(to, UDP_GO, { ufrag: mine.ufrag }, { signal });
    return await session.stream(signal).catch(async (error: unknown) => {
      const { code, message } = toFault(error);
      const why = becauseOf(await vantage.natBehind(outlook), answer.nat);
      throw new Fault(code, `${message}${why}`, { cause: error });
    });
  } catch (error) {
    session[Symbol.dispose]();
    throw error;
  }
}

/** The side that is asked. */
export class UdpAnswers {
  readonly #options: {
    vantage: Vantage;
    ice: Ice;
    take(stream: Duplex, address: string): void;
    enter(from: Endpoint): Disposable;
    stop: AbortSignal;
    log: Log;
  };
  readonly #begin = new Map<string, () => void>();

  constructor(options: {
    vantage: Vantage;
    ice: Ice;
    /** Takes each channel that came about. */
    take(stream: Duplex, address: string): void;
    /** A place among those that are answered, until it is disposed. Throws `too_many`. */
    enter(from: Endpoint): Disposable;
    stop: AbortSignal;
    log: Log;
  }) {
    this.#options = options;
  }

  readonly offered: SignalHandler<z.infer<typeof udpOffer>> = async (from, { sightings, side }, { signal }) => {
    const { vantage, ice, enter } = this.#options;
    using held = new DisposableStack();
    held.use(enter(from));
    using outlook = await vantage.beside(sightings, signal);
    const theirs = allowed(side, outlook, sightings, from.node);
    if (theirs.candidates.length === 0) throw nothingCommon();
    const key = `${from.node} ${side.ufrag}`;
    if (this.#begin.has(key)) throw new Fault('exists', 'answering for a hole: it was asked for already');
    const session = held.adopt(await ice.open(outlook.stun), (made) => {
      if (!made.isOpen) made[Symbol.dispose]();
    });
    const isNear = pairs(outlook.views, sightings, from.node).some(isSameHost);
    const mine = told(await session.answer(theirs, signal), outlook, isNear);
    this.#begin.set(key, () => session.begin(theirs));
    held.defer(() => this.#begin.delete(key));
    void this.#wait(session, held.move());
    return { sightings: outlook.sightings, side: mine, nat: vantage.nat };
  };

  readonly started: SignalHandler<z.infer<typeof udpGo>> = (from, { ufrag }) => {
    const key = `${from.node} ${ufrag}`;
    const begin = this.#begin.get(key);
    if (!begin) throw new Fault('unknown_id', 'going through a hole: nobody has asked for it, or too long ago');
    this.#begin.delete(key);
    begin();
    return {};
  };

  async #wait(session: IceSession, held: DisposableStack): Promise<void> {
    using _held = held;
    const { take, stop, log } = this.#options;
    try {
      const stream = await session.stream(stop);
      take(stream, session.address ?? 'udp');
    } catch (error) {
      log.debug({ err: error }, 'no channel came about');
    }
  }
}
