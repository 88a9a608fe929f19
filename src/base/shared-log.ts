/**
 * What the processes of one tracker share: a log of short texts, each under a key, which all of them apply in the same
 * order. Whoever may act only once, or only after what is there, says after what; of two, the first in the order counts.
 */

/** One text of the log. */
export type Logged = {
  readonly key: string;
  /** Null: what stood under the key is gone. */
  readonly text: string | null;
  /** Its place in the order, from 1; grows, and is never used twice. */
  readonly at: number;
};

export type Appended = {
  /** False: the newest under the key is not the one that was named, and this was not taken. */
  readonly ours: boolean;
  /** Place of this text; where it is not ours, of the newest one under the key. */
  readonly at: number;
};

export interface SharedLog {
  /**
   * Appends under `key`; with `after`, only if the newest under the key is at that place (0: nothing was there ever). Settles once
   * the answer is as safe as the log is, and the log was applied here up to that place. Throws `tracker_down` where that
   * is not known in time: then it may still come about. Throws `too_large`, `disk_full`.
   */
  append(key: string, text: string | null, after?: number): Promise<Appended>;
  /**
   * Applies all that stands in the log after the place `from`, in order, and from then on what comes; what `apply` throws is
   * tried again. Settles when all that was there is applied. To be called once.
   */
  follow(from: number, apply: (logged: Logged) => void): Promise<void>;
}

/** The other processes of the same tracker. */
export interface Siblings {
  /** Name of this process, new at each start. */
  readonly self: string;
  /** Whether it has ended, or gives no sign of life to this process, which itself is not cut off. */
  isGone(process: string): boolean;
}
