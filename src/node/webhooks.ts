/** The webhooks of a node. */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { toBase32 } from '../base/encoding.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Store } from '../base/sqlite.ts';
import { WEBHOOK_SECRET_PREFIX } from '../base/webhook.ts';
import type { EventLog } from './events.ts';
import { checkTarget } from './post.ts';
import { failureOf, type HookState, Webhook, type WebhookOptions } from './webhook.ts';
import { type DeadLetter, type Hook, WebhookStore } from './webhook-store.ts';

/** Each follows the log by itself; more is a program that runs wild. */
const MOST = 64;
const SECRET_BYTES = 32;
const ID_BYTES = 5;

export type WebhookInfo = Omit<Hook, 'secret'> & HookState & { dead: number };

type Wait = { signal?: AbortSignal | undefined };

type Options = {
  store: Store;
  events: EventLog;
  /** Hosts beside this machine that may be posted to. */
  targets: readonly string[];
  clock: Clock;
  log: Log;
} & Pick<WebhookOptions, 'retry'>;

export class Webhooks implements AsyncDisposable {
  readonly #options: Options;
  readonly #store: WebhookStore;
  readonly #hooks = new Map<string, Webhook>();
  readonly #replaying = new Set<string>();

  constructor(options: Options) {
    this.#options = options;
    this.#store = new WebhookStore(options.store);
  }

  start(): void {
    for (const hook of this.#store.all()) this.#open(hook);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#hooks.values()].map((hook) => hook[Symbol.asyncDispose]()));
    this.#hooks.clear();
  }

  /** Gets what happens from now on. Throws `invalid_argument`, `forbidden`, `too_many`. */
  create(url: string, match: readonly string[]): WebhookInfo & { secret: string } {
    const { events, targets, clock } = this.#options;
    const { href } = checkTarget(url, targets);
    if (this.#hooks.size >= MOST) throw new Fault('too_many', `making a webhook: there are ${MOST} already`);
    const secret = `${WEBHOOK_SECRET_PREFIX}${randomBytes(SECRET_BYTES).toString('base64')}`;
    const id = toBase32(randomBytes(ID_BYTES));
    const hook = { id, url: href, match, secret, at: clock.now(), cursor: events.last, delivered: 0 };
    this.#store.add(hook);
    return { ...this.#infoOf(this.#open(hook)), secret };
  }

  list(): WebhookInfo[] {
    return [...this.#hooks.values()].map((hook) => this.#infoOf(hook));
  }

  /** Throws `unknown_id`. */
  show(id: string): WebhookInfo {
    return this.#infoOf(this.#find(id));
  }

  async remove(id: string): Promise<WebhookInfo> {
    const hook = this.#find(id);
    const info = this.#infoOf(hook);
    this.#hooks.delete(hook.hook.id);
    await hook[Symbol.asyncDispose]();
    this.#store.remove(hook.hook.id);
    return info;
  }

  /** Posts one event of type `webhook.test`, beside the others. */
  async test(id: string, { signal }: Wait) {
    const hook = this.#find(id);
    const { cursor } = hook.hook;
    const at = new Date(this.#options.clock.now()).toISOString();
    const body = JSON.stringify({ type: 'webhook.test', timestamp: at, cursor, data: {} });
    const letter = { ...hook.letter(cursor, body), id: `${hook.hook.id}-test-${toBase32(randomBytes(ID_BYTES))}` };
    const before = performance.now();
    const ms = (): number => Math.round(performance.now() - before);
    try {
      const { status } = await hook.send(letter, signal);
      const failure = failureOf(status);
      return { delivered: !failure, status, ms: ms(), error: failure?.fault ?? null };
    } catch (error) {
      if (signal?.aborted) throw error;
      return { delivered: false, status: null, ms: ms(), error: toFault(error, 'posting the test event') };
    }
  }

  dead(id: string): DeadLetter[] {
    return this.#store.dead(this.#find(id).hook.id);
  }

  /** Posts dead letters again, the oldest first, until one is not taken. What was lost from the log cannot be posted. */
  async replay(id: string, { letter, signal }: Wait & { letter?: number | undefined }) {
    const hook = this.#find(id);
    const own = hook.hook.id;
    const letters = this.#store.dead(own).filter((dead) => letter === undefined || dead.letter === letter);
    if (letter !== undefined && letters.length === 0) {
      throw new Fault('unknown_id', `replaying the dead letter ${letter} of "${own}": there is none with this number`);
    }
    if (this.#replaying.has(own)) {
      throw new Fault('too_many', `replaying the dead letters of "${own}": they are being replayed already`);
    }
    this.#replaying.add(own);
    let replayed = 0;
    let error: Fault | null = null;
    try {
      for (const dead of letters) {
        if (dead.body !== null) {
          error = await sent(hook, dead.cursor, dead.body, signal);
          if (error) break;
          replayed += 1;
        }
        this.#store.unbury(own, dead.letter);
      }
    } finally {
      this.#replaying.delete(own);
    }
    return { replayed, left: this.#store.deadCount(own), error };
  }

  #open(hook: Hook): Webhook {
    const { events, targets, clock, log, retry } = this.#options;
    const opened = new Webhook({ hook, store: this.#store, events, targets, clock, log, retry });
    this.#hooks.set(hook.id, opened);
    opened.start();
    return opened;
  }

  #find(id: string): Webhook {
    const found = id.length < 4 ? [] : [...this.#hooks].filter(([own]) => own.startsWith(id));
    const [only] = found;
    if (only && found.length === 1) return only[1];
    throw new Fault(
      'unknown_id',
      `finding the webhook "${id}": there is none with this id; see "netapp webhooks list"`,
    );
  }

  #infoOf(webhook: Webhook): WebhookInfo {
    const { secret: _, ...hook } = webhook.hook;
    return { ...hook, ...webhook.state, dead: this.#store.deadCount(hook.id) };
  }
}

async function sent(
  hook: Webhook,
  cursor: number,
  body: string,
  signal: AbortSignal | undefined,
): Promise<Fault | null> {
  try {
    const { status } = await hook.send(hook.letter(cursor, body), signal);
    return failureOf(status)?.fault ?? null;
  } catch (error) {
    if (signal?.aborted) throw error;
    return toFault(error, 'posting a dead letter');
  }
}
