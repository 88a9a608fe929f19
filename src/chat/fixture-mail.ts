/** A tracker's mailboxes in memory, for accounts of a `World`. For tests. */
import { silentLog } from '../base/log.ts';
import { Store } from '../base/sqlite.ts';
import { Key } from '../link/identity.ts';
import type { Link } from '../link/link.ts';
import { pair } from '../link/pair.ts';
import { Router } from '../link/router.ts';
import { sealingKey } from '../link/seal.ts';
import type { Person, World } from './fixture.ts';
import type { Letter } from './letter.ts';
import type { Post } from './mailbox.ts';
import { MailServer } from './mailbox-server.ts';
import { MAIL_LIMITS, type MailLimits, MailStore } from './mailbox-store.ts';

/** A store whose failures a test arranges. */
class Letters extends MailStore {
  onPut: (letter: Letter) => void = () => {};
  onDelete: () => void = () => {};

  override put(letter: Letter): ReturnType<MailStore['put']> {
    const result = super.put(letter);
    this.onPut(letter);
    return result;
  }

  override delete(recipient: string, ids: readonly string[]): number {
    this.onDelete();
    return super.delete(recipient, ids);
  }
}

export class PostOffice implements Disposable {
  readonly key = Key.generate();
  readonly letters: Letters;
  readonly server: MailServer;
  /** Accounts without a handle here. */
  readonly strangers = new Set<string>();
  readonly #router = new Router();
  readonly #world: World;
  readonly #store = new Store(':memory:');
  readonly #links = new Map<Person, Link>();

  constructor(world: World, options: { limits?: Partial<MailLimits>; mailbox?: boolean } = {}) {
    this.#world = world;
    const clock = { now: () => world.now };
    const limits = { ...MAIL_LIMITS, ...options.limits };
    this.letters = new Letters({ store: this.#store, key: this.key, clock, limits });
    const isBound = (account: string): boolean => !this.strangers.has(account);
    this.server = new MailServer({ letters: this.letters, isBound, clock, log: silentLog() });
    this.server.start();
    if (options.mailbox ?? true) this.server.attach(this.#router);
  }

  /** For `PersonOptions`: letters are left here. */
  readonly post = (person: Person): Post => ({
    isAway: (account) => this.#world.people.get(account)?.online === false,
    mailbox: async (account) => {
      const other = this.#world.people.get(account);
      if (!other) return { sealingKey: null, links: [] };
      return { sealingKey: sealingKey(other.key), links: [await this.link(person)] };
    },
    introduce: async () => {},
  });

  /** The person's link to the tracker. */
  async link(person: Person): Promise<Link> {
    const known = this.#links.get(person);
    if (known?.open) return known;
    const self = { protocol: { min: 1, max: 1 }, software: 'test', role: 'tracker' as const, account: null };
    const [near] = await pair(
      { router: person.router, self: person.hello, id: person.node.id },
      { router: this.#router, self, id: this.key.id },
    );
    this.#links.set(person, near);
    person.links.add(near);
    return near;
  }

  /** The person's process is linked to the tracker, and fetches. */
  async open(person: Person): Promise<void> {
    person.chat.trackerUp(await this.link(person));
  }

  [Symbol.dispose](): void {
    this.server[Symbol.dispose]();
    this.#store[Symbol.dispose]();
  }
}
