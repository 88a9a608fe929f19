/** A node's side of mailboxes: leaves letters for those who cannot be reached, and takes its own. */
import { z } from 'zod';
import { abortable, Backoff, deadline, sleep } from '../base/async.ts';
import { Fault, isFaultCode, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Key } from '../link/identity.ts';
import type { Link } from '../link/link.ts';
import type { Router } from '../link/router.ts';
import { direct } from './conversation.ts';
import type { Intake } from './intake.ts';
import type { Ledger } from './ledger.ts';
import {
  CONTENT_BYTES,
  type Content,
  type Hold,
  holdVerified,
  LETTER_ENTRIES,
  LETTER_RECEIPTS,
  type Letter,
  letterBytes,
  letterId,
  openLetter,
  sealLetter,
} from './letter.ts';
import type { Owed } from './letters.ts';
import { CALL_BYTES, DEPOSIT_LETTERS, deposit, fetch, remove, waiting } from './mailbox-wire.ts';
import { read } from './reading.ts';
import { type Deliver, receiptNotice } from './wire.ts';

type Wait = { signal: AbortSignal };

/** What leaving and taking letters needs from whoever knows the trackers. */
export type Post = {
  /** Whether presence says that the account is not there. */
  isAway(account: string): boolean;
  /**
   * Links to trackers that serve the account, the likeliest first, and the key to which its letters are sealed; no links,
   * or null, where there is none to be had now. [M-1]
   */
  mailbox(account: string, wait: Wait): Promise<{ sealingKey: string | null; links: readonly Link[] }>;
  /** Learns who the account is, if somebody can be asked, also by the handle that it says of itself; never throws. */
  introduce(account: string, wait: Wait, claim?: string): Promise<void>;
};

/** Milliseconds to find out where an account's mailbox is. */
const FIND_MS = 10_000;
/** Waits between looks that fail, and until letters that could not be used yet are looked at again. */
const FIRST_MS = 1000;
const MOST_MS = 60_000;
const AGAIN_MS = 60_000;
/** Looks at a whole mailbox at once: each may free letters that wait for others; a tracker that deletes nothing gets no more. */
const PASSES = 10;
/** Milliseconds from one look for what is held no longer to the next. */
const SWEEP_MS = 60_000;
/** Bytes of a receipt's JSON, at most. */
const RECEIPT_BYTES = 512;

/** One link to a tracker of this account's own. */
type Box = {
  after: number;
  kept: number;
  news: boolean;
  isLooking: boolean;
  /** Nothing is to be done until the tracker says that there is news. */
  isDone: boolean;
  nap: AbortController;
};

