/** When the other side wants to be asked again: from a header (RFC 9110, section 10.2.3), or from what a fault carries. */
import type { Fault } from './fault.ts';

/** Milliseconds beyond which nobody is believed: who asks for more is asked again after it. */
const MOST_MS = 3600_000;

const bounded = (ms: number): number => Math.max(0, Math.min(ms, MOST_MS));

/** Milliseconds; undefined for no header, or one that is not of its form. */
export function retryAfterMs(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d{1,9}$/.test(header.trim())) return bounded(Number(header) * 1000);
  const at = /^[A-Z][a-z]{2,8},? .* GMT$/.test(header.trim()) ? Date.parse(header) : Number.NaN;
  return Number.isNaN(at) ? undefined : bounded(at - Date.now());
}

/** Milliseconds that a fault asks to wait, in `data.retryAfterMs`. */
export function retryAfterOf({ data }: Fault): number | undefined {
  const ms = data?.retryAfterMs;
  return typeof ms === 'number' && Number.isFinite(ms) ? bounded(ms) : undefined;
}
