/** What an open event stream may cost: how many there are, and how long one may stop reading. */
import type { ServerResponse } from 'node:http';

/** Keep-alive of a stream: below the 30 s after which proxies and clients give up on a silent connection. */
export const KEEP_ALIVE_MS = 5_000;

/**
 * Cuts the connection of a follower whose buffers stay full. The stream itself is pulled, so what waits here is at most
 * one event and the keep-alives; the source's own bound is the source's. [E-5]
 */
export function cutSlowFollower(response: ServerResponse, allowedMs: number, onCut: () => void): void {
  let stuckSince: number | undefined;
  const timer = setInterval(
    () => {
      if (!response.writableNeedDrain) stuckSince = undefined;
      else if (stuckSince === undefined) stuckSince = performance.now();
      else if (performance.now() - stuckSince >= allowedMs) {
        onCut();
        response.destroy();
      }
    },
    Math.max(10, allowedMs / 10),
  );
  timer.unref();
  response.once('drain', () => {
    stuckSince = undefined;
  });
  response.once('close', () => clearInterval(timer));
}
