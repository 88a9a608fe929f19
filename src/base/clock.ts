/** Time, passed in, so that tests can say what time it is. */
export type Clock = {
  /** Milliseconds since 1970-01-01 UTC. */
  now(): number;
};

export const systemClock: Clock = { now: () => Date.now() };
