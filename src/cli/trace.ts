/** The steps of a lookup, as people read them: also of one that failed. */
import { z } from 'zod';
import { faultOf } from '../api/failure.ts';
import type { PersonFound } from '../api/shapes.ts';
import { personFound } from '../api/shapes.ts';
import { cleanText } from './clean.ts';

type Step = NonNullable<PersonFound['trace']>[number];

const failed = z.object({ trace: personFound.shape.trace.unwrap().unwrap() });

/** `lab1.cse at 127.0.0.1:22236 (qe4xodvi): record, 3 ms`. */
export function stepLine({ zone, server, address, how, answer, detail, code, ms, stale }: Step): string {
  const who = server === null ? '' : ` (${server.slice(0, 8)})`;
  const where = {
    link: ` at ${address ?? '?'}`,
    recursive: ` at ${address ?? '?'}, to ask on`,
    cache: ', known already',
    dns: ' by DNS',
    self: ' itself',
  };
  const what = [answer, ...(code ? [code] : []), ...(detail ? [detail] : [])].join(' ');
  return cleanText(`${zone}${where[how]}${who}: ${what}${stale ? ', stale' : ''}, ${ms} ms`);
}

/** A line for each step of a lookup that failed; none for any other error. */
export function traceOf(error: unknown): string[] {
  const parsed = failed.safeParse(faultOf(error)?.data);
  return parsed.success && parsed.data.trace ? parsed.data.trace.map((step) => `asked ${stepLine(step)}`) : [];
}
