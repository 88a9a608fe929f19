/**
 * The one error type of the program: a closed code, and a sentence for people.
 *
 * Code never matches on a message's text; it matches on `code`. What a code means on each door (JSON-RPC, HTTP, exit
 * code, worth a retry) stands once, in `FAULTS`.
 */

/** What a fault code means at every door. */
type Meaning = {
  /** JSON-RPC 2.0 error code (section 5.1 of its specification; -32000 and below are the application's). */
  rpc: number;
  /** HTTP status. */
  http: number;
  /** Exit code of the command line: one for each code, so that scripts can tell them apart. */
  exit: number;
  /** Whether the same request may succeed later without anybody changing anything. */
  retry: boolean;
  /** For help and docs. */
  means: string;
};

export const FAULTS = {
  internal: { rpc: -32603, http: 500, exit: 1, retry: false, means: 'a defect in NetApp' },
  invalid_argument: {
    rpc: -32602,
    http: 400,
    exit: 2,
    retry: false,
    means: 'an argument is missing or not of its form',
  },
  unknown_operation: {
    rpc: -32601,
    http: 404,
    exit: 3,
    retry: false,
    means: 'there is no such command, path or method',
  },

  unknown_handle: { rpc: -32010, http: 404, exit: 10, retry: false, means: 'nobody is known by this handle or id' },
  unknown_id: {
    rpc: -32011,
    http: 404,
    exit: 11,
    retry: false,
    means: 'there is no message, file or job with this id',
  },
  cursor_gone: {
    rpc: -32015,
    http: 410,
    exit: 15,
    retry: false,
    means: 'events after this cursor are no longer kept',
  },
  unknown_zone: { rpc: -32012, http: 404, exit: 12, retry: false, means: 'no tracker known here serves this zone' },

  name_taken: { rpc: -32020, http: 409, exit: 20, retry: false, means: 'the handle belongs to another key' },
  agent_running: { rpc: -32021, http: 409, exit: 21, retry: false, means: 'another agent runs on this home' },
  wrong_state: {
    rpc: -32022,
    http: 409,
    exit: 22,
    retry: false,
    means: 'the thing is not in a state that allows this',
  },
  port_taken: { rpc: -32023, http: 409, exit: 23, retry: false, means: 'another program listens on this port' },
  exists: { rpc: -32024, http: 409, exit: 24, retry: false, means: 'something of this name is already there' },
  key_changed: {
    rpc: -32025,
    http: 409,
    exit: 25,
    retry: false,
    means: 'the handle is now shown with another key than the one seen first',
  },
  key_reused: {
    rpc: -32026,
    http: 422,
    exit: 26,
    retry: false,
    means: 'the idempotency key was used for another request',
  },

  renamed: { rpc: -32027, http: 409, exit: 27, retry: false, means: 'an admin of its zone has renamed the handle' },

  unauthenticated: { rpc: -32030, http: 401, exit: 30, retry: false, means: 'no valid token or certificate was shown' },
  forbidden: { rpc: -32031, http: 403, exit: 31, retry: false, means: 'who asked may not do this' },
  wrong_key: { rpc: -32032, http: 403, exit: 32, retry: false, means: 'the other side has another key than expected' },
  bad_invite: { rpc: -32033, http: 400, exit: 33, retry: false, means: 'the invite link cannot be read' },
  bad_signature: { rpc: -32034, http: 403, exit: 34, retry: false, means: 'a signature does not match what it signs' },
  bad_referral: {
    rpc: -32036,
    http: 502,
    exit: 36,
    retry: false,
    means: 'a tracker sent the asker where it may not send anybody',
  },
  forked: { rpc: -32035, http: 409, exit: 35, retry: false, means: 'an author’s log has two entries in one place' },

  revoked: { rpc: -32037, http: 403, exit: 37, retry: false, means: 'an admin of its zone has revoked the handle' },
  not_invited: {
    rpc: -32038,
    http: 403,
    exit: 38,
    retry: false,
    means: 'the zone takes newcomers by invite alone, or not at all',
  },

  tracker_down: { rpc: -32040, http: 503, exit: 40, retry: true, means: 'no tracker answers' },
  peer_unreachable: { rpc: -32041, http: 503, exit: 41, retry: true, means: 'none of the peer’s addresses answers' },
  agent_down: { rpc: -32042, http: 503, exit: 42, retry: true, means: 'no agent runs on this home' },
  timeout: { rpc: -32043, http: 504, exit: 43, retry: true, means: 'no answer within the deadline' },
  link_closed: { rpc: -32044, http: 503, exit: 44, retry: true, means: 'the connection ended before the answer' },
  cancelled: { rpc: -32045, http: 409, exit: 45, retry: false, means: 'it was cancelled' },
  clock_ahead: { rpc: -32046, http: 409, exit: 46, retry: true, means: 'one of the two clocks is wrong by minutes' },
  hold_expired: { rpc: -32047, http: 504, exit: 47, retry: true, means: 'nobody took it while it was held for them' },

  disk_full: { rpc: -32050, http: 507, exit: 50, retry: true, means: 'no room is left on the disk' },
  unreadable: { rpc: -32051, http: 400, exit: 51, retry: false, means: 'a file or folder cannot be read' },
  unwritable: { rpc: -32052, http: 507, exit: 52, retry: false, means: 'a file or folder cannot be written' },
  corrupt: { rpc: -32053, http: 500, exit: 53, retry: false, means: 'a stored file is damaged' },
  changed: { rpc: -32054, http: 409, exit: 54, retry: false, means: 'a file changed after it was offered' },
  old_node: { rpc: -32055, http: 500, exit: 55, retry: false, means: 'this Node.js is too old, or npm is missing' },

  malformed: { rpc: -32700, http: 400, exit: 60, retry: false, means: 'bytes that are not of the protocol' },
  too_large: { rpc: -32061, http: 413, exit: 61, retry: false, means: 'more bytes than the bound allows' },
  unsupported_version: {
    rpc: -32062,
    http: 426,
    exit: 62,
    retry: false,
    means: 'the other side speaks another version',
  },
  hash_mismatch: { rpc: -32063, http: 502, exit: 63, retry: true, means: 'the data is not what its hash says' },
  bad_name: { rpc: -32064, http: 400, exit: 64, retry: false, means: 'a file name that is not safe to write' },

  too_many: { rpc: -32070, http: 429, exit: 70, retry: true, means: 'more requests at once than allowed' },
  queue_full: { rpc: -32071, http: 503, exit: 71, retry: true, means: 'a queue is at its bound' },
} as const satisfies Record<string, Meaning>;

