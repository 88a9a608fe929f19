/** A job in one line. */
import type { Job } from '../api/job.ts';
import { cleanLine } from './clean.ts';
import { showTime } from './units.ts';

/** What it does, and for whom. */
export function jobName({ operation, input }: Job): string {
  const [first] = Object.values(input);
  return cleanLine(typeof first === 'string' ? `${operation} ${first}` : operation);
}

/** How it stands, and why. */
export function jobStanding({ state, waitingFor, due, every, error, missed }: Job): string {
  const late = missed > 0 ? `; ${missed} missed` : '';
  if (state === 'waiting') return `waits: ${cleanLine(waitingFor?.message ?? '')}`;
  if (state === 'scheduled') return `${every ? `every "${every}", next` : 'at'} ${due ? showTime(due) : '-'}${late}`;
  if (error) return `${state}: ${cleanLine(error.message)}`;
  return `${state}${late}`;
}

export const jobLine = (job: Job): string => `${jobName(job)}  ${jobStanding(job)}`;
