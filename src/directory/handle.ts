/** `name@zone`: what people call an account. Lower case only, so that two handles never look alike by case. [D-1] */
import { z } from 'zod';
import { Fault } from '../base/fault.ts';

/** 1 to 64 characters, the first a letter or a digit. */
const nameForm = /^[a-z0-9][a-z0-9._-]{0,63}$/;
/** Dotted labels as in DNS (RFC 1035, section 2.3.1, and RFC 1123, section 2.1). */
const zoneForm = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;
const MOST_ZONE_CHARACTERS = 253;

const isZone = (text: string): boolean => text.length <= MOST_ZONE_CHARACTERS && zoneForm.test(text);

/** A zone: labels of at most 63 characters, 253 in all. */
export const zone = z.string().refine(isZone, 'a zone: lower-case labels with dots, e.g. lab1.cse.hcmut');

/** A whole handle, at most 318 characters. */
export const handle = z.string().refine((text) => split(text) !== undefined, 'a handle: name@zone in lower case');

export type Handle = { handle: string; name: string; zone: string };

function split(text: string): Handle | undefined {
  const at = text.indexOf('@');
  const [name, zoneText] = [text.slice(0, at), text.slice(at + 1)];
  if (at < 0 || !nameForm.test(name) || !isZone(zoneText)) return undefined;
  return { handle: text, name, zone: zoneText };
}

/**
 * `text` as a handle; without `@`, one in `defaultZone`. Capitals are taken as small letters, for that is how people type
 * names. Throws `invalid_argument`.
 */
export function parseHandle(text: string, defaultZone: string): Handle {
  const lower = text.trim().toLowerCase();
  const found = split(lower.includes('@') ? lower : `${lower}@${defaultZone}`);
  if (found) return found;
  throw new Fault(
    'invalid_argument',
    `reading the handle "${text.slice(0, 100)}": expected name@zone, of letters a to z, digits, ".", "_" and "-", e.g. alice@lab`,
  );
}

/** `text` as a zone. Throws `invalid_argument`. */
export function parseZone(text: string): string {
  const lower = text.trim().toLowerCase();
  if (isZone(lower)) return lower;
  throw new Fault(
    'invalid_argument',
    `reading the zone "${text.slice(0, 100)}": expected names with dots between, of letters a to z, digits and "-", e.g. lab`,
  );
}
