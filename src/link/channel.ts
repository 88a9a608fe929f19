/**
 * Links that share one connection: a node that hosts many accounts speaks for each of them on a channel of its own. A
 * channel is a whole link, greeted like any other; only its frames travel on another link, its carrier. [L-60]
 */
import { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { HelloInfo } from './hello.ts';
import { peerId } from './identity.ts';
import { Link, type MessageStream } from './link.ts';
import { method } from './message.ts';
import type { Router } from './router.ts';
import type { Rung } from './rung.ts';

/** Channels of one carrier: an account of a large gateway each. [L-63] */
const MOST_CHANNELS = 20_000;

/** `to`: the account that is wanted at the other end; null at a tracker. */
const open = method('link.open', {
  params: z.object({
    channel: z
      .int()
      .min(1)
      .max(2 ** 31),
    to: peerId.nullable(),
  }),
  result: z.object({}),
});

/** What an end of a channel is to the other. */
export type ChannelEnd = {
  router: Router;
  self: () => HelloInfo;
  refuses?: ((info: HelloInfo) => boolean) | undefined;
};

type Handlers = Parameters<MessageStream['start']>[0];

/** One end of a channel as the stream below its link. */
class ChannelStream implements MessageStream {
  readonly bufferedBytes = 0; // what waits for the network is counted, and bounded, at the carrier
  sentBytes = 0;
  readonly id: number;
  readonly #carrier: Link;
  readonly #leave: () => void;
  readonly #early: string[] = [];
  #on: Handlers | undefined;
  #isHeld = false;
  #isOver = false;

  constructor(id: number, carrier: Link, leave: () => void) {
    this.id = id;
    this.#carrier = carrier;
    this.#leave = leave;
  }

  get address(): string {
    return this.#carrier.address;
  }

  get rung(): Rung {
    return this.#carrier.rung;
  }

  start(on: Handlers): void {
    this.#on = on;
    for (const text of this.#early.splice(0)) on.frame(text);
  }

  /** What channels say in one tick leaves together as it is. */
  share(): void {}

  send(text: string): void {
    if (this.#isOver) return;
    this.sentBytes += Buffer.byteLength(text);
    this.#carrier.sendFrame(`${this.id}:${text}`);
  }

  /** Whether the other side lives is asked on the carrier. */
  ping(): void {
    setImmediate(() => this.#on?.pong());
  }

  /** What is not read of one channel is not read of any: the two ends are the same two programs. */
  pause(): void {
    if (this.#isHeld) return;
    this.#isHeld = true;
    this.#carrier.hold();
  }

  resume(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#carrier.release();
  }

  close(code: number, reason: string): void {
    if (this.#isOver) return;
    this.#carrier.sendFrame(`${this.id}!${code} ${reason}`);
    this.over(code, reason);
  }

  cut(): void {
    this.close(1006, '');
  }

  frame(text: string): void {
    if (this.#on) this.#on.frame(text);
    else if (this.#early.length < 2)
      this.#early.push(text); // the greeting, before the link is put on top
    else throw new Fault('malformed', `reading channel ${this.id}: it was not greeted`);
  }

  over(code: number, reason: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.resume();
    this.#leave();
    setImmediate(() => this.#on?.close(code, reason));
  }
}

/** The channels of one carrier. */
class Carried {
  readonly #carrier: Link;
  readonly #streams = new Map<number, ChannelStream>();
  #last: number;

  constructor(carrier: Link) {
    this.#carrier = carrier;
    this.#last = carrier.dialled ? -1 : 0;
    carrier.onChannel = (text) => this.#take(text);
    void carrier.closed.then(({ reason }) => {
      for (const stream of [...this.#streams.values()]) stream.over(1006, reason);
    });
  }

  /** A number that this side gives: odd ones are the dialler's. [L-61] */
  next(): ChannelStream {
    this.#last += 2;
    return this.#add(this.#last);
  }

  /** A number that the other side gave. Throws `malformed`, `too_many`. */
  given(id: number, most: number): ChannelStream {
    if ((id % 2 === 1) === this.#carrier.dialled || this.#streams.has(id)) {
      throw new Fault('malformed', `opening channel ${id}: it is not the other side’s to open, or open already`);
    }
    if (this.#streams.size >= most) throw new Fault('too_many', `opening channel ${id}: ${most} are open on this link`);
    return this.#add(id);
  }

  #add(id: number): ChannelStream {
    const stream = new ChannelStream(id, this.#carrier, () => this.#streams.delete(id));
    this.#streams.set(id, stream);
    return stream;
  }

  /** What comes for a channel that this side has closed is late, and skipped. */
  #take(text: string): void {
    const [, id, sign] = /^(\d{1,10})([:!])/.exec(text) ?? [];
    if (id === undefined) throw new Fault('malformed', 'a frame is neither a message nor one of a channel');
    const stream = this.#streams.get(Number(id));
    const rest = text.slice(id.length + 1);
    if (sign === ':') return stream?.frame(rest);
    const [, code = '1006', reason = ''] = /^(\d{4}) (.*)$/s.exec(rest) ?? [];
    stream?.over(Number(code), reason.slice(0, 200));
  }
}

const carried = new WeakMap<Link, Carried>();

function carriedBy(carrier: Link): Carried {
  const known = carried.get(carrier);
  if (known) return known;
  const made = new Carried(carrier);
  carried.set(carrier, made);
  return made;
}

/**
 * A greeted link over `carrier`. Throws what the other side refuses it with: `unknown_operation` where it knows no channels,
 * `unknown_id` where it does not host `to`.
 */
export async function openChannel(
  carrier: Link,
  options: ChannelEnd & { to: string | null; clock: Clock; log: Log; signal?: AbortSignal | undefined },
): Promise<Link> {
  const { to, router, self, refuses, clock, log, signal } = options;
  const stream = carriedBy(carrier).next();
  try {
    await carrier.request(open, { channel: stream.id, to }, { signal });
  } catch (error) {
    // Not a frame more: to a side that knows no channels it would be malformed. One that opened it hears no hello on it.
    stream.over(1006, 'it was not opened');
    throw error;
  }
  const link = new Link({
    stream,
    router,
    self: self(),
    refuses,
    peer: carrier.peer,
    dialled: true,
    carrier,
    clock,
    log,
  });
  await link.start();
  return link;
}

/** Takes channels that others open on links of `router`; `end` gives what is at this end for `to`, undefined: nobody. */
export function acceptChannels(
  router: Router,
  options: {
    end(to: string | null): (ChannelEnd & { onLink(link: Link): void }) | undefined;
    clock: Clock;
    log: Log;
    /** For tests. */
    most?: number;
  },
): void {
  router.handle(open, ({ channel, to }, { link: carrier }) => {
    if (carrier.carrier) throw new Fault('forbidden', `opening channel ${channel}: a channel carries no others`);
    const end = options.end(to);
    if (!end) throw new Fault('unknown_id', `opening channel ${channel}: "${to}" is not hosted here`);
    const stream = carriedBy(carrier).given(channel, options.most ?? MOST_CHANNELS);
    const { router, self, refuses, onLink } = end;
    const { clock, log } = options;
    const link = new Link({
      stream,
      router,
      self: self(),
      refuses,
      peer: carrier.peer,
      dialled: false,
      carrier,
      clock,
      log,
    });
    link.start().then(
      () => onLink(link),
      (error: unknown) => log.debug({ err: error }, 'a channel was not greeted'),
    );
    return {};
  });
}
