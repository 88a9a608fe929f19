/** What this node says about its own account, ready to be signed. */
import type { Clock } from '../base/clock.ts';
import type { Key } from '../link/identity.ts';
import { sealingKey } from '../link/seal.ts';
import { TTL_MS } from './messages.ts';
import { type DirectoryRecord, MOST_ADDRESSES, type PresentStatus, signRecord } from './record.ts';

export class OwnRecord {
  readonly account: Key;
  readonly node: string;
  readonly seal: string;
  /** Told of a new handle, once it is used. */
  onRename: (handle: string) => void = () => {};
  readonly hosted: boolean;
  status: PresentStatus = 'online';
  text = '';
  readonly #addresses: () => readonly string[];
  readonly #clock: Clock;
  #handle: string;
  #seq = 0;

  constructor(options: {
    account: Key;
    handle: string;
    node: string;
    addresses: () => readonly string[];
    clock: Clock;
    /** One of many accounts of the node. */
    hosted?: boolean;
  }) {
    this.account = options.account;
    this.#handle = options.handle;
    this.node = options.node;
    this.seal = sealingKey(options.account);
    this.hosted = options.hosted ?? false;
    this.#addresses = options.addresses;
    this.#clock = options.clock;
  }

  /** `name@zone`, as a tracker of the zone knows it. */
  get handle(): string {
    return this.#handle;
  }

  /** The same account by another handle. */
  as(handle: string): OwnRecord {
    const { account, node, hosted, status, text } = this;
    const own = new OwnRecord({ account, node, hosted, handle, addresses: this.#addresses, clock: this.#clock });
    own.status = status;
    own.text = text;
    return own;
  }

  /** An admin of the zone has renamed it, or it has gone to another zone. */
  rename(handle: string): void {
    this.#handle = handle;
    this.onRename(handle);
  }

  /** `host:port` of this node, the first 8 of them. */
  get addresses(): string[] {
    return [...new Set(this.#addresses())].slice(0, MOST_ADDRESSES);
  }

  /** Unix milliseconds by this machine’s clock. */
  now(): number {
    return this.#clock.now();
  }

  /** Seqs from now on are greater than `seq`, which this account has signed some time. [D-4] */
  seen(seq: number): void {
    this.#seq = Math.max(this.#seq, seq);
  }

  /** Signed for one TTL, by a clock that is `offsetMs` ahead of this machine's. */
  sign(ttlMs: number = TTL_MS, offsetMs = 0): DirectoryRecord {
    this.#seq = Math.max(this.#clock.now(), this.#seq + 1);
    const { handle, node, addresses, status, text, seal } = this;
    return signRecord(this.account, {
      handle,
      node,
      addresses,
      status,
      text,
      ...(this.hosted && { hosted: true as const }),
      seal,
      seq: this.#seq,
      until: this.#clock.now() + offsetMs + ttlMs,
    });
  }

  /** Whether `record` says what would be said now. */
  isSaidBy(record: DirectoryRecord): boolean {
    const { addresses, status, text, handle } = this;
    return (
      record.handle === handle &&
      record.status === status &&
      record.text === text &&
      record.addresses.join() === addresses.join()
    );
  }
}
