/** One account's line in a tracker's table. Kept small, for there may be a million of them, and ready to be told. */
import { crc32 } from 'node:zlib';
import { type DirectoryRecord, record } from './record.ts';

export type Row = {
  /** The record's. */
  readonly account: string;
  readonly record: DirectoryRecord;
  /** Addresses that the tracker reached. */
  readonly verified: readonly string[];
  /** Host that the announcing link came from. */
  readonly observed: string;
  readonly online: boolean;
  /** Unix milliseconds. */
  readonly lastSeen: number;
  /** Counter of the version that last changed what others see of it. */
  readonly changed: number;
};

/** A row as it stands on the disk; `verified` in JSON. */
export type Stored = {
  record: string;
  verified: string;
  observed: string;
  online: boolean;
  lastSeen: number;
  /** Of the record's text, when it was written; undefined for rows of before that. */
  sum: number | undefined;
};

/** How the text of every record begins here, as it does when it comes out of its schema. */
const head = /^\{"handle":"([a-z0-9._@-]+)","account":"([a-z2-7]{52})","node":"([a-z2-7]{52})",/;

/** One byte a character, which is half the memory and quicker to send; JSON can say the rest so, too. */
const textOf = ({ handle, account, node, ...rest }: DirectoryRecord): string =>
  JSON.stringify({ handle, account, node, ...rest }).replace(
    /[\u0080-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

/**
 * A row that changes. Its record is kept as the JSON text that answers carry and the disk holds, and parsed when somebody wants to look
 * into it: parsed it would take as much again, and lookups would encode it each time.
 */
export class LiveRow implements Row {
  account = '';
  handle = '';
  node = '';
  changed = 0;
  /** Its place in the table, while it is there. */
  number = 0;
  /** Unix milliseconds at which it goes offline, if nothing is heard until then. */
  expires = 0;
  /** The link that announced it; undefined when that has ended. */
  owner: object | undefined;
  #text = '';
  #verified: string;
  #observed: string;
  #online: boolean;
  #lastSeen: number;
  #eyes = '';
  #told = '';

  private constructor(
    { record, verified, observed, online, lastSeen }: Omit<Stored, 'sum'>,
    copy: (part: string) => string,
  ) {
    this.#say(record, copy);
    this.#verified = verified;
    this.#observed = observed;
    this.#online = online;
    this.#lastSeen = lastSeen;
  }

  static of(said: DirectoryRecord, state: Pick<Row, 'verified' | 'observed' | 'online' | 'lastSeen'>): LiveRow {
    return new LiveRow({ ...state, record: textOf(said), verified: JSON.stringify(state.verified) }, kept(said));
  }

  /**
   * What was written is what comes back where the sum says so, and undefined where it says that it is not; without one, as
   * older versions wrote it, it is read word by word. `copies`: nothing of it is to be a part of a longer text, which a part keeps
   * in memory; many rows may be, for to make parts is quicker.
   */
  static from(stored: Stored, copies: boolean): LiveRow | undefined {
    const { sum } = stored;
    if (sum !== undefined) {
      if (sum !== crc32(stored.record)) return undefined;
      if (!copies) return new LiveRow(stored, asRead);
      const [record, verified, observed] = [copied(stored.record), copied(stored.verified), copied(stored.observed)];
      return new LiveRow({ ...stored, record, verified, observed }, copied);
    }
    const said = record.safeParse(parseJson(stored.record));
    const verified = parseJson(stored.verified);
    if (!said.success || !Array.isArray(verified)) return undefined;
    return LiveRow.of(said.data, { ...stored, verified: verified.map(String) });
  }

  get stored(): Stored {
    return {
      record: this.#text,
      verified: this.#verified,
      observed: this.#observed,
      online: this.#online,
      lastSeen: this.#lastSeen,
      sum: crc32(this.#text),
    };
  }

  /** The record in JSON. */
  get text(): string {
    return this.#text;
  }

  #say(text: string, copy: (part: string) => string): void {
    const [, handle, account, node] = head.exec(text) ?? [];
    if (handle === undefined || account === undefined || node === undefined) {
      throw new TypeError('the text of a record begins with its handle, account and node');
    }
    if (this.handle !== handle) this.handle = copy(handle);
    if (this.account !== account) this.account = copy(account);
    if (this.node !== node) this.node = copy(node);
    this.#text = text;
    this.#eyes = '';
  }

  get record(): DirectoryRecord {
    return JSON.parse(this.#text) as DirectoryRecord; // nothing else is ever made a text here
  }

  set record(said: DirectoryRecord) {
    this.#say(textOf(said), kept(said));
  }

  get verified(): readonly string[] {
    return JSON.parse(this.#verified) as string[]; // as above
  }

  set verified(verified: readonly string[]) {
    this.#verified = JSON.stringify(verified);
    this.#eyes = '';
  }

  get observed(): string {
    return this.#observed;
  }

  set observed(observed: string) {
    this.#observed = observed;
    this.#eyes = '';
  }

  get online(): boolean {
    return this.#online;
  }

  set online(online: boolean) {
    this.#online = online;
    this.#eyes = '';
  }

  get lastSeen(): number {
    return this.#lastSeen;
  }

  set lastSeen(lastSeen: number) {
    this.#lastSeen = lastSeen;
    this.#eyes = '';
  }

  /** What was told to these eyes last, unless the row has changed since: most who ask see the same. */
  toldTo(eyes: string): string | undefined {
    return this.#eyes === eyes ? this.#told : undefined;
  }

  tell(eyes: string, text: string): void {
    this.#told = copied(text);
    this.#eyes = eyes;
    // They are compared with from now on, and of parts that takes longer.
    this.#observed = copied(this.#observed);
    this.handle = copied(this.handle);
  }
}

/** What is cut out of a text keeps all of that text in memory, and these outlive it. */
const copied = (part: string): string => Buffer.from(part, 'latin1').toString('latin1');

/** Ids as the record has them, which its link has, too. */
const kept =
  ({ account, node }: DirectoryRecord) =>
  (part: string): string =>
    part === account ? account : part === node ? node : copied(part);

/** What a start reads stays in memory mostly, and parts of it cost less than copies. */
const asRead = (part: string): string => part;

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
