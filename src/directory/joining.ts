/** Whom a zone takes in: anybody, whoever brings an invite, or nobody new. to */
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { Statement, Store } from '../base/sqlite.ts';
import type { Key } from '../link/identity.ts';
import type { Admins } from './admin.ts';
import { type Invitation, readInvitation, signInvitation } from './invitation.ts';

export const POLICIES = ['open', 'invite', 'closed'] as const;

export type Policy = (typeof POLICIES)[number];

/** Why an invite does not let somebody in. */
type Flaw = 'missing' | 'unreadable' | 'other_zone' | 'not_an_admin' | 'expired' | 'used_up';

const WORDS: Record<Flaw, string> = {
  missing: 'you brought none',
  unreadable: 'yours cannot be read or is not signed',
  other_zone: 'yours is for another zone',
  not_an_admin: 'yours was signed by somebody who does not administer it',
  expired: 'the time of yours is over',
  used_up: 'yours has been used as often as it may be',
};

const SCHEMA = [
  `CREATE TABLE joining_policies (zone TEXT PRIMARY KEY, policy TEXT NOT NULL) STRICT, WITHOUT ROWID;
   CREATE TABLE joining_uses (
     invitation TEXT PRIMARY KEY, used INTEGER NOT NULL, until INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX joining_uses_until ON joining_uses (until);`,
];

export class Joining {
  readonly #clock: Clock;
  readonly #key: Key;
  readonly #admins: Admins;
  readonly #policies = new Map<string, Policy>();
  readonly #keep: Statement;
  readonly #used: Statement<{ used: number }>;
  readonly #use: Statement;
  readonly #sweep: Statement;
  #given: Policy | undefined;

  /** `store` is open; its tables are made and read here. `key` is the tracker's; `given`: what its operator settled. */
  constructor(options: { store: Store; clock: Clock; key: Key; admins: Admins; given?: Policy | undefined }) {
    const { store } = options;
    this.#clock = options.clock;
    this.#key = options.key;
    this.#admins = options.admins;
    this.#given = options.given;
    store.migrate('joining', SCHEMA);
    this.#keep = store.prepare('INSERT OR REPLACE INTO joining_policies (zone, policy) VALUES (?, ?)');
    this.#used = store.prepare('SELECT used FROM joining_uses WHERE invitation = ?');
    this.#use = store.prepare(
      `INSERT INTO joining_uses (invitation, used, until) VALUES (?, 1, ?)
       ON CONFLICT (invitation) DO UPDATE SET used = used + 1`,
    );
    this.#sweep = store.prepare('DELETE FROM joining_uses WHERE until <= ?');
    type Kept = { zone: string; policy: string };
    for (const { zone, policy } of store.prepare<Kept>('SELECT zone, policy FROM joining_policies').all()) {
      const known = POLICIES.find((each) => each === policy);
      this.#policies.set(zone, known ?? 'closed'); // a later version's word, or a damaged one: nobody slips in by it
    }
  }

  policyOf(zone: string): Policy {
    return this.#given ?? this.#policies.get(zone) ?? 'open';
  }

  /** Durable when it answers. Throws `wrong_state` where the operator has settled it. */
  setPolicy(zone: string, policy: Policy): void {
    if (this.#given !== undefined && this.#given !== policy) {
      throw new Fault(
        'wrong_state',
        `setting the policy of "${zone}" to "${policy}": the operator of its tracker has settled it as "${this.#given}", by --policy, NETAPP_POLICY or config.json`,
      );
    }
    this.#keep.run(zone, policy);
    this.#policies.set(zone, policy);
  }

  /** What the operator settles from now on; undefined: the admins do. */
  settle(policy: Policy | undefined): void {
    this.#given = policy;
  }

  invite(zone: string, { uses, ttlMs }: { uses: number; ttlMs: number }): Invitation {
    return signInvitation(this.#key, { zone, uses, until: this.#clock.now() + ttlMs });
  }

  /**
   * Lets a new handle be bound, and counts the use of an invite; to be called in the transaction that binds it. Throws
   * `not_invited`.
   */
  admit(handle: string, account: string, invitation: string | undefined): void {
    const zone = handle.slice(handle.indexOf('@') + 1);
    const policy = this.policyOf(zone);
    if (policy === 'open' || this.#admins.has(account)) return;
    if (policy === 'closed') {
      throw new Fault(
        'not_invited',
        `announcing "${handle}": the zone "${zone}" is closed, and takes nobody who has no name in it yet; ask one of its admins`,
        { data: { zone, policy } },
      );
    }
    const brought = invitation === undefined ? undefined : readInvitation(invitation);
    const reason = this.#flaw(zone, invitation, brought);
    if (reason === undefined && brought) {
      this.#sweep.run(this.#clock.now());
      this.#use.run(brought.id, brought.until);
      return;
    }
    throw new Fault(
      'not_invited',
      `announcing "${handle}": the zone "${zone}" takes newcomers by invite alone, and ${WORDS[reason ?? 'unreadable']}; ask one of its admins for a link of "netapp zones invite", and join with it`,
      { data: { zone, policy, reason } },
    );
  }

  #flaw(zone: string, text: string | undefined, brought: Invitation | undefined): Flaw | undefined {
    if (text === undefined) return 'missing';
    if (!brought) return 'unreadable';
    if (brought.zone !== zone) return 'other_zone';
    if (brought.by !== this.#key.id && !this.#admins.has(brought.by)) return 'not_an_admin';
    if (brought.until <= this.#clock.now()) return 'expired';
    if ((this.#used.get(brought.id)?.used ?? 0) >= brought.uses) return 'used_up';
    return undefined;
  }
}
