/** The tracker as a program: runs until it is told to stop, and says on stdout how to reach it. */
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { createLog, type Log } from '../base/log.ts';
import type { Invite } from '../directory/invite.ts';
import { Tracker } from './tracker.ts';

export type RunTrackerOptions = {
  home: string;
  host?: string | undefined;
  port?: number | undefined;
  zone: string;
  zones?: readonly string[] | undefined;
  parents?: readonly Invite[] | undefined;
  primaries?: readonly Invite[] | undefined;
  dns?: readonly string[] | null | undefined;
  mailbox?: boolean | undefined;
  admins?: readonly string[] | undefined;
  /** Its abort ends the program gracefully. */
  signal: AbortSignal;
  stdout: Writable;
  stderr: Writable;
  /** One JSON line instead of text. */
  json?: boolean;
  log?: Log;
};

/** Throws what `Tracker.start` throws; settles when the tracker has ended after `signal`. */
export async function runTracker(options: RunTrackerOptions): Promise<void> {
  const { signal, stdout, stderr, json: _, log: given, ...rest } = options;
  const log = given ?? createLog({ name: 'tracker', level: 'warn' });
  await using tracker = new Tracker({ ...rest, log });
  await tracker.start();
  const { peer, addresses, invite } = tracker;
  if (options.json) {
    const line = {
      address: addresses[0],
      addresses,
      peer,
      zone: tracker.zone,
      zones: tracker.zones,
      invite,
      port: tracker.port,
    };
    stdout.write(`${JSON.stringify(line)}\n`);
  } else {
    stdout.write(
      [
        `tracker of ${tracker.zones.join(', ')}`,
        ...addresses.map((address) => `address  ${address}`),
        `peer id  ${peer}`,
        `invite   ${invite}`,
        '',
      ].join('\n'),
    );
    stderr.write(`Others join with: netapp up --name <name> --join '${invite}'\nStop with ctrl-C.\n`);
  }
  if (!signal.aborted) await once(signal, 'abort');
}
