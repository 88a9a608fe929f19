/** What a request, a stream and all of them together may cost. */

export type Limits = {
  /** Bytes of one request's body: the longest message with its escapes, and room. */
  bodyBytes: number;
  /** Time for a request's headers. */
  headersMs: number;
  /** Time for a whole request with its body. */
  requestMs: number;
  /** Time that a follower may leave its stream unread; then it is cut, and resumes by its cursor. */
  slowFollowerMs: number;
  /** Open streams at one door. Refused beyond it with `too_many`. */
  followers: number;
  /** Open connections at one door. Dropped beyond it. */
  connections: number;
};

export const LIMITS: Limits = {
  bodyBytes: 1_048_576,
  headersMs: 10_000,
  requestMs: 30_000,
  slowFollowerMs: 30_000,
  followers: 128,
  connections: 1024,
};
