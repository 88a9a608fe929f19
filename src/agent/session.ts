/**
 * Who may use the loopback HTTP door. Any page in the user's browser can send requests to it, and any program of any
 * user of the machine can: so a request must name this door as its host, must not come from another origin, and must
 * show the token, which only the home's owner can read.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { chmod, readFile, rename, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
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

export class Session {
  readonly #token: Buffer;
  readonly #port: () => number;

  /** `port`: the one that the door is bound to, known once it listens. */
  constructor(token: string, port: () => number) {
    this.#token = Buffer.from(token);
    this.#port = port;
  }

  /** Throws the fault of a request that may not pass. */
  admit(request: IncomingMessage, { open }: { open: boolean }): void {
    const { host, origin, authorization } = request.headers;
    const hosts = LOOPBACK.map((name) => `${name}:${this.#port()}`);
    if (host === undefined || !hosts.includes(host.toLowerCase())) {
      throw new Fault('forbidden', `asking for host "${host ?? ''}": this is not its address`);
    }
    if (origin !== undefined && !hosts.some((own) => origin.toLowerCase() === `http://${own}`)) {
      throw new Fault('forbidden', `asking from origin "${origin}": pages of other origins may not use this agent`);
    }
    const site = request.headers['sec-fetch-site'];
    if (site !== undefined && site !== 'same-origin' && site !== 'none') {
      throw new Fault('forbidden', 'asking from another site: its pages may not use this agent');
    }
    const query = new URL(request.url ?? '/', 'http://localhost').searchParams;
    for (const [name, value] of query) {
      if (/token|authorization/i.test(name) || this.#matches(value)) {
        throw new Fault(
          'unauthenticated',
          'asking with a token in the address: addresses end up in logs; send it as "Authorization: Bearer ..."',
        );
      }
    }
    if (open) return;
    const [, shown] = /^Bearer +(\S+) *$/i.exec(authorization ?? '') ?? [];
    if (shown === undefined || !this.#matches(shown)) {
      throw new Fault(
        'unauthenticated',
        'asking without a valid token: send the one in the home’s token file as "Authorization: Bearer ..."',
      );
    }
  }

  #matches(shown: string): boolean {
    const bytes = Buffer.from(shown);
    return bytes.length === this.#token.length && timingSafeEqual(bytes, this.#token);
  }
}
