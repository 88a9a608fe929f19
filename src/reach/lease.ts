/** What a router that maps a port is asked, and what it grants. */

export type Protocol = 'pcp' | 'nat-pmp' | 'upnp';

/** A port of the router's that leads to one of ours, for a while. */
export type Lease = {
  by: Protocol;
  /** The address and port at which others reach us, as the router says. */
  outside: { host: string; port: number };
  /** Seconds for which it holds unless it is renewed; `Infinity` where the router knows only such as hold for good. */
  seconds: number;
  /** The same again. Throws as asking for it did. */
  renew(signal: AbortSignal): Promise<Lease>;
  /** Given back. */
  release(signal: AbortSignal): Promise<void>;
};

/** One TCP port that is to be reached from outside. */
export type Wish = { port: number /** The outside port that it had before, or should have. */; outside: number };

/** Seconds that are asked for; half of what is granted is when it is renewed. */
export const WANTED_SECONDS = 3600;
