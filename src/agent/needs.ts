/** What a job may need before it can run, whether that holds, and when to look again. */
import { statfs } from 'node:fs/promises';
import { RUNGS } from '../api/job.ts';
import { type Fault, toFault } from '../base/fault.ts';
import type { Node } from '../node/node.ts';

export type Need =
  | { what: 'tracker' }
  | { what: 'peer'; who: string }
  | { what: 'rung'; who: string; rung: string }
  | { what: 'space'; bytes: number };

/** The world as jobs see it; a test may give another. */
export interface World {
  /** What is missing, in words; undefined where the need holds. */
  missing(need: Need, signal: AbortSignal): Promise<string | undefined>;
  /** Calls whenever a need of this kind may hold now that did not, until `signal` aborts. `who`: for whom, as an account. */
  watch(changed: (what: Need['what'], isFor: (who: string) => boolean) => void, signal: AbortSignal): Promise<void>;
}

/** What was written as `peer`, `rung:lan`, `space:BYTES`, of a job that concerns `peer`. */
export function needOf(written: string, peer: string): Need {
  const [what, value = ''] = written.split(':');
  if (what === 'tracker') return { what };
  if (what === 'space') return { what, bytes: Number(value) };
  return what === 'rung' ? { what, who: peer, rung: value } : { what: 'peer', who: peer };
}

/** Bytes that must be free again after the disk was full: enough for a message and SQLite's log. */
const SPACE_AGAIN = 4 * 1024 * 1024;

/** What an operation lacked that failed with this fault; undefined where only time may help. */
export function needAfter(fault: Fault, peer: string): Need | undefined {
  if (fault.code === 'tracker_down') return { what: 'tracker' };
  if (fault.code === 'peer_unreachable' && peer !== '') return { what: 'peer', who: peer };
  return fault.code === 'disk_full' ? { what: 'space', bytes: SPACE_AGAIN } : undefined;
}

/** The world of a running node. */
export function worldOf(node: Node): World {
  const { directory, peers } = node;
  const accountOf = (who: string): string | undefined => directory.known(who)?.account;

  async function peerMissing(who: string, signal: AbortSignal): Promise<string | undefined> {
    const account = accountOf(who) ?? (await directory.find(who, { signal })).account;
    if (peers.links.has(account)) return undefined;
    return directory.get(account)?.status === 'offline' ? `${who} is offline` : undefined;
  }

  async function rungMissing(who: string, rung: string, signal: AbortSignal): Promise<string | undefined> {
    const offline = await peerMissing(who, signal);
    if (offline !== undefined) return offline;
    const account = accountOf(who) ?? who;
    const link = node.linkView(await peers.reach(account, { signal }));
    const rank = (name: string): number => RUNGS.indexOf(name);
    return rank(link.rung) <= rank(rung) ? undefined : `the link to ${who} is ${link.rung}, not ${rung}`;
  }

  return {
    async missing(need, signal) {
      try {
        if (need.what === 'tracker') {
          return directory.states().some(({ state }) => state === 'up') ? undefined : 'no tracker answers';
        }
        if (need.what === 'space') {
          const { bavail, bsize } = await statfs(node.home);
          const free = bavail * bsize;
          return free >= need.bytes
            ? undefined
            : `${free} bytes are free on the disk of the home, ${need.bytes} are needed`;
        }
        return await (need.what === 'peer' ? peerMissing(need.who, signal) : rungMissing(need.who, need.rung, signal));
      } catch (error) {
        const fault = toFault(error, `looking for what a job needs`);
        if (!fault.retry || signal.aborted) throw fault;
        return fault.message;
      }
    },
    async watch(changed, signal) {
      for await (const { type, data } of node.events.follow({ from: node.events.last, signal })) {
        if (type === 'tracker.changed' && data.state === 'up') changed('tracker', () => true);
        const account = type.startsWith('person.') ? data.id : type.startsWith('link.') ? data.account : undefined;
        if (typeof account !== 'string' || type === 'link.down' || data.status === 'offline') continue;
        const isFor = (who: string): boolean => who === account || accountOf(who) === account;
        changed('peer', isFor);
        changed('rung', isFor);
      }
    },
  };
}
