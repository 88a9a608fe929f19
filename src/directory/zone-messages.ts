/** What is said about zones: by whoever looks somebody up, by trackers to each other, and by a zone's admin. [Z-10] to [Z-12] */
import { z } from 'zod';
import { FAULTS, type FaultCode } from '../base/fault.ts';
import { peerId } from '../link/identity.ts';
import { method, notice } from '../link/message.ts';
import { apex, delegation, server } from './delegation.ts';
import { handle, zone } from './handle.ts';
import { entry } from './messages.ts';
import { renewal } from './record.ts';

/** Bytes of the answer to one question: an entry or a referral is at most 32 KiB. [Z-21] */
const ANSWER_BYTES = 48 * 1024;
/** Steps that an answer may tell of: more than any walk may have. */
export const MOST_STEPS = 64;
/** Milliseconds that a walk may take, whoever asks. */
const MOST_WALK_MS = 15_000;
/** Servers that a walk may refer to, one after another. [Z-22] */
export const MOST_HOPS = 16;
/** Zones that one tracker may delegate. */
export const MOST_DELEGATED = 10_000;

const ttlMs = z.number().int().nonnegative();
const etag = z.string().max(100);

/** Codes are text on the wire: a later version may have more. */
const code = z
  .string()
  .max(40)
  .transform((text): FaultCode => (Object.hasOwn(FAULTS, text) ? (text as FaultCode) : 'internal')); // a key of the table

/** What one tracker says to one question. */
const answer = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('record'), entry, etag, ttlMs }),
  /** The entry is as it was with this etag, but for what its heartbeat says anew. */
  z.object({ kind: z.literal('unchanged'), renewal, lastSeen: z.number().int(), ttlMs }),
  /** Ask those below. */
  z.object({ kind: z.literal('referral'), delegation, ttlMs }),
  /** Ask those above. */
  z.object({ kind: z.literal('parent'), apex, ttlMs }),
  z.object({ kind: z.literal('unknown'), code: z.enum(['unknown_handle', 'unknown_zone']), ttlMs }),
]);
export type Answer = z.infer<typeof answer>;

const question = z.object({
  handle,
  /** The zone as whose server this tracker is asked. */
  as: zone,
  /** Of the answer that the asker has. */
  etag: etag.optional(),
});
export type Question = z.infer<typeof question>;

/** One question, answered from what the tracker itself knows. [Z-10] */
export const ask = method('zones.ask', {
  params: question,
  result: answer,
  maxBytes: 4096,
  answerBytes: ANSWER_BYTES,
  timeoutMs: 5000,
});

/** One step of a walk, as a trace shows it. */
const step = z.object({
  /** The zone as whose server somebody was asked. */
  zone,
  /** Peer id of who was asked; null for what was known here, and for DNS. */
  server: peerId.nullable(),
  address: z.string().max(300).nullable(),
  how: z.enum(['link', 'recursive', 'cache', 'dns', 'self']),
  answer: z.enum(['record', 'unchanged', 'referral', 'parent', 'unknown', 'refused', 'failed']),
  /** The zone referred to, or what was wrong; for people. */
  detail: z.string().max(400),
  /** Why it was refused or failed. */
  code: code.nullable(),
  ms: z.number().nonnegative(),
  stale: z.boolean(),
});
export type Step = z.infer<typeof step>;

/** The whole walk, made by the tracker for the asker. [Z-12] */
export const resolve = method('zones.resolve', {
  params: z.object({
    handle,
    /** Servers that may still be referred to. */
    hops: z.number().int().min(1).max(MOST_HOPS),
    /** Milliseconds that the asker waits. */
    deadlineMs: z.number().int().min(1).max(MOST_WALK_MS),
  }),
  result: z.object({
    entry: entry.nullable(),
    /** Who answered, for the zone of the handle. */
    by: server.nullable(),
    /** Why there is no entry. */
    fault: z.object({ code, message: z.string().max(1000) }).nullable(),
    stale: z.boolean(),
    ttlMs,
    steps: z.array(step).max(MOST_STEPS),
  }),
  maxBytes: 4096,
  answerBytes: 2 * ANSWER_BYTES,
  timeoutMs: MOST_WALK_MS,
});

/** What a zone says of itself. */
export const showApex = method('zones.apex', {
  params: z.object({ zone }),
  result: z.object({ apex }),
  answerBytes: ANSWER_BYTES,
});

/** From a zone's tracker to one of the zone above: proves its key, and has its delegation signed anew. [Z-5] */
export const attach = method('zones.attach', {
  params: z.object({ apex }),
  result: z.object({ delegation, apex }),
  answerBytes: 2 * ANSWER_BYTES,
});

/** From a further tracker of a zone to the one that has its key. [Z-6] */
export const copy = method('zones.copy', {
  params: z.object({ zone, after: zone.optional() }),
  result: z.object({ apex, delegations: z.array(delegation).max(100), next: zone.nullable() }),
  answerBytes: 1024 * 1024,
});

/** To linked trackers: what they have from here is no longer all of it. */
export const zonesChanged = notice('zones.changed', { params: z.object({ zone }) });

/** Who owns this account: an account of another zone that was here, by its own handle. [Z-32] */
export const guest = method('zones.guest', {
  params: z.object({ account: peerId }),
  result: z.object({ handle }),
});

/** One line of `zones list`. */
const zoneLine = z.object({
  zone,
  /** `served`: by this tracker; `delegated`: to another one; `server`: a further tracker of a zone served here. */
  kind: z.enum(['served', 'delegated', 'server']),
  key: peerId,
  trackers: z.array(server).max(64),
  /** Unix milliseconds; null for what is not signed yet, or needs no signature. */
  until: z.number().int().nullable(),
  /** Unix milliseconds at which it last proved its key; null: never. */
  seen: z.number().int().nullable(),
});
export type ZoneLine = z.infer<typeof zoneLine>;

const MANY_BYTES = 1024 * 1024;

/** By an admin of a zone. [Z-7] */
export const delegate = method('zones.delegate', {
  params: z.object({ zone, to: server }),
  result: zoneLine,
});
export const revoke = method('zones.revoke', {
  params: z.object({ zone, peer: peerId.optional() }),
  result: zoneLine,
});
export const list = method('zones.list', {
  params: z.object({ after: zone.optional() }),
  result: z.object({ zones: z.array(zoneLine).max(200), next: zone.nullable() }),
  answerBytes: MANY_BYTES,
});
