/**
 * Answers made of texts that are known already, written as bytes into the WebSocket frame in which they leave. One of this is for all
 * links: what comes on one link in one read is answered together, so one frame at a time is under way.
 */
import { BATCH_BYTES } from './message.ts';

/** Bytes that are had at once; a frame stands in one piece of them. */
const SLAB_BYTES = 256 * 1024;
/** Slabs that are kept for the next frames once theirs have left. */
const MOST_SPARE = 4;
/** Bytes of the longest head of a frame, unmasked (RFC 6455, section 5.2), and of the bracket before several messages. */
const BEFORE = 10 + 1;
/** Bytes of all frames but the brackets and commas. */
const MOST_BYTES = BATCH_BYTES - 2;

const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'));
const HEAD = bytesOf('{"jsonrpc":"2.0","id":');
const MIDDLE = bytesOf(',"result":');
const [COMMA, OPEN, SHUT, BRACE] = [44, 91, 93, 125];

export interface Outlet {
  /** Messages that may share a frame. */
  readonly most: number;
  /** Sends a whole frame with so many bytes of messages; `done` when its bytes are not needed any more. */
  sendFrame(frame: Buffer, bytes: number, done: () => void): void;
}

/** What an answer has around what differs: the same for each answer of a method. In ASCII. */
export class Around {
  readonly head: Uint8Array;
  readonly foot: Uint8Array;

  constructor(head: string, foot: string) {
    this.head = bytesOf(head);
    this.foot = bytesOf(foot);
  }
}

class Slab {
  readonly bytes = Buffer.allocUnsafeSlow(SLAB_BYTES);
  at = 0;
  /** Frames that have not left. */
  leaving = 0;
}

export class Answers {
  #slab = new Slab();
  readonly #spare: Slab[] = [];
  #to: Outlet | undefined;
  /** Where the messages of the frame under way begin. */
  #from = 0;
  #count = 0;
  #closing = false;

  /** From now on answers are for `to`; they leave at the end of this turn at the latest. */
  begin(to: Outlet): void {
    if (this.#to === to) return;
    this.close();
    this.#to = to;
    this.#open();
    if (this.#closing) return;
    this.#closing = true;
    setImmediate(() => {
      this.#closing = false;
      this.close();
    });
  }

  /**
   * The answer to the request whose id are the digits from `idFrom` to before `idTo` of `request`: `around` with two texts of ASCII in it.
   */
  add(request: Uint8Array, idFrom: number, idTo: number, around: Around, body: string, tail: string): void {
    const { head, foot } = around;
    const size =
      HEAD.length + idTo - idFrom + MIDDLE.length + head.length + body.length + tail.length + foot.length + 2; // a brace, a comma
    const to = this.#to;
    if (!to || size > MOST_BYTES) throw new TypeError('an answer is for somebody, and fits a frame');
    if (this.#count >= to.most || this.#slab.at - this.#from + size > MOST_BYTES) {
      this.#send(to);
      this.#open();
    }
    const { bytes } = this.#slab;
    let { at } = this.#slab;
    if (this.#count > 0) bytes[at++] = COMMA;
    at = put(bytes, at, HEAD);
    for (let n = idFrom; n < idTo; n++) bytes[at++] = request[n] ?? 0;
    at = put(bytes, at, MIDDLE);
    at = put(bytes, at, head);
    at += bytes.write(body, at, 'latin1');
    at += bytes.write(tail, at, 'latin1');
    at = put(bytes, at, foot);
    bytes[at++] = BRACE;
    this.#slab.at = at;
    this.#count += 1;
  }

  /** Sends what was said to whom it is for; `only`: if it is for them. */
  close(only?: Outlet): void {
    const to = this.#to;
    if (!to || (only && only !== to)) return;
    this.#to = undefined;
    this.#send(to);
  }

  #open(): void {
    if (this.#slab.at + BEFORE + BATCH_BYTES > SLAB_BYTES) this.#slab = this.#spare.pop() ?? new Slab();
    this.#slab.at += BEFORE;
    this.#from = this.#slab.at;
    this.#count = 0;
  }

  #send(to: Outlet): void {
    const slab = this.#slab;
    const { bytes } = slab;
    if (this.#count === 0) {
      slab.at = this.#from - BEFORE;
      return;
    }
    let from = this.#from;
    if (this.#count > 1) {
      bytes[--from] = OPEN;
      bytes[slab.at++] = SHUT;
    }
    const size = slab.at - from;
    const frame = bytes.subarray(headed(bytes, from, size), slab.at);
    slab.leaving += 1;
    to.sendFrame(frame, size, () => this.#left(slab));
  }

  #left(slab: Slab): void {
    slab.leaving -= 1;
    if (slab.leaving > 0) return;
    if (slab !== this.#slab) {
      slab.at = 0;
      if (this.#spare.length < MOST_SPARE) this.#spare.push(slab);
    } else if (!this.#to) slab.at = 0;
  }
}

function put(bytes: Uint8Array, at: number, what: Uint8Array): number {
  for (let n = 0; n < what.length; n++) bytes[at + n] = what[n] ?? 0;
  return at + what.length;
}

/** Puts the head of a text frame of so many bytes before them; gives where it begins. */
function headed(bytes: Buffer, from: number, size: number): number {
  if (size < 126) {
    bytes[from - 1] = size;
    bytes[from - 2] = 0x81;
    return from - 2;
  }
  if (size < 65_536) {
    bytes.writeUInt16BE(size, from - 2);
    bytes[from - 3] = 126;
    bytes[from - 4] = 0x81;
    return from - 4;
  }
  bytes.writeBigUInt64BE(BigInt(size), from - 8);
  bytes[from - 9] = 127;
  bytes[from - 10] = 0x81;
  return from - 10;
}
