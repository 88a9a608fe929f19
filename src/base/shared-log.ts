/**
 * What the processes of one tracker share: a log of short texts, each under a key, which all of them apply in the same
 * order. What a text does is decided where it is applied, from those before it alone; so all decide the same, and of two that
 * want the same thing the first in the order has it. The same text may stand in it twice, and one that was given up may come late.
 */

/** One text of the log. */
export type Logged = {
  readonly key: string;
  /** Null: what stood under the key is gone. */
  readonly text: string | null;
  /** Its place in the order, from 1; grows, and is never used twice. */
  readonly at: number;
};

export interface SharedLog {
  /**
   * Appends under `key`. Settles once it is as safe as the log is, and was applied here. Throws `tracker_down` where that is not
   * known in time: then it may still come about. Throws `too_large`, `disk_full`.
   */
  append(key: string, text: string | null): Promise<void>;
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
  /**
   * Asks another process about `topic`. Throws `tracker_down` where it does not answer within the time that is left.
   */
  ask(process: string, topic: string, text: string, wait?: { signal?: AbortSignal | undefined }): Promise<string>;
  /** What this process answers about `topic`; it must not throw. To be called once for each topic. */
  answer(topic: string, reply: (text: string) => Promise<string>): void;
}