export type FaultCode = keyof typeof FAULTS;

const byRpc = new Map<number, FaultCode>(
  (Object.keys(FAULTS) as FaultCode[]).map((code) => [FAULTS[code].rpc, code]), // keys of the table are its codes
);

/** The fault code of a JSON-RPC error code; `internal` for one that this version does not know. */
export function faultCodeOfRpc(rpc: number): FaultCode {
  return byRpc.get(rpc) ?? 'internal';
}

export function isFaultCode(value: unknown): value is FaultCode {
  return typeof value === 'string' && Object.hasOwn(FAULTS, value);
}

/** An error with a closed code. `message` reads: what was tried, the quoted value, a colon, what is so, what to do. */
export class Fault extends Error {
  override readonly name = 'Fault';
  readonly code: FaultCode;
  /** Machine-readable particulars, small and without secrets. */
  readonly data: Record<string, unknown> | undefined;

  constructor(code: FaultCode, message: string, options?: { cause?: unknown; data?: Record<string, unknown> }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.data = options?.data;
  }

  get retry(): boolean {
    return FAULTS[this.code].retry;
  }

  toJSON(): { code: FaultCode; message: string; data?: Record<string, unknown> } {
    return { code: this.code, message: this.message, ...(this.data && { data: this.data }) };
  }
}

const errnoCodes: Record<string, FaultCode> = {
  ENOSPC: 'disk_full',
  EDQUOT: 'disk_full',
  ENOENT: 'unreadable',
  EACCES: 'unreadable',
  EPERM: 'unreadable',
  EISDIR: 'unreadable',
  ENOTDIR: 'unreadable',
  EROFS: 'unwritable',
  EADDRINUSE: 'port_taken',
  ECONNREFUSED: 'peer_unreachable',
  ECONNRESET: 'link_closed',
  EPIPE: 'link_closed',
  EHOSTUNREACH: 'peer_unreachable',
  ENETUNREACH: 'peer_unreachable',
  ENOTFOUND: 'peer_unreachable',
  ETIMEDOUT: 'timeout',
  ABORT_ERR: 'cancelled',
};

function codeOf(error: unknown): FaultCode {
  if (!(error instanceof Error)) return 'internal';
  if (error.name === 'TimeoutError') return 'timeout';
  if (error.name === 'AbortError') return 'cancelled';
  const { code, errcode } = error as { code?: unknown; errcode?: unknown }; // Node's system and SQLite errors
  // SQLite's primary result codes (https://sqlite.org/rescode.html): 8 READONLY, 11 CORRUPT, 13 FULL, 26 NOTADB.
  if (code === 'ERR_SQLITE_ERROR' && typeof errcode === 'number') {
    const bySqlite: Record<number, FaultCode> = { 8: 'unwritable', 11: 'corrupt', 13: 'disk_full', 26: 'corrupt' };
    // 778 is SQLITE_IOERR_WRITE, which a full disk gives where SQLite cannot tell it from other failures.
    return errcode === 778 ? 'disk_full' : (bySqlite[errcode & 0xff] ?? 'internal');
  }
  return typeof code === 'string' ? (errnoCodes[code] ?? 'internal') : 'internal';
}

/**
 * Any thrown value as a `Fault`: itself if it is one, else the code that its system error stands for.
 * `what` says what was tried, e.g. `reading "/a/b"`; the value's own message follows it.
 */
export function toFault(error: unknown, what?: string, fallback: FaultCode = 'internal'): Fault {
  if (error instanceof Fault) return error;
  const message = error instanceof Error ? error.message : String(error);
  const found = codeOf(error);
  // The system names what it refused, not what was tried: a denied write comes as the same error as a denied read.
  const code = found === 'internal' || (found === 'unreadable' && fallback === 'unwritable') ? fallback : found;
  return new Fault(code, what ? `${what}: ${message}` : message, { cause: error });
}
