/** How a webhook's POST is signed: https://github.com/standard-webhooks/standard-webhooks, symmetric, version 1. [E-7] */
import { createHmac } from 'node:crypto';

/** Marks the secret of a webhook, for people and for scanners of leaked secrets. */
export const WEBHOOK_SECRET_PREFIX = 'whsec_';

/** HMAC-SHA256 over `id.time.body`; the time is in seconds. */
export function webhookMac(
  secret: string,
  { id, at, body }: { id: string; at: number | string; body: string },
): Buffer {
  const key = Buffer.from(secret.slice(WEBHOOK_SECRET_PREFIX.length), 'base64');
  return createHmac('sha256', key).update(`${id}.${at}.${body}`).digest();
}
