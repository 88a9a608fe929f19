/** Whom the HTTP door lets in: programs by token, browsers by a cookie that a one-time code was changed for. [E-13] */
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { Store } from '../base/sqlite.ts';
import { type Pass, Passes } from './passes.ts';

/** How a token of ours begins, so that scanners for leaked secrets and people know one. */
const TOKEN_PREFIX = 'nat_';
/** Milliseconds that a one-time code works: long enough to reach the browser, too short to be found later. */
const CODE_MS = 120_000;
/** Codes that wait at once; the oldest gives way. */
const MOST_CODES = 16;
const KEY_BYTES = 32;

type Waiting = { scopes: readonly string[]; ttlMs: number; until: number };

type Admitted = { name: string; scopes: readonly string[]; signal: AbortSignal };

export class Doorkeeper implements Disposable {
  /** Name of the cookie: one for each account, as cookies do not tell ports apart. */
  readonly cookie: string;
  readonly #passes: Passes;
  readonly #clock: Clock;
  readonly #codes = new Map<string, Waiting>();
  readonly #key: Uint8Array;

  constructor(options: { store: Store; clock: Clock; account: string }) {
    const { store, clock, account } = options;
    this.#clock = clock;
    this.#passes = new Passes(store, clock);
    this.cookie = `netapp_${account.slice(0, 8)}`;
    store.migrate('doorkeeper', ['CREATE TABLE cookie_key (key BLOB NOT NULL) STRICT']);
    this.#key = store.transaction(() => {
      const kept = store.prepare<{ key: Uint8Array }>('SELECT key FROM cookie_key').get();
      if (kept) return kept.key;
      const made = randomBytes(KEY_BYTES);
      store.prepare('INSERT INTO cookie_key (key) VALUES (?)').run(made);
      return made;
    });
  }

  [Symbol.dispose](): void {
    this.#passes[Symbol.dispose]();
  }

  createToken(options: { scopes: readonly string[]; ttlMs: number; name: string }): Pass & { token: string } {
    const { secret, ...pass } = this.#passes.create('token', options);
    return { ...pass, token: `${TOKEN_PREFIX}${secret}` };
  }

  tokens(): Pass[] {
    return this.#passes.list('token');
  }

  revoke(id: string): Pass {
    return this.#passes.end('token', id);
  }

  sessions(): Pass[] {
    return this.#passes.list('session');
  }

  endSession(id: string): Pass {
    return this.#passes.end('session', id);
  }

  ofToken(token: string): Admitted | undefined {
    if (!token.startsWith(TOKEN_PREFIX)) return undefined;
    const pass = this.#passes.find('token', token.slice(TOKEN_PREFIX.length));
    return pass && { name: `the token "${pass.name || pass.id}"`, scopes: pass.scopes, signal: pass.signal };
  }

  /** `SECRET.SIGNATURE`: what was not signed here is refused before anything is looked up. */
  ofCookie(value: string): Admitted | undefined {
    const [secret = '', signature = ''] = value.split('.');
    const shown = Buffer.from(signature, 'base64url');
    const meant = this.#sign(secret);
    if (shown.length !== meant.length || !timingSafeEqual(shown, meant)) return undefined;
    const pass = this.#passes.find('session', secret);
    return pass && { name: `the session "${pass.id}"`, scopes: pass.scopes, signal: pass.signal };
  }

  /** A code that opens one session, once, within two minutes. */
  issue(options: { scopes: readonly string[]; ttlMs: number }): { code: string; until: number } {
    const until = this.#clock.now() + CODE_MS;
    const code = randomBytes(KEY_BYTES).toString('base64url');
    const [oldest] = this.#codes.keys();
    if (this.#codes.size >= MOST_CODES && oldest !== undefined) this.#codes.delete(oldest);
    this.#codes.set(digest(code), { ...options, until });
    return { code, until };
  }

  /** Throws `unauthenticated` for a code that there is not, or no more. */
  redeem(code: string): { value: string; seconds: number } {
    const waiting = this.#codes.get(digest(code));
    this.#codes.delete(digest(code));
    if (!waiting || waiting.until <= this.#clock.now()) {
      throw new Fault(
        'unauthenticated',
        'opening a session: this link was used already, or its time is over; get a new one with "netapp open"',
      );
    }
    const { scopes, ttlMs } = waiting;
    const { secret } = this.#passes.create('session', { name: '', scopes, ttlMs });
    return { value: `${secret}.${this.#sign(secret).toString('base64url')}`, seconds: Math.floor(ttlMs / 1000) };
  }

  #sign(secret: string): Buffer {
    return createHmac('sha256', this.#key).update(secret).digest();
  }
}

const digest = (code: string): string => createHash('sha256').update(code).digest('base64url');
