/** Many nodes that are there and say nothing: each with a key, an account and a record of its own. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Backoff } from '../src/base/async.ts';
import { Fault } from '../src/base/fault.ts';
import { signRecord } from '../src/directory/record.ts';
import { bind } from '../src/link/binding.ts';
import { createIdentity, type Identity } from '../src/link/certificate.ts';
import { Key } from '../src/link/identity.ts';
import { answer } from './child.ts';
import { RawLink, type Target } from './raw-link.ts';

/** Dials under way at once. */
const AT_ONCE = 64;
/** Milliseconds that a node gives a handshake. */
const DIAL_MS = 5000;

type Node = { identity: Identity; account: Key; link: RawLink | undefined };

const nodes: Node[] = [];

/** What a node says first on a link: who it is and where. */
async function join(node: Node, target: Target, name: string, timeoutMs = 60_000): Promise<void> {
  const { identity, account } = node;
  const now = Date.now();
  const handle = `${name}@bench`;
  const self = {
    protocol: { min: 1, max: 1 },
    software: 'bench',
    role: 'node' as const,
    account: bind(account, handle, identity.id, now),
    batch: 1024,
  };
  const link = await RawLink.dial(target, identity, self, timeoutMs);
  const record = signRecord(account, {
    handle,
    node: identity.id,
    addresses: [],
    status: 'online',
    text: '',
    seq: now,
    until: now + 24 * 3600_000,
  });
  const text = await link.ask(
    JSON.stringify({ jsonrpc: '2.0', id: 2, method: 'directory.announce', params: { record } }),
  );
  if (!text.includes('"result"')) throw new Error(text);
  node.link = link;
}

answer({
  /** Makes so many keys. */
  make: async (count: number) => {
    for (let n = 0; n < count; n++) {
      nodes.push({ identity: await createIdentity(), account: Key.generate(), link: undefined });
    }
  },
  /** All of them dial and announce themselves. */
  join: async (target: Target, prefix: string) => {
    let next = 0;
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        for (let n = next++; n < nodes.length; n = next++) {
          const node = nodes[n];
          if (node) await join(node, target, `${prefix}-${n}`);
        }
      }),
    );
  },
  /**
   * Each waits until its link has ended, and comes back as a node does: with a backoff of 0.1 to 0.2 s that doubles up to 30 s.
   * Seconds until each was back, how often one was not let in (as while nobody listens), and how often a handshake took too long.
   */
  comeBack: async (target: Target, prefix: string) => {
    let [refused, givenUp] = [0, 0];
    const seconds = await Promise.all(
      nodes.map(async (node, n) => {
        const { link } = node;
        if (link && !link.socket.destroyed) await new Promise<void>((resolve) => (link.onEnd = resolve));
        const from = performance.now();
        const backoff = new Backoff({ firstMs: 200, mostMs: 30_000 });
        for (;;) {
          await sleep(backoff.next());
          try {
            await join(node, target, `${prefix}-${n}`, DIAL_MS);
            return (performance.now() - from) / 1000;
          } catch (error) {
            if (error instanceof Fault && error.code === 'timeout') givenUp += 1;
            else refused += 1;
          }
        }
      }),
    );
    return { seconds, refused, givenUp };
  },
});
