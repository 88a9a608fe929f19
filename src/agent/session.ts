/**
 * Who may use the loopback HTTP door. Any page in the user's browser can send requests to it, and any program of any
 * user of the machine can: so a request must name this door as its host, must not come from another origin, and must
 * show a token, or the cookie of a session that a one-time link opened. [E-11]
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { chmod, readFile, rename, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import type { Access, Caller } from '../api/caller.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';

/** 256 bits: not to be guessed. */
const TOKEN_BYTES = 32;
const TOKEN_FORM = /^[A-Za-z0-9_-]{43}$/;

/** The token in this file (mode 0600); made there if there is none yet, or if the file is damaged. */
export async function loadToken(path: string, log: Log): Promise<string> {
  const kept = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw toFault(error, `reading the token "${path}"`);
  });
  const token = kept?.trim();
  if (token !== undefined && TOKEN_FORM.test(token)) {
    await chmod(path, 0o600);
    return token;
  }
  if (token !== undefined) log.warn({ path }, 'the token file is damaged: a new token replaces it');
  const fresh = randomBytes(TOKEN_BYTES).toString('base64url');
  const draft = `${path}.${process.pid}.new`;
  try {
    await writeFile(draft, `${fresh}\n`, { mode: 0o600, flush: true });
    await rename(draft, path);
  } catch (error) {
    throw toFault(error, `writing the token "${path}"`, 'unwritable');
  }
  return fresh;
}

const LOOPBACK = ['localhost', '127.0.0.1', '[::1]'];
/** A token of ours anywhere in an address. */
const TOKEN_IN_ADDRESS = /nat_[A-Za-z0-9_-]{43}/;
/** The home's own token may do everything, as the socket may. */
const OWNER = undefined;

type Options = {
  /** The home's own token. */
  token: string;
  access: Access;
  /** The port that the door is bound to, known once it listens. */
  port: () => number;
};

export class Session {
  readonly #token: Buffer;
  readonly #access: Access;
  readonly #port: () => number;

  constructor({ token, access, port }: Options) {
    this.#token = Buffer.from(token);
    this.#access = access;
    this.#port = port;
  }

  get cookie(): string {
    return this.#access.cookie;
  }

  /**
   * Throws the fault of a request that may not be made here at all, whoever makes it. `linked`: a page to which a link of any
   * other place may lead.
   */
  check(request: IncomingMessage, { linked }: { linked: boolean }): void {
    const { host, origin } = request.headers;
    const hosts = LOOPBACK.map((name) => `${name}:${this.#port()}`);
    if (host === undefined || !hosts.includes(host.toLowerCase())) {
      throw new Fault('forbidden', `asking for host "${host ?? ''}": this is not its address`);
    }
    if (origin !== undefined && !hosts.some((own) => origin.toLowerCase() === `http://${own}`)) {
      throw new Fault('forbidden', `asking from origin "${origin}": pages of other origins may not use this agent`);
    }
    const site = request.headers['sec-fetch-site'];
    const walkedIn = linked && request.method === 'GET' && request.headers['sec-fetch-mode'] === 'navigate';
    if (site !== undefined && site !== 'same-origin' && site !== 'none' && !walkedIn) {
      throw new Fault('forbidden', 'asking from another site: its pages may not use this agent');
    }
    const address = request.url ?? '';
    const query = new URL(address, 'http://localhost').searchParams;
    const shown = [...query].some(([name, value]) => /token|authorization/i.test(name) || this.#matches(value));
    if (shown || TOKEN_IN_ADDRESS.test(address)) {
      throw new Fault(
        'unauthenticated',
        'asking with a token in the address: addresses end up in logs; send it as "Authorization: Bearer ..."',
      );
    }
  }

  /** Who asks, by what they show; undefined is the owner. Throws `unauthenticated`, `forbidden`. */
  admit(request: IncomingMessage): Caller | undefined {
    const { authorization } = request.headers;
    const [, token] = /^Bearer +(\S+) *$/i.exec(authorization ?? '') ?? [];
    if (token !== undefined && this.#matches(token)) return OWNER;
    const caller = authorization === undefined ? this.#ofCookie(request) : this.#access.ofToken(token ?? '');
    if (caller) return caller;
    throw new Fault(
      'unauthenticated',
      'asking without a valid token: send one of "netapp tokens create", or the one in the home’s token file, as "Authorization: Bearer ..."',
    );
  }

  redeem(code: string): { value: string; seconds: number } {
    return this.#access.redeem(code);
  }

  /** A browser adds the cookie by itself, whichever page made it ask: so what changes something must say that a page of ours did. */
  #ofCookie(request: IncomingMessage): Caller | undefined {
    const value = cookieOf(request, this.#access.cookie);
    if (value === undefined) return undefined;
    if (request.method !== 'GET' && request.headers.origin === undefined) {
      throw new Fault('forbidden', 'asking with a session’s cookie: the request does not say which page it comes from');
    }
    return this.#access.ofCookie(value);
  }

  #matches(shown: string): boolean {
    const bytes = Buffer.from(shown);
    return bytes.length === this.#token.length && timingSafeEqual(bytes, this.#token);
  }
}

function cookieOf({ headers }: IncomingMessage, name: string): string | undefined {
  for (const pair of (headers.cookie ?? '').split(';')) {
    const [key = '', value] = pair.trim().split('=', 2);
    if (key === name) return value;
  }
  return undefined;
}
