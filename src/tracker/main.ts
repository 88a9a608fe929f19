/** The tracker as a program: runs until it is told to stop, and says on stdout how to reach it. */
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { createLog, type Log } from '../base/log.ts';
import { formatAddress } from '../link/address.ts';
import { type BehindProxy, Tracker } from './tracker.ts';

export type RunTrackerOptions = {
  home: string;
  host?: string | undefined;
  port?: number | undefined;
  zone: string;
  mailbox?: boolean | undefined;
  admins?: readonly string[] | undefined;
  behindProxy?: BehindProxy | undefined;
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
  const { home, host, port, zone, mailbox, admins, behindProxy, signal, stdout, stderr } = options;
  const log = options.log ?? createLog({ name: 'tracker', level: 'warn' });
  await using tracker = new Tracker({ home, host, port, zone, mailbox, admins, behindProxy, log });
  await tracker.start();
  const { peer, addresses, invite, proxyPort } = tracker;
  if (options.json) {
    const line = { address: addresses[0], addresses, peer, zone: tracker.zone, invite, port: tracker.port, proxyPort };
    stdout.write(`${JSON.stringify(line)}\n`);
  } else {
    stdout.write(
      [
        `tracker of ${tracker.zone}`,
        ...addresses.map((address) => `address  ${address}`),
        ...(behindProxy
          ? [`proxy    is answered at ${formatAddress({ host: behindProxy.host, port: proxyPort ?? 0 })}`]
          : []),
        `peer id  ${peer}`,
        `invite   ${invite}`,
        '',
      ].join('\n'),
    );
    stderr.write(`Others join with: netapp up --name <name> --join '${invite}'\nStop with ctrl-C.\n`);
  }
  if (!signal.aborted) await once(signal, 'abort');
}
