/** What nodes ask each other by way of a tracker: small requests of a named kind, each with one answer. [N-1] */
import { z } from 'zod';
import { peerId } from '../link/identity.ts';
import { method } from '../link/message.ts';

/** Bytes of a signal's frame, and of its answer's. [N-2] */
const SIGNAL_BYTES = 4096;
/** Milliseconds that the tracker gives the other node, and the asker the tracker. [N-2] */
const PASSED_MS = 8000;
const ASKED_MS = 10_000;

export const json = z.json();
export type Json = z.infer<typeof json>;

/** An account, and the node at which it is. */
export const endpoint = z.object({ account: peerId, node: peerId });
export type Endpoint = z.infer<typeof endpoint>;

/** What a signal is about: `relay`, `punch`, ... */
export const kindText = z.string().regex(/^[a-z][a-z0-9.-]{0,39}$/, 'letters, digits, points and dashes, at most 40');

/** Kinds that a tracker says itself, and passes on for nobody. [N-5] */
export const TRACKERS_OWN: ReadonlySet<string> = new Set(['relay']);

/** From a node to a tracker: ask the node at which `to` is. */
export const signal = method('reach.signal', {
  params: z.object({ to: endpoint, kind: kindText, body: json }),
  result: z.object({ body: json }),
  maxBytes: SIGNAL_BYTES,
  answerBytes: SIGNAL_BYTES,
  timeoutMs: ASKED_MS,
});

/** From a tracker to a node: `from` asks the account `to` there. */
export const signalled = method('reach.signalled', {
  params: z.object({ from: endpoint, to: peerId, kind: kindText, body: json }),
  result: z.object({ body: json }),
  maxBytes: SIGNAL_BYTES + 256, // the tracker says of both who they are
  answerBytes: SIGNAL_BYTES,
  timeoutMs: PASSED_MS,
});
