/** For programs that take webhooks: whether a POST comes from the agent, and is not an old one. */
import { timingSafeEqual } from 'node:crypto';
import { Fault } from '../base/fault.ts';
import { webhookMac } from '../base/webhook.ts';

/** Seconds that the time of a POST may differ from the clock here; an older one may be somebody's copy. */
const TOLERANCE_S = 300;

export type Delivered = { type: string; timestamp: string; cursor: number; data: Record<string, unknown> };

/**
 * The event of a POST, checked by its headers and its body as it came, before any parsing. The same event may come twice: its
 * `webhook-id` is then the same. Throws `bad_signature`.
 */
export function verifyWebhook(
  secret: string,
  headers: Readonly<Record<string, string | string[] | undefined>>,
  body: string,
  now: number = Date.now(),
): Delivered {
  const [id, at, shown] = ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) =>
    String(headers[name] ?? ''),
  );
  const meant = webhookMac(secret, { id: id ?? '', at: at ?? '', body });
  const fits = (shown ?? '').split(' ').some((each) => {
    const [version, text = ''] = each.split(',');
    const bytes = Buffer.from(text, 'base64');
    return version === 'v1' && bytes.length === meant.length && timingSafeEqual(bytes, meant);
  });
  if (!fits) throw new Fault('bad_signature', `checking the webhook "${id}": it is not signed with this secret`);
  if (!(Math.abs(now / 1000 - Number(at)) <= TOLERANCE_S)) {
    throw new Fault('bad_signature', `checking the webhook "${id}": it is more than ${TOLERANCE_S} s old, or early`);
  }
  return JSON.parse(body);
}
