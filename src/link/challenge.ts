/**
 * Keys proved by signature where a proxy ends TLS: each side signs the other's challenge, together with all that says where
 * and for whom it was made. [L-40] to [L-45]
 */
import { randomBytes } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { z } from 'zod';
import { toBase32 } from '../base/encoding.ts';
import { isProxied, trackerAddressText } from './address.ts';
import { type Key, peerId, signature, verified } from './identity.ts';

/** 32 random bytes in base32. */
const nonce = peerId;

export const newNonce = (): string => toBase32(randomBytes(32));

/** What both sides sign; each with its own `by`. */
export type Challenge = {
  /** The address that was dialled: `wss://host:port/path`. */
  at: string;
  /** Peer ids of the side that dialled and of the tracker that it means to reach. */
  node: string;
  tracker: string;
  nodeNonce: string;
  trackerNonce: string;
};

type Side = 'node' | 'tracker';

/** `key` proves that it is there, on the side `by`. [L-42] */
export const prove = (key: Key, by: Side, challenge: Challenge): string => key.sign('proof', { ...challenge, by });

/** Whether `sig` is the proof of the key that the challenge names for that side. */
export function isProved(by: Side, challenge: Challenge, sig: string): boolean {
  return verified(challenge[by], 'proof', { ...challenge, by }, sig);
}

const asked = z.object({
  'x-netapp-node': peerId,
  'x-netapp-nonce': nonce,
  'x-netapp-at': trackerAddressText.refine(isProxied),
});

/** The node's half, in the headers of its request for `/link`. [L-41] */
export const askHeaders = ({ node, nodeNonce, at }: Pick<Challenge, 'node' | 'nodeNonce' | 'at'>) => ({
  'x-netapp-node': node,
  'x-netapp-nonce': nodeNonce,
  'x-netapp-at': at,
});

/** Undefined where they are missing or not of their form. */
export function readAsk(headers: IncomingHttpHeaders): Pick<Challenge, 'node' | 'nodeNonce' | 'at'> | undefined {
  const { success, data } = asked.safeParse(headers);
  return success
    ? { node: data['x-netapp-node'], nodeNonce: data['x-netapp-nonce'], at: data['x-netapp-at'] }
    : undefined;
}

const answered = z.object({ 'x-netapp-nonce': nonce, 'x-netapp-proof': signature });

/** The tracker's half and its proof, in the headers of its answer. [L-42] */
export const answerHeaders = (trackerNonce: string, proof: string): string[] => [
  `x-netapp-nonce: ${trackerNonce}`,
  `x-netapp-proof: ${proof}`,
];

export function readAnswer(headers: IncomingHttpHeaders): { trackerNonce: string; proof: string } | undefined {
  const { success, data } = answered.safeParse(headers);
  return success ? { trackerNonce: data['x-netapp-nonce'], proof: data['x-netapp-proof'] } : undefined;
}

/**
 * What is signed where something other than a link is asked for: its path, which is good once, stands for the challenge of the tracker. So the
 * node proves its key in the request itself. [N-14]
 */
export const visitChallenge = (
  ask: Pick<Challenge, 'node' | 'nodeNonce' | 'at'>,
  tracker: string,
  path: string,
): Challenge => ({ ...ask, tracker, trackerNonce: path });

/** The proof of either side in headers; undefined where there is none of its form. */
export function readProof(headers: Readonly<Record<string, string | string[] | undefined>>): string | undefined {
  const { success, data } = signature.safeParse(headers['x-netapp-proof']);
  return success ? data : undefined;
}

export const proofHeaders = (proof: string): { 'x-netapp-proof': string } => ({ 'x-netapp-proof': proof });
