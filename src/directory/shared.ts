/**
 * A table that several processes of one tracker share: each changes it by what all of them apply, in the same order, and
 * answers from its own copy in memory. [E-4] to [E-6]
 */
import { gunzipSync, gzipSync } from 'node:zlib';
import { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Logged, SharedLog, Siblings } from '../base/shared-log.ts';
import { addressText } from '../link/address.ts';
import { peerId } from '../link/identity.ts';
import type { Hiding } from './hiding.ts';
import { type DirectoryRecord, MOST_ADDRESSES, type Renewal, record, renewed } from './record.ts';
import { type DirectoryTable, type DirectoryWriter, GRACE_MS, type Row, sameClaim, sameList } from './table.ts';

/** Milliseconds that the clocks of a cluster's machines may be apart before one takes another's people for gone. */
const CLOCKS_MS = 15_000;
/** Accounts of which news is on its way at once. */
const MOST_AT_ONCE = 64;
/** Times that somebody else may be first with the same account before it is refused; each time, somebody got further. */
const MOST_TRIES = 20;
/** Bytes of what one account hides, unpacked: 10,000 ids, and 1,000 records at their largest. */
const HIDING_BYTES = 16 * 1024 * 1024;

/** What one process says of an account to the others. */
const said = z.object({
  record,
  verified: z.array(addressText).max(MOST_ADDRESSES),
  observed: z.string(),
  online: z.boolean(),
  lastSeen: z.number().int(),
  /** Place of what others last saw change; 0: this. */
  changed: z.number().int().min(0),
  /** The process whose link announced it. */
  by: z.string(),
});

type Said = z.infer<typeof said>;

/** An account whose link is to this process. */
type Own = {
  owner: object;
  said: Said;
  /** Whether the others have yet to hear of it. */
  isDirty: boolean;
  /** Unix milliseconds at which it goes offline unless it is announced again: its link has ended. */
  ends: number | undefined;
};

export class SharedDirectory implements DirectoryWriter {
  readonly #table: DirectoryTable;
  readonly #shared: SharedLog;
  readonly #siblings: Siblings;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #graceMs: number;
  readonly #own = new Map<string, Own>();
  /** What was last said of each account, by whichever process. */
  readonly #said = new Map<string, Said>();
  readonly #online = new Set<string>();
  /** Place of the newest text under each key. */
  readonly #places = new Map<string, number>();
  /** The last of the works on an account that wait for each other. */
  readonly #turns = new Map<string, Promise<unknown>>();
  readonly #due = new Set<string>();
  #underWay = 0;

  /** `table` is empty; it is changed by this alone. */
  constructor(options: {
    table: DirectoryTable;
    shared: SharedLog;
    siblings: Siblings;
    clock: Clock;
    log: Log;
    graceMs?: number | undefined;
  }) {
    this.#table = options.table;
    this.#shared = options.shared;
    this.#siblings = options.siblings;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#graceMs = options.graceMs ?? GRACE_MS;
  }

  /** Settles when the table is as the others have it. */
  start(): Promise<void> {
    return this.#shared.follow(0, (logged) => this.#apply(logged));
  }

  /** Throws as the table's does, and `tracker_down`: it is on the list only once all of the cluster would find it there. */
  announce(record: DirectoryRecord, observed: string, owner: object, reached: readonly string[]): Promise<Row> {
    const { account } = record;
    return this.#inTurn(account, async () => {
      this.#table.check(record, this.#newest(account));
      await this.#claim(record.handle, account);
      const before = this.#own.get(account);
      const [online, lastSeen, by] = [true, this.#clock.now(), this.#siblings.self];
      const now: Said = { record, verified: [...reached], observed, online, lastSeen, changed: 0, by };
      this.#own.set(account, { owner, said: now, isDirty: true, ends: undefined });
      try {
        await this.#say(account);
      } catch (error) {
        if (before) this.#own.set(account, before);
        else this.#own.delete(account);
        throw error;
      }
      const row = this.#table.get(account);
      if (row && this.#own.get(account)?.owner === owner) return row;
      throw new Fault(
        'wrong_state',
        `announcing "${record.handle}": a newer record came by another tracker of the cluster`,
      );
    });
  }

