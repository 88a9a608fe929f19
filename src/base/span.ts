/** Spans of time as people write them: `90s`, `10m`, `12h`, `30d`. */

const UNITS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** In milliseconds; undefined if it is none, or not above zero. */
export function spanMs(written: string): number | undefined {
  const [, number, unit = ''] = /^(\d{1,6})([smhd])$/.exec(written) ?? [];
  const ms = Number(number) * (UNITS[unit] ?? Number.NaN);
  return ms > 0 ? ms : undefined;
}
