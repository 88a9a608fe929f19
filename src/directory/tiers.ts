/**
 * Which trackers are used: all of the first tier of which one answers. Worse tiers are left alone until then, but for a look now and
 * then whether letters were left there. [D-70] to [D-74]
 */
import { Fault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Upstream } from './upstream.ts';

/** Milliseconds that a tier has to come back, by another address, before the next is opened; longer at the start. */
const GRACE_MS = 450;
const FIRST_GRACE_MS = 1500;
/** Milliseconds that a worse tier goes on being told, so that those who are still there find everybody. [D-73] */
const LINGER_MS = 120_000;
/** Milliseconds from one look for letters at a tracker that is not used to the next, until the first, and that it takes. [D-74] */
const VISIT_MS = 10 * 60_000;
const FIRST_VISIT_MS = 90_000;
const STAY_MS = 15_000;

/** For tests: times in milliseconds. */
export type TierTimes = { lingerMs?: number; visitMs?: number; firstVisitMs?: number; stayMs?: number };

export type TiersOptions = {
  /** Each with its tier; lower is better. */
  upstreams: readonly Upstream[];
  /** Whether a tracker must stay linked also while it is not used: something of this account rests on it. */
  needed: (peer: string) => boolean;
  /** Another tier is used. */
  onMove: () => void;
  log: Log;
  times?: TierTimes | undefined;
};

export class Tiers implements AsyncDisposable {
  readonly #tiers: readonly (readonly Upstream[])[];
  readonly #options: TiersOptions;
  readonly #times: Required<TierTimes>;
  readonly #visits = new Map<Upstream, NodeJS.Timeout>();
  /** Index of the worst tier that is dialled. */
  #opened = 0;
  /** Index of the tier that was used last. */
  #used: number | undefined;
  #grace: NodeJS.Timeout | undefined;
  #linger: NodeJS.Timeout | undefined;
  readonly #waiting = new Set<() => void>();
  #stopped = false;

