/** Sizes and times as people write and read them. */
import { Fault } from '../base/fault.ts';

const UNITS: Record<string, number> = {
  '': 1,
  b: 1,
  k: 1e3,
  kb: 1e3,
  kib: 2 ** 10,
  m: 1e6,
  mb: 1e6,
  mib: 2 ** 20,
  g: 1e9,
  gb: 1e9,
  gib: 2 ** 30,
  t: 1e12,
  tb: 1e12,
  tib: 2 ** 40,
};

/** `10MB`, `1GiB`, `1.5 g`, `700`; `none` is null. */
export function parseBytes(written: string): number | null {
  if (/^none$/i.test(written.trim())) return null;
  const [, number, unit = ''] = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(written) ?? [];
  const factor = UNITS[unit.toLowerCase()];
  const bytes = factor === undefined ? Number.NaN : Math.round(Number(number) * factor);
  if (!Number.isSafeInteger(bytes)) {
    throw new Fault('invalid_argument', `reading the size "${written}": expected bytes such as 10MB or 1GiB, or none`);
  }
  return bytes;
}

const SPANS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000 };

/** A span of time in milliseconds, from a second to a day: `90s`, `10m`, `2h`; `off` is null; undefined if it is neither. */
export function parseSpan(written: string): number | null | undefined {
  if (/^off$/i.test(written.trim())) return null;
  const [, number, unit = ''] = /^\s*(\d{1,6})\s*([smh])\s*$/i.exec(written) ?? [];
  const ms = Number(number) * (SPANS[unit.toLowerCase()] ?? Number.NaN);
  return ms >= 1000 && ms <= 24 * 3_600_000 ? ms : undefined;
}

/** A span of time in whole seconds. */
export function parseSeconds(written: string): number {
  const ms = parseSpan(written);
  if (ms) return ms / 1000;
  throw new Fault('invalid_argument', `reading the time "${written}": expected 1s to 24h, such as 90s, 10m or 1h`);
}

/** Decimal units, three digits at most: `999 B`, `1.2 MB`. */
export function showBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1_000;
    unit += 1;
  }
  return `${unit === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** `0:07`, `12:40`, `3:02:10`. */
export function showDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (n: number) => String(n).padStart(2, '0');
  const [h, m, s] = [Math.floor(whole / 3_600), Math.floor((whole % 3_600) / 60), whole % 60];
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** In local time: the clock for today, with the date for other days. */
export function showTime(iso: string, now = new Date()): string {
  const time = new Date(iso);
  if (Number.isNaN(time.getTime())) return iso;
  const two = (n: number) => String(n).padStart(2, '0');
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}`;
  if (time.toDateString() === now.toDateString()) return clock;
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${clock}`;
}

/** How long ago: `now`, `5 min ago`, `3 h ago`, then the date. */
export function showAgo(iso: string, now = new Date()): string {
  const minutes = Math.floor((now.getTime() - new Date(iso).getTime()) / 60_000);
  if (!(minutes >= 1)) return 'now';
  if (minutes < 60) return `${minutes} min ago`;
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ago`;
  return showTime(iso, now);
}
