/**
 * A table that several processes of one tracker share: each changes it by what all of them apply, in the same order, and
 * answers from its own copy in memory. [K-4] to [K-6]
 */
import { gunzipSync, gzipSync } from 'node:zlib';
import { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Logged, SharedLog, Siblings } from '../base/shared-log.ts';
import { addressText } from '../link/address.ts';
import type { GuestBook } from './guests.ts';
import { handle as handleForm } from './handle.ts';
import type { HandleRow } from './handle-marks.ts';
import type { Hiding } from './hiding.ts';
import type { Joining, Policy } from './joining.ts';
import { type DirectoryRecord, MOST_ADDRESSES, type Renewal, record, renewed } from './record.ts';
import type { Row } from './row.ts';
import { type Marked, SharedHandles } from './shared-handles.ts';
import { type DirectoryTable, type DirectoryWriter, GRACE_MS, sameClaim, sameList } from './table.ts';

/** Milliseconds that the clocks of a cluster's machines may be apart before one takes another's people for gone. */
const CLOCKS_MS = 15_000;
/** Accounts of which news is on its way at once. */
const MOST_AT_ONCE = 64;
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

/** From whom an account hides, said by a process. */
const hidden = z.object({
  /** Grows with each that an account says: one that comes late does not undo a later one. */
  turn: z.number().int(),
  by: z.string(),
  /** Gzip in base64: lists of ids, and often the same record many times. */
  hiding: z.string(),
});

type Hidden = z.infer<typeof hidden>;

/** A guest whose own zone confirmed its handle, and when. [K-16] */
const guest = z.object({ handle: handleForm, at: z.number().int() });

