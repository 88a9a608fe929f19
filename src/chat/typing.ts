/** Who is writing just now: notices that are kept nowhere, bounded on both sides. [H-7] */
import type { Clock } from '../base/clock.ts';
import { Rate } from '../base/rate.ts';
import type { Link } from '../link/link.ts';

/** Milliseconds after which "is writing" is over, if it is not said again. */
const LASTS_MS = 10_000;
/** Milliseconds in which the same is not said twice. */
const AGAIN_MS = 3000;
/** Notices of one link that are heeded: some at once, and so many a second. The rest is skipped. */
const BURST = 10;
const PER_SECOND = 2;
/** Conversations of which the last word is remembered; past it the oldest is forgotten, and may be said once too often. */
const REMEMBERED = 1000;

export type TypingSignal = {
  type: 'message.typing';
  conversation: string;
  account: string;
  on: boolean;
  /** Unix ms until which it holds. */
  until: number;
};

export class Typing {
  readonly #clock: Clock;
  readonly #said = new Map<string, { on: boolean; at: number }>();
  readonly #rates = new WeakMap<Link, Rate>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether it is worth saying: false shortly after the same was said. */
  mayTell(conversation: string, on: boolean): boolean {
    const now = this.#clock.now();
    const last = this.#said.get(conversation);
    if ((last?.on ?? false) === on && (!on || now - (last?.at ?? 0) < AGAIN_MS)) return false;
    this.#said.delete(conversation);
    this.#said.set(conversation, { on, at: now });
    const [oldest] = this.#said.keys();
    if (this.#said.size > REMEMBERED && oldest !== undefined) this.#said.delete(oldest);
    return true;
  }

  /** What a notice of a member comes to; undefined for one too many. */
  take(
    link: Link,
    account: string,
    { conversation, on }: { conversation: string; on: boolean },
  ): TypingSignal | undefined {
    let rate = this.#rates.get(link);
    if (!rate) {
      rate = new Rate({ burst: BURST, perSecond: PER_SECOND, clock: this.#clock });
      this.#rates.set(link, rate);
    }
    if (!rate.take()) return undefined;
    const now = this.#clock.now();
    return { type: 'message.typing', conversation, account, on, until: on ? now + LASTS_MS : now };
  }
}
