/** The node behind a gateway: it hosts the accounts of those who come in there, and has one of its own for itself. */
import { openHosting } from '../agent/hosting.ts';
import type { Hosting } from '../api/hosting.ts';
import { deadline } from '../base/async.ts';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { ChosenTracker } from '../directory/invite.ts';
import { loadOrCreateKey } from '../link/identity.ts';
import { createHome, homePaths } from '../node/home.ts';
import { Node } from '../node/node.ts';

/** Milliseconds for a tracker's first word; what no tracker answers yet is tried on. */
const FIRST_WORD_MS = 3000;
/** Characters of the account's key in the node's own name: no two of a zone are alike. */
const NAME_CHARACTERS = 8;

export type HostingNodeOptions = {
  /** Folder of the node. */
  home: string;
  zone: string;
  host?: string | undefined;
  /** 0 for any free one. */
  port: number;
  trackers: readonly ChosenTracker[];
  /** PEM of an authority that signed for the proxy of a tracker. */
  trackerCa?: string | undefined;
  version: string;
  clock: Clock;
  log: Log;
};

/** Throws what `Node.start` and `openHosting` throw, and a refusal of the tracker's that will not mend by itself. */
export async function startHostingNode(
  options: HostingNodeOptions,
): Promise<{ hosting: Hosting; own: string } & AsyncDisposable> {
  const { home, zone, host, port, trackers, trackerCa, version, clock, log } = options;
  await using opened = new AsyncDisposableStack();
  await createHome(home);
  const { id } = await loadOrCreateKey(homePaths(home).accountKey);
  const node = opened.use(
    await Node.start({
      home,
      handle: `im-${id.slice(0, NAME_CHARACTERS)}@${zone}`,
      host,
      port,
      trackers,
      trackerCa,
      software: `netapp/${version}`,
      clock,
      log,
    }),
  );
  await firstWord(node, log);
  const hosting = opened.use(await openHosting(node, { clock, log }));
  const resources = opened.move();
  return { hosting, own: node.handle, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

async function firstWord(node: Node, log: Log): Promise<void> {
  using limit = deadline(FIRST_WORD_MS, 'announcing');
  try {
    await node.directory.ready({ signal: limit });
    await node.setStatus('online', 'gateway for IM clients');
  } catch (error) {
    if (!limit.aborted && !(error instanceof Fault && error.retry)) throw error;
    log.warn({ err: error }, 'no tracker answers yet; it goes on trying');
  }
}
