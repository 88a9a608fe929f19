/** What the user decides about people, carried through every room: whom they verify, block, and take with another key. */
import { Fault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Store } from '../base/sqlite.ts';
import type { ChatService } from '../chat/service.ts';
import type { DirectoryClient, Person } from '../directory/client.ts';
import type { Hiding } from '../directory/hiding.ts';
import { type Compared, compare, type Safety, safetyOf } from '../directory/safety.ts';
import type { FileService } from '../files/service.ts';
import { peerId } from '../link/identity.ts';
import type { Marks } from './marks.ts';
import type { Peers } from './peers.ts';

/** Who may see that this account is here: everybody in the zone, or those alone to whom the user has written. */
export type PresenceScope = 'zone' | 'contacts';

type Wait = { signal?: AbortSignal | undefined };

export type ContactsOptions = {
  self: string;
  store: Store;
  marks: Marks;
  directory: DirectoryClient;
  chat: ChatService;
  files: FileService;
  peers: Peers;
  scope: PresenceScope;
  log: Log;
  emit(type: string, data: Record<string, unknown>): void;
  /** Tells of a person as they are now. */
  changed(account: string): void;
};

export class Contacts {
  readonly #options: ContactsOptions;
  /** What the trackers were told last. */
  #hidden = '';
  #shownTo: ReadonlySet<string> = new Set();

  constructor(options: ContactsOptions) {
    this.#options = options;
  }

  /** Before the trackers are dialled: what was decided before holds from the first record on. */
  async start(): Promise<void> {
    await this.#hide();
  }

  /** Whoever may see this account: all but the blocked, or of these those alone to whom it has written. [D-50] */
  #hiding(): Hiding {
    const { marks, chat, scope } = this.#options;
    return { from: marks.blocked(), only: scope === 'contacts' ? chat.contacts() : null };
  }

  async #hide(wait: Wait = {}): Promise<void> {
    const hiding = this.#hiding();
    const text = JSON.stringify(hiding);
    if (this.#hidden === text) return;
    this.#hidden = text;
    this.#shownTo = new Set(hiding.only);
    await this.#options.directory.hide(hiding, wait);
  }

  /** The user wrote to these: whom they write to may see that they are here. */
  wrote(to: readonly string[]): void {
    if (this.#options.scope !== 'contacts' || to.every((account) => this.#shownTo.has(account))) return;
    this.#hide().catch((error: unknown) =>
      this.#options.log.warn({ err: error }, 'trackers were not told of a contact'),
    );
  }

  /** Somebody by handle or account id, also one whose handle is shown with another key, or whom nobody knows. */
  async #person(who: string, wait: Wait): Promise<string> {
    const { directory } = this.#options;
    const known = directory.known(who);
    if (known) return known.account;
    if (peerId.safeParse(who).success) return who;
    return (await directory.find(who, wait)).account;
  }

  /**
   * From now on nothing of theirs is taken, and to them this account is offline. They are not told. Throws
   * `invalid_argument` for oneself, `too_many`, and the directory's faults for somebody unknown.
   */
  async block(who: string, wait: Wait = {}): Promise<string> {
    const { marks, files, peers, self } = this.#options;
    const account = await this.#person(who, wait);
    if (account === self) throw new Fault('invalid_argument', `blocking "${who}": this is you`);
    marks.block(account);
    await this.#hide(wait);
    // After the trackers, as a node that stops: first it says goodbye to them, then to its peers.
    files.cut(account);
    peers.part(account);
    this.#options.changed(account);
    return account;
  }

  /** What waits goes on, from both sides. */
  async unblock(who: string, wait: Wait = {}): Promise<string> {
    const { marks, chat, files } = this.#options;
    const account = await this.#person(who, wait);
    marks.unblock(account);
    await this.#hide(wait);
    chat.peerOnline(account);
    files.peerOnline(account);
    this.#options.changed(account);
    return account;
  }

  /**
   * The user has made sure that the handle is this key's now. What waits for the old key fails: it was written to whoever
   * has that one. Throws `wrong_state` or `wrong_key`. [D-57]
   */
  async accept(who: string, key: string, wait: Wait = {}): Promise<Person> {
    const { store, marks, directory, chat, files, emit } = this.#options;
    const { handle, before } = store.transaction(() => {
      const accepted = directory.accept(who, key);
      const { handle, before } = accepted;
      marks.move(before, key);
      const why = `${handle} has another key since; this was written for the old one, "${before}", and nobody else gets it; say it again`;
      chat.abandon(before, new Fault('key_changed', why));
      emit('person.key_accepted', { handle, account: key, former: before });
      return accepted;
    });
    const why = `${handle} has another key since; this was offered to the old one, and nobody else gets it; send it again`;
    await files.abandon(before, new Fault('key_changed', why));
    await this.#hide(wait); // who was blocked stays so, whatever their key
    await directory.renewed(key, wait);
    return await directory.find(handle, wait);
  }

  /** What to compare with this person. */
  safety(account: string): Safety {
    const { self } = this.#options;
    if (account === self) throw new Fault('invalid_argument', 'verifying yourself: name somebody else');
    return safetyOf(self, account);
  }

  /** The user compared, and it was the same. Throws `wrong_key` where it was not, `invalid_argument`. [D-58] */
  confirm(account: string, shown: string): Compared {
    const how = compare(this.safety(account), shown);
    this.#options.marks.verify(account, how);
    this.#options.changed(account);
    return how;
  }
}
