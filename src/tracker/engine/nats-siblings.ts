/** The other processes of a cluster: each says every second that it is there, and at its end that it goes. */
import { randomUUID } from 'node:crypto';
import type { NatsConnection, Subscription } from '@nats-io/transport-node';
import { z } from 'zod';
import { abortable } from '../../base/async.ts';
import { Fault, toFault } from '../../base/fault.ts';
import type { Siblings } from '../../base/shared-log.ts';

const SIGN_MS = 1000;
/** Milliseconds of silence after which a process counts as gone, and with it the links that it had. */
const GONE_MS = 5000;
/** Milliseconds that another process has to answer: it may have to ask a node. */
const ASK_MS = 9000;

const sign = z.object({ process: z.string(), leaving: z.boolean() });

export class NatsSiblings implements Siblings, Disposable {
  readonly self: string = randomUUID();
  readonly #connection: NatsConnection;
  readonly #base: string;
  readonly #subject: string;
  readonly #subscription: Subscription;
  readonly #topics = new Map<string, (text: string) => Promise<string>>();
  readonly #asked: Subscription;
  readonly #timer: NodeJS.Timeout;
  /** When each was heard last, by a clock that no one sets. */
  readonly #heard = new Map<string, number>();
  readonly #left = new Set<string>();
  #connectedAt: number | undefined = performance.now();
  #ticked = performance.now();

  /** `base`: what the subjects of this cluster begin with. */
  constructor(connection: NatsConnection, base: string) {
    this.#connection = connection;
    this.#base = base;
    this.#subject = `${base}.alive`;
    this.#asked = connection.subscribe(`${base}.ask.${this.self}.*`, {
      callback: (error, message) => {
        if (error) return;
        const reply = this.#topics.get(message.subject.split('.').at(-1) ?? '');
        void reply?.(message.string()).then((text) => message.respond(text));
      },
    });
    this.#subscription = connection.subscribe(this.#subject, {
      callback: (error, message) => {
        if (!error) this.#take(message.string());
      },
    });
    this.#timer = setInterval(() => this.#tick(), SIGN_MS).unref();
    this.#say(false);
  }

  #tick(): void {
    const now = performance.now();
    // This process stood still, as a laptop that slept: what the others said meanwhile is yet to be heard.
    if (now - this.#ticked > GONE_MS / 2 && this.#connectedAt !== undefined) this.#connectedAt = now;
    this.#ticked = now;
    this.#say(false);
  }

  #say(leaving: boolean): void {
    if (this.#connectedAt === undefined || this.#connection.isClosed()) return;
    this.#connection.publish(this.#subject, JSON.stringify({ process: this.self, leaving }));
  }

  #take(text: string): void {
    const parsed = sign.safeParse(parseJson(text));
    if (!parsed.success || parsed.data.process === this.self) return;
    const { process, leaving } = parsed.data;
    if (leaving) this.#left.add(process);
    else this.#heard.set(process, performance.now());
  }

  /** This process hears the others, or does not; silence counts only while it does. */
  set connected(is: boolean) {
    this.#connectedAt = is ? performance.now() : undefined;
    if (is) this.#say(false);
  }

  isGone(process: string): boolean {
    if (process === this.self || this.#connectedAt === undefined) return false;
    if (this.#left.has(process)) return true;
    const since = Math.max(this.#heard.get(process) ?? 0, this.#connectedAt);
    return performance.now() - since > GONE_MS && performance.now() - this.#ticked < GONE_MS / 2;
  }

  async ask(
    process: string,
    topic: string,
    text: string,
    { signal }: { signal?: AbortSignal | undefined } = {},
  ): Promise<string> {
    const what = 'asking another process of this tracker';
    if (this.isGone(process)) throw new Fault('tracker_down', `${what}: it is gone`);
    try {
      const asked = this.#connection.request(`${this.#base}.ask.${process}.${topic}`, text, { timeout: ASK_MS });
      return (await abortable(asked, signal)).string();
    } catch (error) {
      if (error instanceof Fault) throw error;
      throw new Fault('tracker_down', `${what}: ${toFault(error).message}`, { cause: error }); // nobody answers, or NATS is away
    }
  }

  answer(topic: string, reply: (text: string) => Promise<string>): void {
    this.#topics.set(topic, reply);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#say(true);
    this.#asked.unsubscribe();
    this.#subscription.unsubscribe();
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
