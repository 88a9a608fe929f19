/**
 * TLS sessions to resume: a connection that is dialled again costs neither side a signature. [L-6]
 *
 * In a resumed session the other side shows no certificate; what it proves is that it knows the secret of the session. So a
 * session is kept only once the expected key was proved in it, under that key and the address, and is offered to nobody else.
 */
import type { Identity } from './certificate.ts';

/** Sessions kept: of the trackers, or of the nodes, that were dialled last. One is about 1 KiB. */
const MOST_SESSIONS = 64;
/** Seconds that a session may be resumed; TLS 1.3 allows a week, and a machine that slept longer can sign once. */
const SESSION_S = 24 * 3600;

export class Sessions {
  readonly #kept = new Map<string, Buffer>();

  get(peer: string, address: string): Buffer | undefined {
    return this.#kept.get(`${peer} ${address}`);
  }

  /** Only for a session in which `peer` was proved. The oldest gives way at the bound. */
  keep(peer: string, address: string, session: Buffer): void {
    const key = `${peer} ${address}`;
    this.#kept.delete(key);
    this.#kept.set(key, session);
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= MOST_SESSIONS) return;
      this.#kept.delete(oldest);
    }
  }
}

/**
 * How a side that is called gives sessions out: sealed with keys made from its own, so that they outlive a restart and hold at each
 * process that has the key, and nothing is kept for them.
 */
export function ticketsOf({ key, id }: Identity): {
  ticketKeys: Buffer;
  sessionIdContext: string;
  sessionTimeout: number;
} {
  // 16 bytes of name, 16 of HMAC key, 16 of AES key, as OpenSSL wants them; a context has at most 32 characters.
  return {
    ticketKeys: Buffer.from(key.derive('tickets', 48)),
    sessionIdContext: id.slice(0, 32),
    sessionTimeout: SESSION_S,
  };
}
