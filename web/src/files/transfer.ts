/** A transfer in words, and what can be done with it as it stands. */
import type { FileInfo } from '../../../src/api/shapes.ts';
import { client } from '../agent/client.ts';
import { showBytes, showRate, showSpan } from '../words/show.ts';

export const isOpen = ({ state }: FileInfo): boolean =>
  state === 'preparing' || state === 'offered' || state === 'accepted' || state === 'fetching' || state === 'serving';

/** How far it is, in percent. */
export const percentOf = ({ progress, size, state }: FileInfo): number =>
  state === 'done' ? 100 : size === 0 ? 0 : Math.min(100, (100 * progress) / size);

export function stateOf(file: FileInfo): string {
  const { state, direction, paused, size, progress, rate, eta, error } = file;
  const inward = direction === 'in';
  if (paused && isOpen(file)) return `Paused at ${showBytes(progress)} of ${showBytes(size)}`;
  switch (state) {
    case 'preparing':
      return 'Being hashed';
    case 'offered':
      return inward ? `Offered, ${showBytes(size)}` : `Offered, ${showBytes(size)}; waits to be taken`;
    case 'accepted':
      return `Accepted; waits for somebody who has it`;
    case 'fetching':
    case 'serving':
      if (rate === 0) return `${showBytes(progress)} of ${showBytes(size)}`;
      return `${showBytes(progress)} of ${showBytes(size)}, ${showRate(rate)}${eta === null ? '' : `, ${showSpan(eta)} left`}`;
    case 'done':
      return inward ? `${showBytes(size)}, verified` : `${showBytes(size)}, arrived and verified there`;
    case 'declined':
      return inward ? 'You declined it' : 'Declined';
    case 'cancelled':
      return 'Cancelled';
    default:
      return error?.message ?? 'Failed';
  }
}

export type Act = { name: string; main?: boolean; run: () => Promise<unknown> };

/** What can be done with it now, the likeliest first. */
export function actsOf(file: FileInfo): Act[] {
  const { id, state, direction, paused } = file;
  const inward = direction === 'in';
  if (state === 'offered' && inward) {
    return [
      { name: 'Accept', main: true, run: () => client.files.accept({ id }) },
      { name: 'Decline', run: () => client.files.decline({ id }) },
    ];
  }
  const cancel = { name: inward ? 'Cancel' : 'Take back', run: () => client.files.cancel({ id }) };
  if (state === 'accepted' || state === 'fetching' || state === 'serving') {
    const pause = paused
      ? { name: 'Resume', main: true, run: () => client.files.resume({ id }) }
      : { name: 'Pause', run: () => client.files.pause({ id }) };
    return [pause, cancel];
  }
  if (state === 'preparing' || state === 'offered') return [cancel];
  if (state === 'failed' && inward) return [{ name: 'Try again', main: true, run: () => client.files.accept({ id }) }];
  return [];
}