  constructor(options: TiersOptions) {
    const numbers = [...new Set(options.upstreams.map(({ tier }) => tier))].sort((a, b) => a - b);
    this.#tiers = numbers.map((number) => options.upstreams.filter(({ tier }) => tier === number));
    this.#options = options;
    this.#times = {
      lingerMs: LINGER_MS,
      visitMs: VISIT_MS,
      firstVisitMs: FIRST_VISIT_MS,
      stayMs: STAY_MS,
      ...options.times,
    };
  }

  /** Those that are in use already, of trackers that were there before others came or went, are let go as if they had been opened here. */
  start(): void {
    const serving = this.#tiers.findLastIndex((tier) => tier.some(({ isServing }) => isServing));
    this.#open(0);
    if (serving > 0) {
      this.#opened = serving;
      this.changed();
    }
    for (const upstream of this.#tiers.slice(1).flat()) {
      this.#visitLater(upstream, this.#options.needed(upstream.invite.peer) ? 0 : this.#times.firstVisitMs);
    }
  }

  /** Those that live, of the first tier that does. */
  get used(): readonly Upstream[] {
    return this.#tiers.find((tier) => tier.some(({ lives }) => lives))?.filter(({ lives }) => lives) ?? [];
  }

  /** Those that may be asked, the likeliest to answer soon first: the used ones, then whoever else has an open link. */
  ranked(zone?: string): Upstream[] {
    const used = this.used;
    const speed = ({ rttMs }: Upstream): number => rttMs ?? Number.MAX_SAFE_INTEGER;
    const far = ({ invite }: Upstream): number => (zone === undefined || invite.zone === zone ? 0 : 1);
    const rest = this.#tiers
      .flat()
      .filter((upstream) => !used.includes(upstream) && upstream.isServing && upstream.link);
    return [...[...used].sort((a, b) => far(a) - far(b) || speed(a) - speed(b)), ...rest];
  }

  /** Why a tracker is used, or is not. */
  why(upstream: Upstream): string {
    const used = this.used;
    const tier = used[0]?.tier;
    if (used.includes(upstream)) {
      if (used.length === 1)
        return this.#tiers.length > 1 ? `tier ${upstream.tier} is the first that answers` : 'the only one that answers';
      return this.ranked()[0] === upstream
        ? 'answers fastest: asked first'
        : 'answers: told, and asked where others are late';
    }
    if (upstream.trouble) return upstream.trouble;
    if (tier === undefined || upstream.tier <= tier) return upstream.link ? 'about to be used' : 'being dialled';
    if (upstream.isServing) return `told for a while yet, until all are back in tier ${tier}`;
    return upstream.link
      ? `looked at for letters and rooms; tier ${tier} is used`
      : `kept in reserve: tier ${tier} answers`;
  }

  /** Something changed in one of them. */
  changed(): void {
    if (this.#stopped) return;
    const living = this.#tiers.findIndex((tier) => tier.some(({ lives }) => lives));
    if (living < 0) this.#lost();
    else this.#found(living);
    for (const wake of [...this.#waiting]) wake();
  }

  /** No tier answers. */
  #lost(): void {
    clearTimeout(this.#linger);
    this.#linger = undefined;
    const isLast = this.#opened + 1 >= this.#tiers.length;
    if (isLast) return;
    const opened = this.#tiers.slice(0, this.#opened + 1).flat();
    if (opened.every(({ isDown }) => isDown)) return this.#open(this.#opened + 1);
    this.#grace ??= setTimeout(
      () => {
        this.#grace = undefined;
        if (!this.#stopped && this.used.length === 0) this.#open(this.#opened + 1);
      },
      this.#used === undefined ? FIRST_GRACE_MS : GRACE_MS,
    ).unref();
  }

  #found(living: number): void {
    clearTimeout(this.#grace);
    this.#grace = undefined;
    if (this.#used !== living) {
      const [before, after] = [this.#tiers[this.#used ?? -1]?.[0]?.tier, this.#tiers[living]?.[0]?.tier];
      this.#used = living;
      if (this.#tiers.length > 1) this.#options.log.info({ before, after }, 'trackers of another tier are used');
      this.#options.onMove();
    }
    for (const upstream of this.#tiers.flat()) {
      if (upstream.isLeaving && this.used.some(({ state }) => state.announced)) upstream.letGo();
    }
    if (living === this.#opened) {
      clearTimeout(this.#linger);
      this.#linger = undefined;
    } else this.#linger ??= setTimeout(() => this.#close(), this.#times.lingerMs * (0.5 + Math.random() / 2)).unref();
  }

  #open(index: number): void {
    const tier = this.#tiers[index];
    if (!tier) return;
    this.#opened = index;
    for (const upstream of tier) {
      clearTimeout(this.#visits.get(upstream));
      upstream.stand('serve');
    }
    this.changed();
  }

  /** Worse tiers than the one that is used are told goodbye. */
  #close(): void {
    this.#linger = undefined;
    if (this.#stopped || this.#used === undefined) return;
    const worse = this.#tiers.slice(this.#used + 1, this.#opened + 1).flat();
    this.#opened = this.#used;
    for (const upstream of worse) {
      upstream.stand('rest');
      this.#visitLater(upstream, this.#options.needed(upstream.invite.peer) ? 0 : this.#times.visitMs);
    }
  }

  #visitLater(upstream: Upstream, ms: number): void {
    clearTimeout(this.#visits.get(upstream));
    if (this.#stopped) return;
    const timer = setTimeout(() => this.#visit(upstream), ms * (0.5 + Math.random()));
    this.#visits.set(upstream, timer.unref());
  }

  #visit(upstream: Upstream): void {
    if (this.#stopped || upstream.isServing) return;
    upstream.stand('visit');
    const leave = (): void => {
      if (this.#stopped || upstream.isServing) return;
      if (this.#options.needed(upstream.invite.peer)) {
        this.#visits.set(upstream, setTimeout(leave, this.#times.stayMs).unref());
        return;
      }
      upstream.stand('rest');
      this.#visitLater(upstream, this.#times.visitMs);
    };
    clearTimeout(this.#visits.get(upstream));
    this.#visits.set(upstream, setTimeout(leave, this.#times.stayMs).unref());
  }

  /** True once one answers; false where all have been tried and none does. Rejects with the signal's reason. */
  async answers(signal: AbortSignal): Promise<boolean> {
    for (;;) {
      if (this.used.length > 0) return true;
      const isLast = this.#opened + 1 >= this.#tiers.length;
      if (this.#stopped || (isLast && this.#tiers.flat().every(({ isDown }) => isDown))) return false;
      if (signal.aborted) throw signal.reason instanceof Fault ? signal.reason : new Fault('cancelled', 'cancelled');
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#waiting.delete(wake);
          signal.removeEventListener('abort', wake);
          resolve();
        };
        this.#waiting.add(wake);
        signal.addEventListener('abort', wake, { once: true });
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#grace);
    clearTimeout(this.#linger);
    for (const timer of this.#visits.values()) clearTimeout(timer);
    for (const wake of [...this.#waiting]) wake();
  }
}
