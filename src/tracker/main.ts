/** The tracker as a program: runs until it is told to stop, and says on stdout how to reach it. */
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { createLog, type Log } from '../base/log.ts';
import { Tracker } from './tracker.ts';

export type RunTrackerOptions = {
  home: string;
  host?: string | undefined;
  port?: number | undefined;
  zone: string;
  mailbox?: boolean | undefined;
  /** Its abort ends the program gracefully. */
  signal: AbortSignal;
  stdout: Writable;
  stderr: Writable;
  /** One JSON line instead of text. */
  json?: boolean;
  log?: Log;
  /** What runs beside the tracker in its process, from its start to its end; what it says is printed with the tracker's own. */
  beside?: ((tracker: Tracker) => Promise<{ says: Record<string, string | number> } & AsyncDisposable>) | undefined;
};

/** Throws what `Tracker.start` throws; settles when the tracker has ended after `signal`. */
export async function runTracker(options: RunTrackerOptions): Promise<void> {
  const { home, host, port, zone, mailbox, signal, stdout, stderr } = options;
  const log = options.log ?? createLog({ name: 'tracker', level: 'warn' });
  await using tracker = new Tracker({ home, host, port, zone, mailbox, log });
  await tracker.start();
  await using beside = await options.beside?.(tracker);
  const { peer, addresses, invite } = tracker;
  if (options.json) {
    const line = {
      address: addresses[0],
      addresses,
      peer,
      zone: tracker.zone,
      invite,
      port: tracker.port,
      ...beside?.says,
    };
    stdout.write(`${JSON.stringify(line)}\n`);
  } else {
    stdout.write(
      [
        `tracker of ${tracker.zone}`,
        ...addresses.map((address) => `address  ${address}`),
        `peer id  ${peer}`,
        `invite   ${invite}`,
        ...(beside ? [`im       ${beside.says.im}`] : []),
        '',
      ].join('\n'),
    );
    stderr.write(`Others join with: netapp up --name <name> --join '${invite}'\nStop with ctrl-C.\n`);
  }
  if (!signal.aborted) await once(signal, 'abort');
}
