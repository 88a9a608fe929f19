/** A tracker that is heard of on this network, offered to whoever starts a node without one. */
import { createInterface } from 'node:readline/promises';
import { sleep } from '../base/async.ts';
import type { Log } from '../base/log.ts';
import type { Shell } from '../cli/shell.ts';
import { formatInvite } from '../directory/invite.ts';
import type { HomeConfig } from '../node/home.ts';
import type { Node } from '../node/node.ts';
import { type Found, Lan } from '../reach/lan.ts';
import type { Settings } from './settings.ts';

/** Milliseconds in which trackers answer that are there, and one more question where a packet was lost. */
const LISTEN_MS = 1500;
/** Milliseconds in which others may answer, too, once one has. */
const MORE_MS = 300;
/** Trackers that are asked about, or told of: more than that is no network to join anything on. */
const MOST_OFFERED = 3;

/**
 * The invite of a tracker that the user joins, asked on a terminal at the first start of a home that was given none. Undefined where
 * nobody is asked, or they say no: then a tracker inside is started.
 */
export async function offeredTracker(options: {
  given: HomeConfig;
  kept: HomeConfig;
  settings: Settings;
  shell: Shell;
  log: Log;
}): Promise<string | undefined> {
  const { given, kept, settings, shell, log } = options;
  const isFirst = kept.trackers === undefined && settings.trackers.length === 0 && given.zone === undefined;
  if (!isFirst || !settings.lan || !isTerminal(shell)) return undefined;
  const found = await listen(settings.host, shell.signal, log);
  for (const tracker of found.slice(0, MOST_OFFERED)) {
    const question = `The tracker of "${tracker.zone}" is on this network, at ${tracker.addresses[0]}, with the key ${shortKey(tracker.id)}. Join it? [y/N] `;
    if (await confirmed(question, shell)) return tracker.invite;
  }
  return undefined;
}

const isTerminal = ({ stdin, stderr, json }: Shell): boolean =>
  !json && 'isTTY' in stdin && stdin.isTTY === true && stderr.isTTY === true;

type Offered = Found & { invite: string };

async function listen(host: string | undefined, signal: AbortSignal, log: Log): Promise<Offered[]> {
  const { promise, resolve } = Promise.withResolvers<void>();
  await using lan = new Lan({ adverts: () => [], host, log, onFound: ({ role }) => role === 'tracker' && resolve() });
  await lan.start();
  if (lan.state.networks.length === 0) return [];
  const awake = setInterval(() => {}, LISTEN_MS); // nothing else keeps the process alive yet
  try {
    await Promise.race([promise.then(() => sleep(MORE_MS, signal)), sleep(LISTEN_MS, signal)]);
    return lan.found().flatMap(offeredBy);
  } catch {
    return []; // told to end
  } finally {
    clearInterval(awake);
  }
}

function offeredBy(found: Found): Offered[] {
  const addresses = found.addresses.filter((address) => !address.includes('%'));
  if (found.role !== 'tracker' || found.zone === undefined || addresses.length === 0) return [];
  return [{ ...found, addresses, invite: formatInvite({ peer: found.id, addresses, zone: found.zone }) }];
}

/** The beginning of a key, to be compared with what the tracker's status shows. */
const shortKey = (id: string): string => id.slice(0, 16).replaceAll(/(.{4})(?=.)/g, '$1 ');

async function confirmed(question: string, { stdin, stderr, signal }: Shell): Promise<boolean> {
  const asking = createInterface({ input: stdin, output: stderr });
  try {
    return /^y(es)?$/i.test((await asking.question(question, { signal })).trim());
  } catch {
    return false; // told to end
  } finally {
    asking.close();
  }
}

/** Says how to join trackers that are heard of while the one inside is the only one. The result ends it. */
export function tellOfTrackers(node: Node, { notes }: Shell): () => void {
  const told = new Set<string>();
  const tell = (found: Found): void => {
    for (const { id, zone, invite } of offeredBy(found)) {
      if (told.has(id) || told.size >= MOST_OFFERED || !node.trackers.hasInside) continue;
      told.add(id);
      const how = `netapp trackers join '${invite}' --instead`;
      void notes.line(
        `A tracker of "${zone}" with the key ${shortKey(id)} is on this network; to join it in place of the one inside: ${how}`,
      );
    }
  };
  for (const found of node.neighbours.found()) tell(found);
  return node.neighbours.onFound(tell);
}
