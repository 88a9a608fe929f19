/** Numbers and times as people read them. */
import { cleanLine } from './clean.ts';

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

/** `1.4 MB`, with units of 1000 as disks have them. */
export function showBytes(bytes: number): string {
  const power = bytes < 1000 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** power;
  return `${value >= 100 || power === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[power]}`;
}

export const showRate = (rate: number): string => `${showBytes(rate)}/s`;

/** `1:05` or `2:01:09`. */
export function showSpan(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (number: number): string => String(number).padStart(2, '0');
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** `0.8 ms`, `12 ms`, `1.2 s`. */
export const showSpanMs = (ms: number): string =>
  ms >= 1000 ? `${(ms / 1000).toFixed(1)} s` : `${ms < 10 ? Number(ms.toFixed(1)) : Math.round(ms)} ms`;

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: 'long' });
const date = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long' });
const dateOfYear = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' });
const short = new Intl.DateTimeFormat(undefined, { day: '2-digit', month: '2-digit', year: '2-digit' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });

export const showClock = (at: string): string => clock.format(new Date(at));

export const showMoment = (at: string): string => full.format(new Date(at));

/** Days by which two times differ on the calendar of this machine. */
function daysAgo(at: Date, now = new Date()): number {
  const midnight = (time: Date): number => new Date(time.getFullYear(), time.getMonth(), time.getDate()).getTime();
  return Math.round((midnight(now) - midnight(at)) / 86_400_000);
}

export const dayOf = (at: string): string => new Date(at).toDateString();

/** `Today`, `Yesterday`, `Monday`, `3 March`. */
export function showDay(at: string): string {
  const when = new Date(at);
  const days = daysAgo(when);
  if (days === 0) return 'Today';
  if (days === 1) return 'Yesterday';
  if (days > 1 && days < 7) return weekday.format(when);
  return when.getFullYear() === new Date().getFullYear() ? date.format(when) : dateOfYear.format(when);
}

/** `3 March 2027`: of what is to come. */
export const showDate = (at: string): string => dateOfYear.format(new Date(at));

/** As short as a list wants it: the time today, then the day, then the date. */
export function showWhen(at: string): string {
  const days = daysAgo(new Date(at));
  if (days <= 0) return showClock(at);
  if (days === 1) return 'Yesterday';
  return days < 7 ? weekday.format(new Date(at)) : short.format(new Date(at));
}

/** `3 minutes ago`. */
export function showAgo(at: string): string {
  const seconds = (Date.now() - new Date(at).getTime()) / 1000;
  if (seconds < 60) return 'just now';
  const words = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' });
  if (seconds < 3600) return words.format(-Math.round(seconds / 60), 'minute');
  if (seconds < 86_400) return words.format(-Math.round(seconds / 3600), 'hour');
  return words.format(-Math.round(seconds / 86_400), 'day');
}

/** A handle as I would say it: without the zone that we share. */
export function showName(handle: string, me: string): string {
  const [name = '', zone] = handle.split('@');
  return cleanLine(zone !== undefined && zone === me.split('@')[1] ? name : handle);
}

export const plural = (count: number, one: string, many = `${one}s`): string =>
  `${count.toLocaleString()} ${count === 1 ? one : many}`;