/** What is shared, and with whom. */
type SharedWith = { readonly handles: SharedLog; readonly records: SharedLog; readonly siblings: Siblings };

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
  readonly #handles: SharedHandles;
  readonly #records: SharedLog;
  readonly #guests: GuestBook | undefined;
  readonly #siblings: Siblings;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #graceMs: number;
  readonly #own = new Map<string, Own>();
  /** What was last said of each account, by whichever process. */
  readonly #said = new Map<string, Said>();
  readonly #online = new Set<string>();
  readonly #hidden = new Map<string, Hidden>();
  /** Accounts that are on the list by a handle that was revoked, until they are off it. */
  readonly #expelled = new Set<string>();
  /** The last of the works on an account that wait for each other. */
  readonly #turns = new Map<string, Promise<unknown>>();
  readonly #due = new Set<string>();
  #underWay = 0;

  /** `table` is empty; it is changed by this alone. */
  constructor(options: {
    table: DirectoryTable;
    shared: SharedWith;
    /** Whom the zones take in; default: anybody. Changed by this alone. */
    joining?: Joining | undefined;
    /** Changed by this alone. */
    guests?: GuestBook | undefined;
    clock: Clock;
    log: Log;
    graceMs?: number | undefined;
  }) {
    this.#table = options.table;
    this.#records = options.shared.records;
    this.#guests = options.guests;
    this.#siblings = options.shared.siblings;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#graceMs = options.graceMs ?? GRACE_MS;
    const { table, joining, shared, clock, log } = options;
    this.#handles = new SharedHandles({ table, joining, handles: shared.handles, clock, log });
    this.#handles.onMarked(({ account, handle }) => this.#marked(account, handle));
  }

  /** Settles when the table is as the others have it. */
  async start(): Promise<void> {
    await this.#handles.start();
    await this.#records.follow(0, (logged) => this.#apply(logged));
  }

  /** Throws as the table's does, and `tracker_down`: it is on the list only once all of the cluster would find it there. */
  announce(
    record: DirectoryRecord,
    observed: string,
    owner: object,
    reached: readonly string[],
    _admit?: () => void,
    invitation?: string,
  ): Promise<Row> {
    const { account } = record;
    return this.#inTurn(account, async () => {
      this.#table.check(record, this.#newest(account));
      await this.#handles.claim(record.handle, account, invitation);
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

  /** The process whose link announced the account last. */
  processOf(account: string): string | undefined {
    return this.#own.has(account) ? this.#siblings.self : this.#said.get(account)?.by;
  }

  /** The newest record of the account, also where the others have not heard of it. */
  #newest(account: string): DirectoryRecord | undefined {
    const [own, known] = [this.#own.get(account)?.said.record, this.#said.get(account)?.record];
    return own && known && known.seq > own.seq ? known : (own ?? known);
  }

  /** Throws as the table's does, and `tracker_down`: it is so at every process, and after all of them start anew. [K-11] [K-13] */
  async revoke(handle: string): Promise<HandleRow> {
    const row = await this.#handles.revoke(handle);
    // That it is revoked is agreed upon; what shows it may come with the next sweep.
    await this.#inTurn(row.account, () => this.#say(row.account)).catch((error: unknown) => this.#retell(error));
    return row;
  }

  rename(handle: string, to: string): Promise<HandleRow> {
    return this.#handles.rename(handle, to);
  }

  free(handle: string): Promise<HandleRow> {
    return this.#handles.free(handle);
  }

  setPolicy(zone: string, policy: Policy): Promise<void> {
    return this.#handles.setPolicy(zone, policy);
  }

  takeBack(zone: string, text: string): Promise<{ until: number }> {
    return this.#handles.takeBack(zone, text);
  }

  /** Calls `listener` where an admin has revoked or renamed a handle, at whichever process. */
  onMarked(listener: Marked): void {
    this.#handles.onMarked(listener);
  }

  /** What this process' link announced by that handle cannot be renewed. */
  #marked(account: string, handle: string): void {
    const own = this.#own.get(account);
    if (own?.said.record.handle === handle) own.owner = {};
    if (this.#said.get(account)?.record.handle === handle && this.#table.isRevoked(handle)) this.#expelled.add(account);
  }

  #retell(error: unknown): void {
    const { code, message } = toFault(error, 'telling the cluster of somebody');
    this.#log.debug({ code, reason: message }, 'it is told again');
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
      const text = this.#table.hidingText(account, hiding);
      if (text === undefined) return;
      const turn = Math.max(this.#clock.now(), (this.#hidden.get(account)?.turn ?? 0) + 1);
      const next: Hidden = { turn, by: this.#siblings.self, hiding: gzipSync(text).toString('base64') };
      await this.#records.append(`hiding.${account}`, JSON.stringify(next));
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
    for (const account of this.#expelled) {
      const by = this.#said.get(account)?.by;
      if (by === undefined) this.#expelled.delete(account);
      else if (by === this.#siblings.self || this.#siblings.isGone(by)) this.#saySoon(account);
    }
  }

  /** Online by the word of a process that is gone, or that says nothing of it any more. [K-6] */
  #isLost(account: string, now: number): boolean {
    const known = this.#said.get(account);
    if (!known?.online || this.#own.has(account)) return false;
    if (this.#siblings.isGone(known.by)) return true;
    return Math.min(known.record.until, known.lastSeen + this.#table.ttlMs) + CLOCKS_MS <= now;
  }

  forget(): void {
    for (const account of this.#table.absent(this.#clock.now())) {
      this.#records
        .append(`record.${account}`, null)
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
        .catch((error: unknown) => this.#retell(error))
        .finally(() => {
          this.#underWay -= 1;
          const [waiting] = this.#due;
          if (waiting !== undefined) this.#saySoon(waiting);
        });
    }
  }

  /** Tells the others of an own account what they have not heard, or of a lost one that it went. */
  async #say(account: string): Promise<void> {
    if (this.#isExpelled(account)) return await this.#records.append(`record.${account}`, null);
    const own = this.#own.get(account);
    const next = own ? this.#ownNews(account, own) : this.#loss(account);
    if (!next) return;
    if (own) own.isDirty = false;
    try {
      await this.#records.append(`record.${account}`, JSON.stringify(next));
    } catch (error) {
      if (own) own.isDirty = true;
      throw error;
    }
  }

  /** Whether it is on the list by a handle that was revoked. */
  #isExpelled(account: string): boolean {
    if (!this.#expelled.has(account)) return false;
    const known = this.#said.get(account);
    if (known && this.#table.isRevoked(known.record.handle)) return true;
    this.#expelled.delete(account);
    return false;
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
    const [kind = '', account = ''] = key.split('.');
    this.#orLeaveOut(key, () => {
      if (kind === 'hiding' && text !== null) this.#applyHiding(account, hidden.parse(JSON.parse(text)), at);
      else if (kind === 'record' && text !== null) this.#applyRecord(account, said.parse(JSON.parse(text)), at);
      else if (kind === 'record') this.#applyGone(account, at);
      else if (kind === 'guest' && text !== null) this.#applyGuest(account, guest.parse(JSON.parse(text)));
    });
  }

  #orLeaveOut(key: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#log.error({ err: error, key }, 'the cluster holds something that is not of its form; it is left out');
    }
  }

  #applyHiding(account: string, now: Hidden, at: number): void {
    const known = this.#hidden.get(account);
    if (known && now.turn <= known.turn) {
      if (now.turn < known.turn && known.by === this.#siblings.self) this.#sayHiddenAgain(account, known);
      return;
    }
    this.#table.mergeHiding(account, unpacked(now.hiding), at);
    this.#hidden.set(account, now);
  }

  /** A text that came late took the place of the newer one: for whoever starts later, it is put back. */
  #sayHiddenAgain(account: string, known: Hidden): void {
    this.#records
      .append(`hiding.${account}`, JSON.stringify(known))
      .catch((error: unknown) => this.#log.warn({ err: error }, 'a process that starts now would show what is hidden'));
  }

  #applyRecord(account: string, now: Said, at: number): void {
    if (now.record.account !== account) throw new Fault('malformed', 'the record is of another account');
    const [own, known] = [this.#own.get(account), this.#said.get(account)];
    // It came late, and took the place of a newer one: whose link stands here says that again.
    if (known && now.record.seq < known.record.seq) {
      if (own) own.isDirty = true;
      return;
    }
    this.#said.set(account, now);
    if (now.online) this.#online.add(account);
    else this.#online.delete(account);
    if (this.#table.isRevoked(now.record.handle)) this.#expelled.add(account);
    const isNews = known !== undefined && !sameToReaders(known, now);
    this.#table.merge(isNews ? { ...now, changed: 0 } : now, at);
    if (!own) return;
    if (now.record.seq > own.said.record.seq) this.#own.delete(account);
    // Another one took this process for gone: whose link stands is here.
    else if (!now.online && own.said.online && own.ends === undefined) own.isDirty = true;
  }

  /** Says that the zone of a guest confirmed its handle. Throws `tracker_down`. [K-16] */
  async takeGuest(account: string, handle: string, at: number): Promise<void> {
    await this.#records.append(`guest.${account}`, JSON.stringify({ handle, at }));
  }

  #applyGuest(account: string, { handle, at }: z.infer<typeof guest>): void {
    for (const gone of this.#guests?.put(account, handle, at) ?? []) {
      this.#records.append(`guest.${gone}`, null).catch((error: unknown) => this.#retell(error));
    }
  }

  #applyGone(account: string, at: number): void {
    this.#expelled.delete(account);
    this.#said.delete(account);
    this.#online.delete(account);
    this.#own.delete(account);
    this.#table.mergeGone(account, at);
  }
}

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
