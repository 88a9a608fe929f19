/**
 * People met without any tracker between: by the link to their node alone, which proves their keys. Nobody vouches for their name, so
 * they go by one that nobody else can have: `bob@<first 16 characters of the account id>.local`. [N-57]
 */
import { z } from 'zod';
import { toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { parseAddress } from '../link/address.ts';
import type { Link } from '../link/link.ts';
import { method } from '../link/message.ts';
import type { Router } from '../link/router.ts';
import { parseHandle } from './handle.ts';
import type { Entry } from './messages.ts';
import type { OwnRecord } from './own.ts';
import type { People, Person } from './people.ts';
import { type DirectoryRecord, record, recordHolds, signRecord } from './record.ts';

/** Who are you? What a node says of its own account to whoever has a link to it. [N-57] */
const self = method('directory.self', {
  params: z.object({}),
  result: z.object({ record }),
});

/** 80 bits of the key: nobody finds another key that begins so. */
const KEY_CHARACTERS = 16;
const nearForm = /^([^@]+)@(?:([a-z2-7]{16})\.)?local$/;

/** Under which name what such people say of themselves is kept, where else the peer id of a tracker stands. */
const BY_LINK = 'link';
/** Milliseconds for which a record holds: as long as a binding. It is asked for again with each link. */
const HOLDS_MS = 30 * 24 * 3600_000;

/** The handle by which an account is known that no tracker vouches for. */
export const nearHandle = (name: string, account: string): string =>
  `${name}@${account.slice(0, KEY_CHARACTERS)}.local`;

/** `bob@k7xq….local`, or `bob@local` for whoever is the only one of that name here. Undefined for any other handle. */
export function nearOf(handle: string): { name: string; key: string | undefined } | undefined {
  const [, name, key] = nearForm.exec(handle) ?? [];
  return name === undefined ? undefined : { name, key };
}

/** Of a link, what it takes to ask who is there. */
type Asked = Pick<Link, 'account' | 'peer' | 'dialled' | 'address' | 'request'>;

export class Nearby {
  readonly #own: OwnRecord;
  readonly #people: () => People;
  readonly #log: Log;
  readonly #met = new Map<string, Entry>();

  constructor(options: { own: OwnRecord; people: () => People; log: Log }) {
    this.#own = options.own;
    this.#people = options.people;
    this.#log = options.log;
  }

  /** Answers whoever asks who this is, also one of whom nothing is known yet. */
  attach(router: Router): this {
    router.handle(self, () => ({ record: this.#signed() }), { unmet: true });
    return this;
  }

  /** The seq counts seconds where those of other records count milliseconds: what is said to a tracker is always later. */
  #signed(): DirectoryRecord {
    const { account, handle, node, addresses, seal } = this.#own;
    const { name } = parseHandle(handle, '');
    const now = this.#own.now();
    return signRecord(account, {
      handle: nearHandle(name, account.id),
      node,
      addresses,
      status: 'online',
      text: '',
      seal,
      seq: Math.floor(now / 1000),
      until: now + HOLDS_MS,
    });
  }

  /** Whether somebody is known by a name that no tracker vouches for. */
  isMet(account: string): boolean {
    const person = this.#people().get(account);
    return person !== undefined && nearOf(person.handle) !== undefined;
  }

  /**
   * Learns by a link whose it is, where no tracker has said so. Never throws: gives undefined where the other side does not say, or
   * says what is not so.
   */
  async meet(link: Asked, signal?: AbortSignal): Promise<Person | undefined> {
    const account = link.account?.account;
    if (account === undefined || account === this.#own.account.id) return undefined;
    const known = this.#people().get(account);
    if (known && !nearOf(known.handle)) return known;
    try {
      const { record } = await link.request(self, {}, { signal });
      if (!this.#isOf(link, record)) {
        this.#log.warn({ account, peer: link.peer }, 'a node says of itself what its keys do not prove: not taken');
        return undefined;
      }
      this.#take({ record, verified: reachedAt(link, record), ...seen(this.#own.now()) });
      return this.#people().get(account);
    } catch (error) {
      this.#log.debug({ err: toFault(error), account }, 'a node does not say who it is');
      return undefined;
    }
  }

  /** [N-57] */
  #isOf(link: Asked, record: DirectoryRecord): boolean {
    const { account, node, handle, until } = record;
    const near = nearOf(handle);
    const isItself = account === link.account?.account && node === link.peer;
    return isItself && near?.key === account.slice(0, KEY_CHARACTERS) && until > this.#own.now() && recordHolds(record);
  }

  #take(entry: Entry): void {
    this.#met.set(entry.record.account, entry);
    this.#people().take(BY_LINK, { full: false, entries: [entry], gone: [] });
  }

  /** The link has ended: nobody says any more that they are here. */
  parted(account: string): void {
    const entry = this.#met.get(account);
    if (!entry) return;
    this.#take({ ...entry, online: false, lastSeen: this.#own.now() });
    this.#met.delete(account);
  }
}

const seen = (now: number): Pick<Entry, 'observed' | 'near' | 'online' | 'lastSeen'> => ({
  observed: null,
  near: false,
  online: true,
  lastSeen: now,
});

/** Where it was reached, or of what it says of itself what is at the host that it spoke from: nobody is sent to a third one. [N-57] */
function reachedAt(link: Asked, { addresses }: DirectoryRecord): string[] {
  if (link.dialled) return [link.address];
  const { host } = parseAddress(link.address);
  return addresses.filter((address) => parseAddress(address).host === host);
}
