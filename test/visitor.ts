/** Somebody who speaks to trackers frame by frame, on a link of their own to each; for tests of what trackers keep. */
import { expect } from 'vitest';
import { systemClock } from '../src/base/clock.ts';
import { toFault } from '../src/base/fault.ts';
import { silentLog } from '../src/base/log.ts';
import { waiting } from '../src/chat/mailbox-wire.ts';
import {
  type Change,
  type ChangeType,
  type Creation,
  type Ordered,
  type Role,
  signChange,
  signCreation,
} from '../src/chat/membership.ts';
import { orderedNotice, roomLog } from '../src/chat/room-wire.ts';
import * as directory from '../src/directory/messages.ts';
import { type Claim, type DirectoryRecord, signRecord } from '../src/directory/record.ts';
import { bind } from '../src/link/binding.ts';
import { createIdentity, type Identity } from '../src/link/certificate.ts';
import { dialLink } from '../src/link/dial.ts';
import { Key } from '../src/link/identity.ts';
import type { Link } from '../src/link/link.ts';
import type { Method } from '../src/link/message.ts';
import { Router } from '../src/link/router.ts';

type Changed = ReturnType<typeof directory.changed.params.parse>;

export class Visitor implements Disposable {
  readonly name: string;
  readonly zone: string;
  readonly account: Key;
  readonly identity: Identity;
  readonly router: Router;
  readonly changed: Changed[] = [];
  readonly ordered: Ordered[] = [];
  waiting = 0;
  readonly #links = new Set<Link>();
  #seq = 0;

  private constructor(name: string, zone: string, account: Key, identity: Identity) {
    this.name = name;
    this.zone = zone;
    this.account = account;
    this.identity = identity;
    this.router = new Router()
      .on(directory.changed, (notice) => void this.changed.push(notice))
      .on(orderedNotice, ({ ordered }) => void this.ordered.push(ordered))
      .on(waiting, () => {
        this.waiting += 1;
      });
  }

  static async create(name: string, zone: string): Promise<Visitor> {
    return new Visitor(name, zone, Key.generate(), await createIdentity());
  }

  get id(): string {
    return this.account.id;
  }

  get handle(): string {
    return `${this.name}@${this.zone}`;
  }

  /** A new link to one door of a tracker. */
  async to({ peer, addresses }: { peer: string; addresses: readonly string[] }): Promise<Link> {
    const link = await dialLink({
      address: addresses[0] ?? '',
      expect: peer,
      identity: this.identity,
      router: this.router,
      self: () => ({
        protocol: { min: 1, max: 1 },
        software: 'test',
        role: 'node',
        account: bind(this.account, this.handle, this.identity.id, Date.now()),
      }),
      clock: systemClock,
      log: silentLog(),
    });
    this.#links.add(link);
    return link;
  }

  /** Newer than all before. */
  record(over: Partial<Claim> = {}): DirectoryRecord {
    this.#seq = Math.max(Date.now(), this.#seq + 1);
    return signRecord(this.account, {
      handle: this.handle,
      node: this.identity.id,
      addresses: [],
      status: 'online',
      text: '',
      seq: this.#seq,
      until: Date.now() + 90_000,
      ...over,
    });
  }

  announce(link: Link, over: Partial<Claim> = {}) {
    return link.request(directory.announce, { record: this.record(over) });
  }

  /** What the pushes say of somebody, newest last. */
  heardOf(account: string): { online: boolean; text: string }[] {
    return this.changed
      .flatMap(({ entries }) => entries)
      .filter(({ record }) => record.account === account)
      .map(({ online, record }) => ({ online, text: record.text }));
  }

  room(name: string, home: string): Creation {
    return signCreation(this.account, { name, home, history: 'all', at: Date.now(), nonce: name });
  }

  change(
    conversation: string,
    type: ChangeType,
    over: { target?: string; role?: Role; upTo?: number; base?: number } = {},
  ): Change {
    const { target = null, role = null, upTo = null, base = 0 } = over;
    return signChange(this.account, { conversation, type, target, role, upTo, base, at: Date.now() });
  }

  close(): void {
    for (const link of this.#links) link.close();
    this.#links.clear();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** The order of a room as one door of its home shows it. */
export async function orderOf(link: Link, conversation: string): Promise<Ordered[]> {
  const all: Ordered[] = [];
  for (;;) {
    const { ordered, number } = await link.request(roomLog, { conversation, after: all.length });
    all.push(...ordered);
    if (all.length >= number) return all;
    expect(ordered.length).toBeGreaterThan(0);
  }
}

/** The answer, or the code of the fault that came instead. */
export async function answerOf<P, R>(link: Link, method: Method<P, R>, params: P): Promise<R | string> {
  try {
    return await link.request(method, params);
  } catch (error) {
    return toFault(error).code;
  }
}
