/** How a tracker passes bytes on between two nodes: what is asked on links, and the path at its port. [N-10] [N-12] */
import { z } from 'zod';
import { trackerAddressText } from '../link/address.ts';
import { method } from '../link/message.ts';
import { endpoint } from './signal-wire.ts';

/** Both nodes come to this path, and the token, with this upgrade. */
export const RELAY_PATH = '/relay/';
export const RELAY_UPGRADE = 'netapp-relay';

/** In a cluster the process stands before the random part. */
export const tokenText = z.string().regex(/^(?:[a-z0-9-]{1,64}\.)?[a-z2-7]{52}$/, 'a token');

/** Both come with it to one of the addresses, each once. */
export const meeting = z.object({
  token: tokenText,
  addresses: z.array(trackerAddressText).max(8),
  /** Milliseconds from now on in which both must have come. */
  withinMs: z.int().min(0).max(60_000),
});
export type Meeting = z.infer<typeof meeting>;

/** From a node to a tracker that both have links with: pass bytes on between us. */
export const relay = method('reach.relay', {
  params: z.object({ to: endpoint }),
  result: meeting,
  maxBytes: 1024,
  answerBytes: 4096,
});