  /** The newest record of the account, also where the others have not heard of it. */
  #newest(account: string): DirectoryRecord | undefined {
    const [own, known] = [this.#own.get(account)?.said.record, this.#said.get(account)?.record];
    return own && known && known.seq > own.seq ? known : (own ?? known);
  }

  /** Of several who want it, whose claim is first in the order has it; all others are told so. [E-4] */
  async #claim(handle: string, account: string): Promise<void> {
    for (let tries = 0; this.#table.mayClaim(handle, account); tries++) {
      const key = `handle.${keyOf(handle)}`;
      await this.#shared.append(key, account, this.#places.get(key) ?? 0);
      if (tries >= MOST_TRIES) throw busy(`announcing "${handle}"`);
    }
  }

  renew(account: string, renewal: Renewal, owner: object): void {
    const own = this.#own.get(account);
    if (own?.owner !== owner) throw new Fault('wrong_state', 'renewing: nothing is announced here; announce first');
    const next = renewed(own.said.record, renewal);
    this.#table.check(next, own.said.record);
    own.said = { ...own.said, record: next, lastSeen: this.#clock.now(), online: true };
    own.isDirty = true; // with the next sweep: what nobody sees has time
  }

  goodbye(account: string, owner: object): void {
    const own = this.#own.get(account);
    if (own?.owner === owner) this.#leave(account, own, this.#clock.now());
  }

  linkEnded(account: string, owner: object): void {
    const own = this.#own.get(account);
    if (own?.owner !== owner) return;
    const now = this.#clock.now();
    if (own.said.online) own.said = { ...own.said, lastSeen: now };
    own.ends = now + this.#graceMs;
  }

  #leave(account: string, own: Own, lastSeen: number): void {
    own.said = { ...own.said, online: false, lastSeen };
    own.isDirty = true;
    this.#saySoon(account);
  }

  setVerified(account: string, node: string, verified: readonly string[]): void {
    const own = this.#own.get(account);
    if (own?.said.record.node !== node || sameList(own.said.verified, verified)) return;
    own.said = { ...own.said, verified: [...verified] };
    own.isDirty = true;
    this.#saySoon(account);
  }

  hide(account: string, hiding: Hiding): Promise<void> {
    return this.#inTurn(account, async () => {
      for (let tries = 0; ; tries++) {
        const text = this.#table.hidingText(account, hiding);
        if (text === undefined) return;
        const key = `hiding.${account}`;
        const { ours } = await this.#shared.append(key, gzipSync(text).toString('base64'), this.#places.get(key) ?? 0);
        if (ours) return;
        if (tries >= MOST_TRIES) throw busy('hiding');
      }
    });
  }

  /** Takes offline whose time is over, and tells the others what they have not heard. To be called about once a second. */
  sweep(): void {
    const now = this.#clock.now();
    for (const [account, own] of this.#own) {
      const { online, record, lastSeen } = own.said;
      if (online && Math.min(own.ends ?? record.until, record.until, lastSeen + this.#table.ttlMs) <= now) {
        this.#leave(account, own, lastSeen);
      }
      if (own.isDirty) this.#saySoon(account);
      else if (!own.said.online) this.#own.delete(account);
    }
    for (const account of this.#online) if (this.#isLost(account, now)) this.#saySoon(account);
  }

  /** Online by the word of a process that is gone, or that says nothing of it any more. [E-6] */
  #isLost(account: string, now: number): boolean {
    const known = this.#said.get(account);
    if (!known?.online || this.#own.has(account)) return false;
    if (this.#siblings.isGone(known.by)) return true;
    return Math.min(known.record.until, known.lastSeen + this.#table.ttlMs) + CLOCKS_MS <= now;
  }

  forget(): void {
    for (const account of this.#table.absent(this.#clock.now())) {
      const key = `record.${account}`;
      this.#shared
        .append(key, null, this.#places.get(key) ?? 0)
        .catch((error: unknown) => this.#log.info({ err: error }, 'an account stays on the list until the next try'));
    }
  }

  /** What the others have not heard is lost with this process; its people announce themselves again. */
  flush(): void {
    this.#due.clear();
  }

  /** At most so many at once; each account at most once. */
  #saySoon(account: string): void {
    this.#due.add(account);
    while (this.#underWay < MOST_AT_ONCE) {
      const [next] = this.#due;
      if (next === undefined) return;
      this.#due.delete(next);
      this.#underWay += 1;
      this.#inTurn(next, () => this.#say(next))
        .catch((error: unknown) => {
          const { code, message } = toFault(error, 'telling the cluster of somebody');
          this.#log.debug({ code, reason: message }, 'it is told again');
        })
        .finally(() => {
          this.#underWay -= 1;
          const [waiting] = this.#due;
          if (waiting !== undefined) this.#saySoon(waiting);
        });
    }
  }

  /** Tells the others of an own account what they have not heard, or of a lost one that it went. */
  async #say(account: string): Promise<void> {
    const key = `record.${account}`;
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const own = this.#own.get(account);
      const next = own ? this.#ownNews(account, own) : this.#loss(account);
      if (!next) return;
      if (own) own.isDirty = false;
      try {
        const { ours } = await this.#shared.append(key, JSON.stringify(next), this.#places.get(key) ?? 0);
        if (ours) return;
      } catch (error) {
        if (own) own.isDirty = true;
        throw error;
      }
      if (own) own.isDirty = true;
    }
    throw busy('telling the cluster of somebody');
  }

  /** Undefined where another process has a newer record: then the account is no longer this one's. */
  #ownNews(account: string, own: Own): Said | undefined {
    const known = this.#said.get(account);
    if (known && known.record.seq > own.said.record.seq) {
      this.#own.delete(account);
      return undefined;
    }
    if (!own.isDirty) return undefined;
    const isNews = !known || !sameToReaders(known, own.said);
    return { ...own.said, changed: isNews ? 0 : (this.#table.get(account)?.changed ?? 0) };
  }

  #loss(account: string): Said | undefined {
    const known = this.#said.get(account);
    if (!known || !this.#isLost(account, this.#clock.now())) return undefined;
    return { ...known, online: false, changed: 0 };
  }

  #inTurn<T>(account: string, work: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(account) ?? Promise.resolve();
    const turn = before.catch(() => {}).then(work);
    this.#turns.set(account, turn);
    const done = (): void => {
      if (this.#turns.get(account) === turn) this.#turns.delete(account);
    };
    turn.then(done, done);
    return turn;
  }

  #apply({ key, text, at }: Logged): void {
    const [kind = '', name = ''] = key.split(/\.(.*)/s);
    try {
      if (kind === 'record') this.#applyRecord(peerId.parse(name), text, at);
      else if (kind === 'handle' && text !== null) this.#table.mergeBinding(handleOf(name), peerId.parse(text));
      else if (kind === 'hiding' && text !== null) this.#table.mergeHiding(peerId.parse(name), unpacked(text), at);
    } catch (error) {
      this.#log.error({ err: error, key }, 'the cluster holds something that is not of its form; it is left out');
    }
    this.#places.set(key, at);
  }

  #applyRecord(account: string, text: string | null, at: number): void {
    if (text === null) {
      this.#said.delete(account);
      this.#online.delete(account);
      this.#own.delete(account);
      return this.#table.mergeGone(account, at);
    }
    const now = said.parse(JSON.parse(text));
    this.#said.set(account, now);
    if (now.online) this.#online.add(account);
    else this.#online.delete(account);
    this.#table.merge(now, at);
    const own = this.#own.get(account);
    if (!own) return;
    if (now.record.seq > own.said.record.seq) this.#own.delete(account);
    // Another one took this process for gone: whose link stands is here.
    else if (!now.online && own.said.online && own.ends === undefined) own.isDirty = true;
  }
}

/** Handles as keys of a bucket, in which dots part and `@` may not stand. */
const keyOf = (handle: string): string => handle.replaceAll('.', '=').replace('@', '/');
const handleOf = (key: string): string => key.replaceAll('=', '.').replace('/', '@');

const unpacked = (text: string): string =>
  gunzipSync(Buffer.from(text, 'base64'), { maxOutputLength: HIDING_BYTES }).toString();

function sameToReaders(a: Said, b: Said): boolean {
  return (
    a.online === b.online &&
    a.observed === b.observed &&
    sameList(a.verified, b.verified) &&
    sameClaim(a.record, b.record)
  );
}

const busy = (what: string): Fault =>
  new Fault('tracker_down', `${what}: other trackers of the cluster were first again and again; try again`);
