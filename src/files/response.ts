/** Reads the answers on one HTTP/1.1 connection as they come, strictly and within bounds. [F-12] */
import { Fault } from '../base/fault.ts';

/** Bytes that a response's head may have. */
const MOST_HEAD_BYTES = 8192;

export type ResponseHead = { status: number; headers: ReadonlyMap<string, string>; length: number };

/** What is done with an answer. What these throw ends the connection. */
export type Answer = {
  head(head: ResponseHead): void;
  /** Bytes `from` to `to` of `buffer`, which is the reader's again afterwards. */
  body(buffer: Buffer, from: number, to: number): void;
  end(): void;
};

const statusLine = /^HTTP\/1\.1 (\d{3})(?: [\t\x20-\x7e\x80-\xff]*)?$/;
const headerLine = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*$/;

export class ResponseReader {
  readonly #answers: Answer[] = [];
  readonly #head = Buffer.alloc(MOST_HEAD_BYTES);
  #headBytes = 0;
  /** Bytes of the present body that are to come; undefined while a head is read. */
  #remaining: number | undefined;

  /** The next answer that comes belongs to this. */
  expect(answer: Answer): void {
    this.#answers.push(answer);
  }

  /** Takes the first `length` bytes of `buffer`. Throws `malformed`, or what an answer throws. */
  push(buffer: Buffer, length: number): void {
    let at = 0;
    while (at < length) {
      const answer = this.#answers[0];
      if (!answer) throw malformed('bytes that nobody asked for');
      if (this.#remaining === undefined) {
        at = this.#takeHead(answer, buffer, at, length);
      } else {
        const to = Math.min(length, at + this.#remaining);
        answer.body(buffer, at, to);
        this.#remaining -= to - at;
        at = to;
      }
      if (this.#remaining === 0) {
        this.#remaining = undefined;
        this.#answers.shift();
        answer.end();
      }
    }
  }

  #takeHead(answer: Answer, buffer: Buffer, from: number, length: number): number {
    const copied = buffer.copy(this.#head, this.#headBytes, from, length);
    const searchFrom = Math.max(0, this.#headBytes - 3);
    const end = this.#head.subarray(0, this.#headBytes + copied).indexOf('\r\n\r\n', searchFrom);
    if (end < 0) {
      this.#headBytes += copied;
      if (this.#headBytes >= MOST_HEAD_BYTES) throw malformed(`a head of over ${MOST_HEAD_BYTES} bytes`);
      return from + copied;
    }
    const next = from + end + 4 - this.#headBytes;
    const head = parseHead(this.#head.toString('latin1', 0, end));
    this.#headBytes = 0;
    answer.head(head);
    this.#remaining = head.length;
    return next;
  }
}

/** Throws `malformed` for what is not a head of HTTP/1.1, or does not say how long the body is. */
function parseHead(text: string): ResponseHead {
  const [first = '', ...lines] = text.split('\r\n');
  const status = Number(statusLine.exec(first)?.[1] ?? 0);
  if (status < 200) throw malformed('no status line, or an interim answer');
  const headers = new Map<string, string>();
  for (const line of lines) {
    const match = headerLine.exec(line);
    const name = match?.[1]?.toLowerCase();
    if (!name) throw malformed('a header line that is none');
    if (headers.has(name) && name.startsWith('content-')) throw malformed(`"${name}" twice`);
    headers.set(name, match?.[2] ?? '');
  }
  const length = headers.get('content-length');
  const isWhole = length !== undefined && /^\d{1,15}$/.test(length) && !headers.has('transfer-encoding');
  // A refusal may come in any form: whoever takes it looks at the head alone, and hangs up.
  if (!isWhole && status < 300) throw malformed('no exact content-length');
  return { status, headers, length: isWhole && status !== 304 ? Number(length) : 0 };
}

const malformed = (what: string): Fault => new Fault('malformed', `reading an HTTP answer: ${what}`);
