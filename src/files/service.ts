/** Files between two accounts, both ends: what a node composes, and what the operations call. */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { toBase32 } from '../base/encoding.ts';
import { Fault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { idOf } from '../base/prefix.ts';
import type { Store } from '../base/sqlite.ts';
import type { Binding } from '../link/binding.ts';
import type { Key } from '../link/identity.ts';
import type { Link } from '../link/link.ts';
import type { HttpHandler } from '../link/listen.ts';
import { needsAccount, type Router } from '../link/router.ts';
import type { Bulk } from './client.ts';
import { FileControl } from './control.ts';
import { attachExchange } from './exchange.ts';
import { Incoming } from './incoming.ts';
import { Traffic } from './limits.ts';
import { type Audience, type Offer, Outgoing } from './outgoing.ts';
import { safeName } from './paths.ts';
import { type Reach, Reports } from './reports.ts';
import { BlobServer, type Offered } from './serve.ts';
import { type Conflict, Settings } from './settings.ts';
import { Sharing } from './sharing.ts';
import { Spool } from './spool.ts';
import { FileStore } from './store.ts';
import { isEnd, roomOf, type Transfer } from './transfer.ts';
import { type FileEvent, Transfers } from './transfers.ts';
import { type Report, report, type Ticket, ticket as ticketShape } from './wire.ts';

export type FileServiceOptions = {
  /** Says which account this node's user has; asked for at each connection. */
  binding: () => Binding;
  store: Store;
  /** Absolute path of the folder for received files; made when first needed. */
  downloads: string;
  bulk: Bulk;
  reach: Reach;
  offer: Offer;
  /** Without it, files go to accounts alone. */
  audience?: Audience;
  /** Members of the conversation in which an entry stands, now; without it, who sent a file alone serves it. */
  members?: (entry: string) => readonly string[];
  clock: Clock;
  log: Log;
  emit: (type: FileEvent, transfer: Transfer) => void;
  /** Accounts that are neither sent nor served anything, for as long as the user says so. */
  blocked?: ((account: string) => boolean) | undefined;
  /** Bytes of all links so far: they count for the limits of all transfers. */
  messages?: () => { sent: number; received: number };
  /** The node's own key: it signs links. */
  key: Pick<Key, 'id' | 'sign'>;
  /** Absolute path of the folder for what is piped in to be sent, which this room removes once it is over; without it there is none. */
  outgoing?: string | undefined;
  /** For tests: milliseconds until a silent holder, or a reader that takes nothing, is cut. */
  stallMs?: number;
  /** For tests: the waits between two tries. */
  retry?: { firstMs: number; mostMs: number };
};

/** What `start` makes. */
type Parts = {
  store: FileStore;
  transfers: Transfers;
  reports: Reports;
  incoming: Incoming;
  outgoing: Outgoing;
  sharing: Sharing;
  control: FileControl;
  traffic: Traffic;
  stop: AbortController;
};

export class FileService implements AsyncDisposable {
  readonly #options: FileServiceOptions;
  readonly #server: BlobServer;
  #parts: Parts | undefined;

  constructor(options: FileServiceOptions) {
    this.#options = options;
    this.#server = new BlobServer({
      offered: (account, hash) => {
        const { outgoing, sharing } = this.#started;
        return this.#unpaused(outgoing.offered(account, hash) ?? sharing.offered(account, hash));
      },
      version: () => this.#started.transfers.version,
      capability: (text, hash) => this.#unpaused(this.control.linked(text, hash)),
      flow: (transfer, peer, origin) => this.#started.traffic.open({ transfer, direction: 'out', peer, origin }),
      blocked: options.blocked,
      clock: options.clock,
      onServe: (transfer) => this.#started.outgoing.onServe(transfer),
      onBytes: (transfer, bytes) => this.#started.outgoing.onBytes(transfer, bytes),
      onServed: (transfer) => this.#parts?.outgoing.onServed(transfer),
      ...(options.stallMs !== undefined && { stallMs: options.stallMs }),
    });
  }

  /** Adds what this room answers on links. */
  attach(router: Router): void {
    router.handle(report, (params, { link }) => this.#take(params, link.account?.account ?? ''), {
      needs: needsAccount,
    });
    attachExchange(router, () => this.#started.sharing.exchange);
  }

  /** For `Listener.route('/blobs/', ...)`. */
  get handler(): HttpHandler {
    return this.#server.handler;
  }

  /** Takes up everything that was under way. Call it before the listener starts, or a receiver may hear of no file. */
  async start(): Promise<void> {
    const { store: db, log, reach, offer, audience, bulk, downloads, binding, stallMs, retry, emit } = this.#options;
    const { clock, key, outgoing: spoolFolder } = this.#options;
    const stop = new AbortController();
    const { signal } = stop;
    const store = new FileStore(db);
    const settings = new Settings(db);
    const spool = new Spool({ folder: spoolFolder, settings, clock, log });
    const transfers = new Transfers(store, (type, transfer) => {
      spool.heard(transfer, transfers);
      emit(type, transfer);
    });
    const reports = new Reports({ store, transfers, reach, log, signal });
    const outgoing = new Outgoing({ store, transfers, offer, audience, log, signal });
    const sharing = new Sharing({
      store,
      reach,
      members: this.#options.members ?? (() => []),
      outgoing,
      onWanted: (hash) => incoming.wanted(hash),
      clock,
      log,
      signal,
    });
    const traffic = new Traffic(settings, this.#options.messages);
    const fetching = { store, transfers, reports, settings, traffic, downloads, log, signal };
    const incoming: Incoming = new Incoming({ ...fetching, sharing, bulk, binding, stallMs, retry });
    const control = new FileControl({
      ...fetching,
      incoming,
      outgoing,
      server: this.#server,
      clock,
      key,
      spool: spoolFolder,
    });
    this.#parts = { store, transfers, reports, incoming, outgoing, sharing, control, traffic, stop };
    await spool.start();
    outgoing.start();
    await incoming.start();
    reports.start();
  }

  /** What the user may say beside sending and taking. */
  get control(): FileControl {
    return this.#started.control;
  }

  #unpaused(offered: Offered | undefined): Offered | undefined {
    if (offered) this.control.checkServed(offered.transfer);
    return offered;
  }

  get #started(): Parts {
    if (!this.#parts) throw new Fault('wrong_state', 'files: not started');
    return this.#parts;
  }

  /**
   * Sends the file or folder at `path` (absolute) to `account`, called `name` where one is given: answers once that is
   * durable, in state `preparing`; hashing and offering go on. What was sent under the same `id` is not sent again. Throws
   * `unreadable`, `invalid_argument`, `too_large` or `bad_name`.
   */
  async send(
    account: string,
    path: string,
    options: { id?: string | undefined; name?: string | undefined } = {},
  ): Promise<Transfer> {
    const known = options.id === undefined ? undefined : this.#started.store.byId(options.id);
    if (known) return this.#started.transfers.get(known.id);
    if (this.#options.blocked?.(account)) {
      throw new Fault(
        'wrong_state',
        `sending "${path}": you have blocked its recipient; let them in again first, with "netapp people unblock"`,
      );
    }
    const base = { id: options.id ?? newId(), peer: account, at: this.#options.clock.now() };
    return await this.#started.outgoing.send(base, path, options.name);
  }

  /** Takes a ticket that came as an entry of `from`. Again and again is the same as once. */
  takeTicket(offered: { entryId: string; from: string; ticket: Ticket }): Transfer {
    const { store, transfers, control, reports } = this.#started;
    const { entryId, from } = offered;
    const known = store.byEntry('in', from, entryId);
    if (known) return transfers.get(known.id);
    const parsed = ticketShape.safeParse(offered.ticket);
    if (!parsed.success) throw new Fault('malformed', 'taking a ticket: not of its shape');
    const { hash, name, size, folder } = parsed.data;
    const added = store.transaction(() => {
      const transfer: Transfer = {
        id: newId(),
        direction: 'in',
        peer: from,
        entry: entryId,
        hash,
        name,
        size,
        state: 'offered',
        progress: 0,
        rate: 0,
        path: '',
        folder: '',
        at: this.#options.clock.now(),
        ...(folder && {
          contents: { ...folder, files: folder.entries, filesDone: 0, leftOut: { count: 0, paths: [] } },
        }),
        error: null,
      };
      return transfers.add(transfer);
    });
    const refusal = nameFault(name);
    if (refusal) {
      return store.transaction(() => {
        const error = { code: refusal.code, message: refusal.message };
        const failed = transfers.change(added.id, { state: 'failed', error });
        reports.owe(failed);
        return failed;
      });
    }
    const most = store.autoAccept(from);
    if (most !== null && roomOf(added) <= most) {
      control.accept(added.id, { to: control.folderFor(from) ?? undefined }).catch((error: unknown) => {
        // It stays an offer, which the user may still accept into another folder.
        this.#options.log.warn({ err: error, transfer: added.id }, 'a file was not accepted unasked');
      });
    }
    return transfers.get(added.id);
  }

  /** Consents to an offer, or tries a failed one again; fetching goes on by itself. Throws as `FileControl.accept` does. */
  async accept(
    id: string,
    options: { to?: string | undefined; conflict?: Conflict | undefined } = {},
  ): Promise<Transfer> {
    return await this.control.accept(id, options);
  }

  /** Throws `unknown_id` or `wrong_state`. */
  decline(id: string): Transfer {
    const { store, transfers, reports } = this.#started;
    const { direction, state } = transfers.get(id);
    if (direction !== 'in' || state !== 'offered') {
      throw new Fault(
        'wrong_state',
        `declining the file "${id}": it is ${direction === 'in' ? state : 'one that you send'}`,
      );
    }
    return store.transaction(() => {
      const declined = transfers.change(id, { state: 'declined' });
      reports.owe(declined);
      return declined;
    });
  }

  /** Withdraws an offer, or stops a fetch and removes what was fetched. Throws `unknown_id` or `wrong_state`. */
  async cancel(id: string): Promise<Transfer> {
    const { transfers } = this.#started;
    const transfer = transfers.get(id);
    if (transfer.state === 'cancelled') return transfer;
    if (isEnd(transfer.state) && transfer.state !== 'failed') {
      throw new Fault('wrong_state', `cancelling the file "${id}": it is ${transfer.state}`);
    }
    return await this.#end(transfer, { tell: true });
  }

  async #end(transfer: Transfer, { tell }: { tell: boolean }): Promise<Transfer> {
    const { store, transfers, reports, incoming, outgoing } = this.#started;
    store.transaction(() => {
      const next = transfers.change(transfer.id, { state: 'cancelled', error: null });
      if (tell && next.entry !== null && !outgoing.isToMany(next)) reports.owe(next);
    });
    if (transfer.direction === 'in') {
      await incoming.cancel(transfer);
    } else {
      this.#server.stop(transfer.id, new Fault('cancelled', 'serving a file: it was cancelled'));
      await outgoing.cancel(transfer.id);
    }
    // A file that got its name in the same moment is there: then it is done, and both sides are told so.
    return transfers.get(transfer.id);
  }

  /** All transfers, oldest first. */
  list(): Transfer[] {
    return this.#started.transfers.list();
  }

  /** The whole id of a transfer, by it or by its beginning. Throws `unknown_id` where none or several begin so. */
  idOf(text: string): string {
    const { transfers } = this.#started;
    const ids = (): string[] => transfers.list().map(({ id }) => id);
    return idOf('file', text, {
      known: (id) => ids().includes(id),
      beginning: (start, most) =>
        ids()
          .filter((id) => id.startsWith(start))
          .slice(0, most),
    });
  }

  /** Throws `unknown_id`. */
  show(id: string): Transfer {
    return this.#started.transfers.get(id);
  }

  /** The transfer of an entry; undefined if it carries no ticket that was taken or written here. */
  ofEntry(direction: 'in' | 'out', peer: string, entryId: string): Transfer | undefined {
    const { store, transfers } = this.#started;
    const kept = store.byEntry(direction, peer, entryId);
    return kept && transfers.get(kept.id);
  }

  /** Cuts what is being served to the account, as when this node goes away; what is open stays as it is. */
  cut(account: string): void {
    const gone = new Fault('link_closed', 'serving a file: the connection was cut');
    for (const { id, peer, direction } of this.#started.transfers.open()) {
      if (peer === account && direction === 'out') this.#server.stop(id, gone);
    }
  }

  /** What is offered to the account and not done fails, and says why: nobody else gets it. */
  async abandon(account: string, { code, message }: Fault): Promise<void> {
    const { transfers, outgoing } = this.#started;
    for (const { id, peer, direction } of transfers.open()) {
      if (peer !== account || direction !== 'out') continue;
      transfers.change(id, { state: 'failed', error: { code, message } });
      await outgoing.cancel(id);
    }
    this.cut(account);
  }

  /** Snapshots until the end; see `Transfers.follow`. */
  follow(id: string, options: { signal?: AbortSignal | undefined } = {}): AsyncIterable<Transfer> {
    return this.#started.transfers.follow(id, options);
  }

  /** Files of `account` up to `bytes` are fetched unasked; null: none. Holds for tickets that come from now on. */
  setAutoAccept(account: string, bytes: number | null): void {
    this.#started.store.setAutoAccept(account, bytes);
  }

  autoAccept(account: string): number | null {
    return this.#started.store.autoAccept(account);
  }

  /** The account can be reached: what waits for it goes on. */
  peerOnline(account: string): void {
    this.#parts?.reports.push(account);
    this.#parts?.sharing.exchange.online(account);
    this.#parts?.incoming.wake(account);
  }

  /** As `peerOnline`, for the account behind a link. */
  linkUp(link: Link): void {
    if (link.account) this.peerOnline(link.account.account);
  }

  async #take(params: Report, account: string): Promise<null> {
    const { store, transfers, outgoing } = this.#started;
    const sent = store.byEntry('out', account, params.entry);
    if (sent) {
      outgoing.take(transfers.get(sent.id), params);
      return null;
    }
    // One of many says how it goes there: the offer stands for the others.
    if (store.sentWith(params.entry).some(({ peer }) => this.#options.audience?.isMember(peer, account))) return null;
    const received = store.byEntry('in', account, params.entry);
    if (!received) throw new Fault('unknown_id', `reporting on "${params.entry}": there is no such file here`);
    const isOver = isEnd(received.state) && received.state !== 'failed';
    if (params.state === 'accepted') this.#started.incoming.wake(account); // [F-31]
    if (params.state === 'cancelled' && !isOver) await this.#end(transfers.get(received.id), { tell: false });
    return null;
  }

  /** Stops; everything under way is taken up at the next start. The store stays the caller's to close. */
  async [Symbol.asyncDispose](): Promise<void> {
    const parts = this.#parts;
    if (!parts) return;
    parts.stop.abort(new Fault('cancelled', 'files: the node stops'));
    await Promise.all([parts.incoming.stopped(), parts.outgoing.stopped()]);
    parts.transfers.close();
  }
}

/** 80 random bits in base32: 16 characters. */
const newId = (): string => toBase32(randomBytes(10));

function nameFault(name: string): Fault | undefined {
  try {
    safeName(name);
    return undefined;
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
}
