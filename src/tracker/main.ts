/** The tracker as a program: runs until it is told to stop, and says on stdout how to reach it. */
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { createLog, type Log } from '../base/log.ts';
import { formatAddress } from '../link/address.ts';
import { Lan } from '../reach/lan.ts';
import { Tracker, type TrackerOptions } from './tracker.ts';

export type RunTrackerOptions = Omit<TrackerOptions, 'log'> & {
  /** The most milliseconds that its nodes have to go elsewhere, where it ends by SIGTERM; null, the default: it ends at once. */
  drainMs?: number | null | undefined;
  /** Whether it is to be found on the networks of this machine. */
  lan?: boolean | undefined;
  /** Told once it runs. */
  onUp?(tracker: Tracker): Disposable;
  /** Its abort ends the program gracefully. The reason is the name of a signal, where one came. */
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
  const { signal, stdout, stderr, drainMs, onUp, behindProxy } = options;
  const log = options.log ?? createLog({ name: 'tracker', level: 'warn' });
  await using tracker = new Tracker({ ...options, log });
  await tracker.start();
  await using lan = options.lan ? new Lan({ adverts: () => [tracker.advert], host: options.host, log }) : undefined;
  await lan?.start();
  await using beside = await options.beside?.(tracker);
  using _hearing = onUp?.(tracker);
  const { peer, addresses, invite, proxyPort, metrics = null } = tracker;
  if (options.json) {
    const { zone, zones, port } = tracker;
    const line = {
      address: addresses[0],
      addresses,
      peer,
      zone,
      zones,
      invite,
      port,
      proxyPort,
      metrics,
      ...beside?.says,
    };
    stdout.write(`${JSON.stringify(line)}\n`);
  } else {
    stdout.write(
      [
        `tracker of ${tracker.zones.join(', ')}`,
        ...addresses.map((address) => `address  ${address}`),
        ...(behindProxy
          ? [`proxy    is answered at ${formatAddress({ host: behindProxy.host, port: proxyPort ?? 0 })}`]
          : []),
        `peer id  ${peer}`,
        `invite   ${invite}`,
        ...(metrics === null ? [] : [`metrics  http://${metrics}/metrics`]),
        ...(beside ? [`im       ${beside.says.im}`] : []),
        '',
      ].join('\n'),
    );
    stderr.write(`Others join with: netapp up --name <name> --join '${invite}'\nStop with ctrl-C.\n`);
  }
  if (!signal.aborted) await once(signal, 'abort');
  // A person who presses ctrl-C waits; whoever sends SIGTERM has others to think of.
  if (signal.reason === 'SIGTERM' && drainMs) await tracker.drain({ mostMs: drainMs });
}