export class Mailbox implements AsyncDisposable {
  readonly #key: Key;
  readonly #handle: (() => string) | undefined;
  readonly #ledger: Ledger;
  readonly #intake: Intake;
  readonly #post: Post;
  readonly #wake: (account: string) => void;
  readonly #log: Log;
  readonly #boxes = new Map<Link, Box>();
  readonly #running = new Set<Promise<void>>();
  /** Links to trackers that hold no letters. */
  readonly #without = new WeakSet<Link>();
  readonly #stop = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: {
    account: Key;
    /** By which the recipients of letters find this account. */
    handle?: (() => string) | undefined;
    ledger: Ledger;
    intake: Intake;
    post: Post;
    /** Something is to be told to the account. */
    wake(account: string): void;
    log: Log;
  }) {
    this.#key = options.account;
    this.#handle = options.handle;
    this.#ledger = options.ledger;
    this.#intake = options.intake;
    this.#post = options.post;
    this.#wake = options.wake;
    this.#log = options.log;
  }

  static attach(router: Router, of: (link: Link) => Mailbox | undefined): void {
    router.on(waiting, (_params, { link }) => of(link)?.news(link));
  }

  /** A tracker says that there is something to take. */
  news(link: Link): void {
    const box = this.#boxes.get(link); // of a link that is not to an own tracker it is of no interest
    if (!box) return;
    box.news = true;
    box.isDone = false;
    box.nap.abort();
  }

  start(): void {
    this.sweep();
    this.#timer = setInterval(() => this.sweep(), SWEEP_MS).unref();
  }

  /** What is held no longer, or soon will not be, is left anew. */
  sweep(): void {
    try {
      for (const account of this.#ledger.renewHolds()) this.#wake(account);
    } catch (error) {
      this.#log.error({ err: error }, 'the store cannot be written to; held messages are looked at again later');
    }
  }

  /** A room is known better than before: letters that could not be used yet may be of use now. */
  lookAgain(): void {
    for (const box of this.#boxes.values()) if (box.kept > 0 || box.isLooking) box.nap.abort();
  }

  /** Whether nothing is to be done for letters until a tracker says so. */
  get isQuiet(): boolean {
    return [...this.#boxes.values()].every(({ isDone }) => isDone);
  }

  isAway(account: string): boolean {
    return this.#post.isAway(account);
  }

  /**
   * Leaves all that waits for the account in its mailbox; false where there is none. Throws what keeps it from being
   * held: `queue_full`, `too_many`, what links throw. [M-11] [M-16]
   */
  async leave(account: string, signal: AbortSignal): Promise<boolean> {
    if (this.#ledger.blocked(account)) return false;
    using limit = deadline(FIND_MS, `finding the mailbox of "${account}"`, signal);
    const found = await this.#post.mailbox(account, { signal: limit });
    const { sealingKey } = found;
    const links = found.links.filter((link) => !this.#without.has(link));
    if (sealingKey === null || links.length === 0) return false;
    const { letters, store } = this.#ledger;
    store.transaction(() => letters.dropStale(account, sealingKey));
    for (;;) {
      const batch = fitting(letters.pending(account, DEPOSIT_LETTERS));
      if (batch.length > 0) {
        if (!(await this.#deposit(account, batch, links, signal))) return false;
      } else if (!(await this.#write(account, sealingKey))) return true;
    }
  }

  /** Seals the next letter; false where nothing is left to say. */
  async #write(account: string, sealingKey: string): Promise<boolean> {
    const { letters, store, self } = this.#ledger;
    const content = this.#next(account);
    if (content.entries.length + content.receipts.length === 0) return false;
    const { entries, receipts } = content;
    const letter = await sealLetter(
      self,
      { account, key: sealingKey },
      { entries, receipts, handle: this.#handle?.() },
    );
    store.transaction(() => letters.write(letter, sealingKey, { entries: content.ids, receipts: content.owed }));
    return true;
  }

  #next(account: string): Content & { ids: string[]; owed: Owed[] } {
    const { letters, entries, receipts, self } = this.#ledger;
    const owed = letters.owed(account, { unsealed: true }).slice(0, LETTER_RECEIPTS);
    let bytes = owed.length * RECEIPT_BYTES;
    const rows = letters.unsealed(account, LETTER_ENTRIES);
    const end = rows.findIndex((row) => {
      bytes += row.bytes + 1;
      return bytes > CONTENT_BYTES;
    });
    const found = (end < 0 ? rows : rows.slice(0, end)).flatMap(({ entry }) => entries.get(entry) ?? []);
    const stored = entries.signed(found);
    return {
      entries: stored.map(({ entry }) => entry),
      ids: stored.map(({ id }) => id),
      receipts: owed.flatMap(
        ({ conversation, author, state }) => receipts.newest({ conversation, author }, self, state) ?? [],
      ),
      owed,
    };
  }

  /** Gives the letters to the first tracker that holds any; false where none of them has mailboxes. */
  async #deposit(
    account: string,
    batch: readonly Letter[],
    links: readonly Link[],
    signal: AbortSignal,
  ): Promise<boolean> {
    const { letters, store } = this.#ledger;
    const mark = (sent: boolean): void =>
      store.transaction(() => {
        for (const letter of batch) letters.markSent(letterId(letter), sent);
      });
    mark(true);
    await store.settled(); // a receipt in a letter says that what it is for is on the disk
    let last: Fault | undefined;
    for (const link of links) {
      try {
        const params = { to: account, letters: batch.map(({ enc, data }) => ({ enc, data })) };
        const { results } = await link.request(deposit, params, { signal });
        this.#settle(batch, link, results);
        return true;
      } catch (error) {
        const fault = toFault(error, 'leaving letters');
        if (fault.code === 'unknown_operation') this.#without.add(link);
        else last = fault;
        if (signal.aborted) break;
      }
    }
    if (last) throw last;
    mark(false);
    return false;
  }

  #settle(
    batch: readonly Letter[],
    link: Link,
    results: readonly ({ hold: Hold } | { refused: { code: string; message: string } })[],
  ): void {
    let refused: Fault | undefined;
    for (const [index, letter] of batch.entries()) {
      const result = results[index];
      if (result && 'hold' in result) {
        checkHold(result.hold, letter, link.peer);
        this.#ledger.takeHold(result.hold);
        continue;
      }
      const code = result?.refused.code;
      refused ??= new Fault(
        isFaultCode(code) ? code : 'wrong_state',
        result?.refused.message ?? 'leaving a letter: no word',
      );
    }
    if (refused) throw refused;
  }

  /** The account is linked and has every own entry: what letters would have told is told now. */
  async linked(account: string, link: Link): Promise<void> {
    const { letters, receipts, store, self } = this.#ledger;
    if (!letters.waits(account)) return;
    await store.settled(); // as for a letter
    const owed = letters
      .owed(account, { unsealed: false })
      .flatMap(({ conversation, author, state }) => receipts.newest({ conversation, author }, self, state) ?? []);
    for (let at = 0; at < owed.length; at += LETTER_RECEIPTS) {
      link.notify(receiptNotice, { receipts: owed.slice(at, at + LETTER_RECEIPTS) });
    }
    store.transaction(() => letters.settle(account));
  }

  /** A link to a tracker that has this account's record: takes what waits there now, and what comes until it ends. */
  trackerUp(link: Link): void {
    if (this.#boxes.has(link) || this.#without.has(link) || this.#stop.signal.aborted) return;
    const box: Box = { after: 0, kept: 0, news: true, isLooking: false, isDone: false, nap: new AbortController() };
    this.#boxes.set(link, box);
    const running = this.#keepTaking(link, box).finally(() => {
      this.#boxes.delete(link);
      this.#running.delete(running);
    });
    this.#running.add(running);
  }

  async #keepTaking(link: Link, box: Box): Promise<void> {
    const signal = AbortSignal.any([this.#stop.signal, link.signal]);
    const backoff = new Backoff({ firstMs: FIRST_MS, mostMs: MOST_MS });
    while (!signal.aborted) {
      box.nap = new AbortController();
      box.isLooking = true;
      let ms: number | undefined;
      try {
        await this.#takeAll(link, box, signal);
        backoff.reset();
        ms = box.kept > 0 ? AGAIN_MS : undefined;
      } catch (error) {
        const fault = toFault(error, 'fetching letters');
        if (fault.code === 'unknown_operation') return void this.#without.add(link); // it holds no letters
        ms = backoff.next();
        if (!signal.aborted)
          this.#log.info({ code: fault.code, reason: fault.message, againInMs: ms }, 'fetching letters waits');
      }
      box.isLooking = false;
      box.isDone = ms === undefined && !box.news;
      await pause(ms, AbortSignal.any([signal, box.nap.signal]));
    }
  }

  /** Takes page after page; once more from the start where what came may have made earlier letters of use. */
  async #takeAll(link: Link, box: Box, signal: AbortSignal): Promise<void> {
    let rescan = !box.news && box.kept > 0;
    for (let pass = 0; pass < PASSES; pass++, rescan = true) {
      box.news = false;
      if (rescan) Object.assign(box, { after: 0, kept: 0 });
      const taken = await this.#takePages(link, box, signal);
      if (taken === 0 || box.kept === 0) return;
    }
  }

  async #takePages(link: Link, box: Box, signal: AbortSignal): Promise<number> {
    let taken = 0;
    for (let more = true; more; ) {
      const page = await link.request(fetch, { after: box.after }, { signal });
      const ids: string[] = [];
      let last = box.after;
      for (const { place, ...sealed } of page.letters) {
        const letter = { ...sealed, to: this.#ledger.self };
        if (await this.#take(letter, signal)) ids.push(letterId(letter));
        last = Math.max(last, place);
      }
      await this.#ledger.store.settled(); // what is deleted there must be on the disk here
      if (ids.length > 0) await link.request(remove, { ids }, { signal });
      taken += ids.length;
      box.kept += page.letters.length - ids.length;
      more = page.more && last > box.after; // a tracker that gives the same page again lies
      box.after = last; // not before: a page that failed is looked at again, whole
    }
    return taken;
  }

  /** Takes what a letter holds; true once it is of no further use. Throws what a later try may cure. [M-12] */
  async #take(letter: Letter, signal: AbortSignal): Promise<boolean> {
    const { from } = letter;
    const { store, letters, clock } = this.#ledger;
    if (this.#ledger.blocked(from)) return false; // it waits where it is, as for somebody who is away [D-61]
    try {
      const { entries, receipts, handle } = await openLetter(this.#key, letter);
      await abortable(this.#post.introduce(from, { signal }, handle), signal);
      const { answer, seen } = store.transaction(() => {
        const taken = this.#intake.take(from, read(entries));
        for (const receipt of taken.answer.receipts) letters.owe(receipt, clock.now()); // [M-13]
        return taken;
      });
      for (const author of new Set(answer.receipts.map((receipt) => receipt.author))) this.#wake(author);
      if (seen.some((chain) => chain.author === this.#ledger.self)) this.#wake(from);
      this.#ledger.takeReceipts(receipts);
      return this.#isUsed(from, entries, answer);
    } catch (error) {
      const fault = toFault(error, 'taking a letter');
      if (fault.code !== 'malformed' && fault.code !== 'bad_signature') throw fault;
      this.#log.warn({ from, code: fault.code, reason: fault.message }, 'a letter is of no use: deleted');
      return true;
    }
  }

  /** False where entries before these are missing, or may be taken later: then the letter is looked at again. */
  #isUsed(from: string, entries: readonly unknown[], { have, refused }: Deliver): boolean {
    for (const { code, message } of refused)
      this.#log.warn({ from, code, reason: message }, 'a letter’s entry is refused');
    return (
      have.length === 0 &&
      !refused.some(
        ({ index, retry, code }) => retry || (code === 'forbidden' && this.#isUnknown(from, entries[index])),
      )
    );
  }

  /**
   * Whether an entry is of a conversation that this account may still come to know of, or of a room whose order is not
   * known here as far as to whom its giver, its author and this account are members. [M-12]
   */
  #isUnknown(from: string, entry: unknown): boolean {
    const { conversation: id, author } = nameOf(entry);
    if (id === undefined || id === direct(this.#ledger.self, from).id) return false;
    const room = this.#ledger.rooms.state(id);
    if (!room) return this.#ledger.entries.conversation(id) === undefined;
    const { members, former, invited, closed } = room;
    const isSettled = (account: string): boolean =>
      members.has(account) || (former.has(account) && !invited.has(account));
    return closed === null && ![this.#ledger.self, from, author ?? from].every(isSettled);
  }

  /** Stops taking letters; those that wait are kept where they are. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#stop.abort(new Fault('cancelled', 'the node stops'));
    await Promise.all(this.#running);
  }
}

/** What an entry, or whatever stands in its place, says of where it belongs. */
function nameOf(entry: unknown): { conversation?: string; author?: string } {
  const { success, data } = named.safeParse(entry);
  return success ? data : {};
}

const named = z.object({ conversation: z.string(), author: z.string() });

/** As many as one call may have, at least one. */
function fitting(letters: readonly Letter[]): Letter[] {
  let bytes = 0;
  const end = letters.findIndex((letter, index) => {
    bytes += letterBytes(letter);
    return index > 0 && bytes > CALL_BYTES;
  });
  return end < 0 ? [...letters] : letters.slice(0, end);
}

/** Throws `bad_signature` for a word that proves nothing. [M-6] */
function checkHold(hold: Hold, letter: Letter, holder: string): void {
  const meant = hold.holder === holder && hold.letter === letterId(letter);
  const between = hold.from === letter.from && hold.to === letter.to && hold.until > hold.at;
  if (meant && between && holdVerified(hold)) return;
  throw new Fault('bad_signature', `leaving a letter for "${letter.to}": the tracker did not sign that it holds it`);
}

/** Waits `ms`, or until `signal` where that is undefined; never throws. */
async function pause(ms: number | undefined, signal: AbortSignal): Promise<void> {
  if (ms !== undefined) return await sleep(ms, signal).catch(() => {});
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
