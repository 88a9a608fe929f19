/** Two links joined in memory: the same frames in the same order, without a network below. For tests. */
import { type Clock, systemClock } from '../base/clock.ts';
import { silentLog } from '../base/log.ts';
import { Gathered } from './gathered.ts';
import type { HelloInfo } from './hello.ts';
import { Link, type MessageStream } from './link.ts';
import type { Router } from './router.ts';

type Handlers = Parameters<MessageStream['start']>[0];

/** One end of a pipe. What is sent arrives in a later turn of the event loop, as on a network. */
class PipeEnd implements MessageStream {
  readonly address = 'memory';
  readonly rung = 'local';
  readonly bufferedBytes = 0;
  readonly #gathered = new Gathered();
  sentBytes = 0;
  other: PipeEnd | undefined;
  #on: Handlers | undefined;
  #queue: ((on: Handlers) => void)[] = [];
  #paused = false;
  #closed = false;

  start(on: Handlers): void {
    this.#on = on;
    this.#flush();
  }

  share(most: number): void {
    this.#gathered.share(most);
  }

  send(text: string): void {
    if (this.#gathered.units === 0) setImmediate(() => this.#pass());
    this.#gathered.add(text);
  }

  #pass(): void {
    for (const frame of this.#gathered.take()) {
      this.sentBytes += Buffer.byteLength(frame);
      this.other?.arrive((on) => on.frame(frame));
    }
  }

  ping(): void {
    const pong = (): void => this.arrive((on) => on.pong());
    if (!this.#closed) setImmediate(pong);
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#flush();
  }

  close(code: number, reason: string): void {
    if (this.#closed) return;
    this.#pass();
    this.#closed = true;
    this.#paused = false;
    this.other?.arrive((on) => on.close(code, reason));
    this.arrive((on) => on.close(code, reason));
  }

  cut(): void {
    this.close(1006, '');
  }

  arrive(event: (on: Handlers) => void): void {
    this.#queue.push(event);
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    while (this.#on && !this.#paused) {
      const event = this.#queue.shift();
      if (!event) return;
      event(this.#on);
    }
  }
}

export type PairEnd = {
  router: Router;
  self: HelloInfo;
  id: string;
  refuses?: ((info: HelloInfo) => boolean) | undefined;
};

/** Links `a` (the dialling side) with `b`, greeted. Each sees the other's id as proved. */
export async function pair(a: PairEnd, b: PairEnd, clock: Clock = systemClock): Promise<[Link, Link]> {
  const [left, right] = [new PipeEnd(), new PipeEnd()];
  left.other = right;
  right.other = left;
  const log = silentLog();
  const linkA = new Link({ stream: left, router: a.router, self: a.self, peer: b.id, dialled: true, clock, log });
  const answering = { stream: right, router: b.router, self: b.self, peer: a.id, dialled: false, clock, log };
  const linkB = new Link({ ...answering, refuses: b.refuses });
  await Promise.all([linkA.start(), linkB.start()]);
  return [linkA, linkB];
}
