/** Many nodes that are there and say nothing: each with a key, an account and a record of its own. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Fault } from '../src/base/fault.ts';
import { announce, renew } from '../src/directory/messages.ts';
import { paceOf } from '../src/directory/pace.ts';
import { type DirectoryRecord, signRecord } from '../src/directory/record.ts';
import { bind } from '../src/link/binding.ts';
import { createIdentity, type Identity } from '../src/link/certificate.ts';
import { Key } from '../src/link/identity.ts';
import { waitBefore } from '../src/link/keep.ts';
import { Sessions } from '../src/link/sessions.ts';
import { answer } from './child.ts';
import { RawLink, type Target } from './raw-link.ts';

/** Dials under way at once. */
const AT_ONCE = 12;
/** Milliseconds that a node gives a handshake. */
const DIAL_MS = 5000;

type Node = {
  identity: Identity;
  account: Key;
  sessions: Sessions;
  link: RawLink | undefined;
  timer: NodeJS.Timeout | undefined;
  returnWithinMs: number;
};

const nodes: Node[] = [];

/** The record of somebody who hides no address. */
function recordOf({ identity, account }: Node, handle: string): DirectoryRecord {
  const seq = Date.now();
  const until = seq + 24 * 3600_000;
  return signRecord(account, { handle, node: identity.id, addresses: [], status: 'online', text: '', seq, until });
}

const resultOf = (text: string): unknown => {
  const answer: unknown = JSON.parse(text);
  if (typeof answer === 'object' && answer !== null && 'result' in answer) return answer.result;
  throw new Error(text);
};

/** As a node does: three times while its record holds, at a time of its own. */
function renewLater(node: Node, handle: string, ttlMs: number): void {
  node.timer = setTimeout(
    async () => {
      const { link } = node;
      if (!link || link.socket.destroyed) return;
      const { seq, until, sig } = recordOf(node, handle);
      const asked = { jsonrpc: '2.0', id: seq, method: renew.name, params: { seq, until, sig } };
      const answer = await link.ask(JSON.stringify(asked)).catch(() => undefined); // it ended: the node comes back
      if (answer === undefined) return;
      node.returnWithinMs = renew.result.parse(resultOf(answer)).returnWithinMs ?? 0;
      renewLater(node, handle, ttlMs);
    },
    (ttlMs / 3) * (1 - Math.random() * 0.2),
  );
}

/** What a node says first on a link: who it is and where. */
async function join(node: Node, target: Target, name: string, timeoutMs = 60_000): Promise<void> {
  const { identity, account, sessions } = node;
  const now = Date.now();
  const handle = `${name}@bench`;
  const self = {
    protocol: { min: 1, max: 1 },
    software: 'bench',
    role: 'node' as const,
    account: bind(account, handle, identity.id, now),
    batch: 1024,
  };
  clearTimeout(node.timer);
  const link = await RawLink.dial(target, identity, self, { timeoutMs, sessions });
  const record = recordOf(node, handle);
  const text = await link.ask(JSON.stringify({ jsonrpc: '2.0', id: 2, method: announce.name, params: { record } }));
  const { ttlMs, returnWithinMs = 0 } = announce.result.parse(resultOf(text));
  node.link = link;
  node.returnWithinMs = returnWithinMs;
  renewLater(node, handle, ttlMs);
}

/** Nothing listens at that port. */
function isNobody(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return ('code' in error && error.code === 'ECONNREFUSED') || isNobody(error.cause);
}

answer({
  /** Makes so many keys. */
  make: async (count: number) => {
    for (let n = 0; n < count; n++) {
      nodes.push({
        identity: await createIdentity(),
        account: Key.generate(),
        sessions: new Sessions(),
        link: undefined,
        timer: undefined,
        returnWithinMs: 0,
      });
    }
  },
  /** All of them dial and announce themselves, again where they were not let in; gives how often that was. */
  join: async (target: Target, prefix: string) => {
    let [next, again] = [0, 0];
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        for (let n = next++; n < nodes.length; n = next++) {
          const node = nodes[n];
          while (node && !node.link) {
            try {
              await join(node, target, `${prefix}-${n}`);
            } catch (error) {
              if (!(error instanceof Fault)) throw error;
              again += 1;
              await sleep(1000);
            }
          }
        }
      }),
    );
    return again;
  },
  /**
   * Each waits until its link has ended, and comes back when a node does. Seconds until each was back, how often one came while
   * nobody listened, how often it was not let in, and how often a handshake took too long.
   */
  comeBack: async (target: Target, prefix: string) => {
    let [early, refused, givenUp] = [0, 0, 0];
    const seconds = await Promise.all(
      nodes.map(async (node, n) => {
        const { link } = node;
        if (link && !link.socket.destroyed) await once(link.socket, 'close');
        const from = performance.now();
        const pace = paceOf({ hasOthers: false, returnWithinMs: node.returnWithinMs, silent: false });
        for (let failures = 0; ; failures++) {
          await sleep(waitBefore(failures, pace, undefined));
          try {
            await join(node, target, `${prefix}-${n}`, DIAL_MS);
            return (performance.now() - from) / 1000;
          } catch (error) {
            if (error instanceof Fault && error.code === 'timeout') givenUp += 1;
            else if (isNobody(error)) early += 1;
            else refused += 1;
          }
        }
      }),
    );
    return { seconds, early, refused, givenUp };
  },
});
