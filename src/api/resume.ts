/** Following events across cuts and restarts of the agent. */
import { Backoff, sleep } from '../base/async.ts';
import { Fault } from '../base/fault.ts';
import type { Client } from './contract.ts';
import type { AgentEvent } from './shapes.ts';

type Options = {
  /** What came after this cursor first; 0: all that is kept. Default: what happens from now on. */
  from?: number | undefined;
  match?: string[] | undefined;
  signal?: AbortSignal | undefined;
  /** Milliseconds between two tries. */
  retry?: { firstMs: number; mostMs: number };
};

/**
 * Each event once, in order, until `signal` aborts: after a cut it goes on after the last one that it gave. Keep an event's
 * `cursor` to go on after a restart of your own. Throws what waiting does not mend: `cursor_gone` where events in between are no
 * longer kept, `forbidden`, `unauthenticated`.
 */
export async function* followEvents(client: Client, options: Options = {}): AsyncGenerator<AgentEvent, void, void> {
  const { match, signal, retry = { firstMs: 200, mostMs: 10_000 } } = options;
  const backoff = new Backoff(retry);
  let from = options.from;
  while (!signal?.aborted) {
    try {
      // A place to start from is asked for once, so that nothing is missed by a cut before the first event.
      from ??= await present(client, signal);
      for await (const event of await client.events.follow({ from, match }, { ...(signal && { signal }) })) {
        from = event.cursor;
        backoff.reset();
        yield event;
      }
    } catch (error) {
      if (signal?.aborted) return;
      if (!(error instanceof Fault) || !error.retry) throw error;
    }
    await sleep(backoff.next(), signal).catch(() => {});
  }
}

async function present(client: Client, signal: AbortSignal | undefined): Promise<number> {
  const { last } = await client.events.last(undefined, { ...(signal && { signal }) });
  return last;
}
