/** Holes for TCP, both sides: who asks, and who answers. [N-35] to [N-37] */
import { createHmac, randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { z } from 'zod';
import { deadline, sleep } from '../base/async.ts';
import { fromBase64url, toBase64url } from '../base/encoding.ts';
import { Fault } from '../base/fault.ts';
import { addressText } from '../link/address.ts';
import { isSameHost, MOST_LOCALS, MOST_SIGHTINGS, nothingCommon, pairs, targets } from './candidates.ts';
import { natMapping } from './nat.ts';
import type { Outlook } from './outlook.ts';
import { sighting } from './sighting.ts';
import type { Endpoint, Json } from './signal-wire.ts';
import type { SignalHandler } from './signals.ts';
import { openTogether, TOGETHER_MS } from './together.ts';
import { becauseOf, type Vantage } from './vantage.ts';

export const TCP = 'punch.tcp';
export const GO = 'punch.go';

const sightings = z.array(sighting).min(1).max(MOST_SIGHTINGS);
const locals = z.array(addressText).max(MOST_LOCALS);
/** 16 bytes that only the two and their tracker know. */
const secretText = z.string().length(22);

export const tcpOffer = z.object({ sightings, secret: secretText });
const tcpAnswer = z.object({
  sightings,
  locals,
  /** Milliseconds that the answer was made in: they are no part of the way. */
  tookMs: z.number().min(0).max(60_000),
  nat: natMapping,
});
export const go = z.object({ secret: secretText, locals });

/** Milliseconds that the answering side waits for the word to go, before it lets its port go. */
const WAIT_MS = 8000;
/** Milliseconds of a way that are believed: who is further away than that tries a little early. */
const MOST_WAY_MS = 1000;

export type Asking = {
  ask(to: Endpoint, kind: string, body: Json, wait: { signal?: AbortSignal | undefined }): Promise<Json>;
};

/** What each side says first on a connection. [N-36] */
function greetings(secret: string): { asker: Buffer; answerer: Buffer } {
  const of = (who: string): Buffer =>
    createHmac('sha256', fromBase64url(secret) ?? '')
      .update(`netapp.1 punch ${who}`)
      .digest();
  return { asker: of('asker'), answerer: of('answerer') };
}

/** The first connection that comes about with the node. Throws `peer_unreachable` with why none does, and as signals do. */
export async function punchTcp(options: {
  to: Endpoint;
  signals: Asking;
  vantage: Vantage;
  signal: AbortSignal;
}): Promise<Duplex> {
  const { to, signals, vantage, signal } = options;
  using outlook = await vantage.towards(to.account, signal);
  const secret = toBase64url(randomBytes(16));
  const asked = performance.now();
  const answer = tcpAnswer.parse(await signals.ask(to, TCP, { sightings: outlook.sightings, secret }, { signal }));
  const wayMs = Math.min(MOST_WAY_MS, Math.max(0, performance.now() - asked - answer.tookMs) / 2);
  const agreed = pairs(outlook.views, answer.sightings, to.node);
  const all = targets({ mine: outlook.views, theirs: answer.sightings, locals: answer.locals, node: to.node });
  if (all.length === 0) {
    throw nothingCommon();
  }
  const mine = agreed.some(isSameHost) ? outlook.locals : [];
  const { asker, answerer } = greetings(secret);
  const over = new AbortController();
  const going = signals.ask(to, GO, { secret, locals: mine }, { signal }).catch((error: unknown) => over.abort(error));
  // The word takes half of a round trip to the other side: both begin when it is there.
  await sleep(wayMs, signal);
  const { promise, resolve } = Promise.withResolvers<Duplex>();
  const trying = openTogether({
    port: outlook.port,
    targets: all,
    say: asker,
    hear: answerer,
    open: (socket) => {
      if (over.signal.aborted) return void socket.destroy();
      resolve(socket);
      over.abort();
    },
    signal: AbortSignal.any([signal, over.signal]),
  });
  const failed = trying.then(async (failures) => {
    await going;
    const { reason } = over.signal;
    if (reason instanceof Fault) throw reason; // the word did not get there
    const why = becauseOf(await vantage.natBehind(outlook), answer.nat);
    throw new Fault('peer_unreachable', `making a hole for TCP: ${failures.join('; ')}${why}`);
  });
  failed.catch(() => {}); // it says so too where one came about
  return await Promise.race([promise, failed]);
}

type Waiting = { from: Endpoint; outlook: Outlook; offer: z.infer<typeof tcpOffer>; late: NodeJS.Timeout };

/** The side that is asked. */
export class TcpAnswers implements Disposable {
  readonly #vantage: Vantage;
  readonly #take: (stream: Duplex, address: string) => void;
  readonly #enter: (from: Endpoint) => Disposable;
  readonly #waiting = new Map<string, Waiting & { place: Disposable }>();
  readonly #stop = new AbortController();

  constructor(options: {
    vantage: Vantage;
    /** Takes each connection that came about. */
    take(stream: Duplex, address: string): void;
    /** A place among those that are answered, until it is disposed. Throws `too_many`. */
    enter(from: Endpoint): Disposable;
  }) {
    this.#vantage = options.vantage;
    this.#take = options.take;
    this.#enter = options.enter;
  }

  readonly offered: SignalHandler<z.infer<typeof tcpOffer>> = async (from, offer, { signal }) => {
    const began = performance.now();
    const place = this.#enter(from);
    try {
      const key = `${from.node} ${offer.secret}`;
      if (this.#waiting.has(key)) throw new Fault('exists', 'answering for a hole: it was asked for already');
      const outlook = await this.#vantage.beside(offer.sightings, signal);
      const agreed = pairs(outlook.views, offer.sightings, from.node);
      if (agreed.length === 0) {
        outlook[Symbol.dispose]();
        throw nothingCommon();
      }
      const late = setTimeout(() => this.#drop(key), WAIT_MS);
      late.unref();
      this.#waiting.set(key, { from, outlook, offer, late, place });
      const near = agreed.some(isSameHost);
      return {
        sightings: outlook.sightings,
        locals: near ? outlook.locals : [],
        tookMs: Math.round(performance.now() - began),
        nat: this.#vantage.nat,
      };
    } catch (error) {
      place[Symbol.dispose]();
      throw error;
    }
  };

  readonly started: SignalHandler<z.infer<typeof go>> = (from, { secret, locals: named }) => {
    const key = `${from.node} ${secret}`;
    const waiting = this.#waiting.get(key);
    if (!waiting) throw new Fault('unknown_id', 'going through a hole: nobody has asked for it, or too long ago');
    this.#waiting.delete(key);
    clearTimeout(waiting.late);
    void this.#open(waiting, named);
    return {};
  };

  async #open({ from, outlook, offer, place }: Waiting & { place: Disposable }, named: string[]): Promise<void> {
    using _place = place;
    using _outlook = outlook;
    const { asker, answerer } = greetings(offer.secret);
    using limit = deadline(TOGETHER_MS, 'making a hole', this.#stop.signal);
    await openTogether({
      port: outlook.port,
      targets: targets({ mine: outlook.views, theirs: offer.sightings, locals: named, node: from.node }),
      say: answerer,
      hear: asker,
      open: this.#take,
      signal: limit,
    });
  }

  #drop(key: string): void {
    const waiting = this.#waiting.get(key);
    this.#waiting.delete(key);
    if (!waiting) return;
    clearTimeout(waiting.late);
    waiting.outlook[Symbol.dispose]();
    waiting.place[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
    for (const key of [...this.#waiting.keys()]) this.#drop(key);
  }
}
