/** The accounts that a node hosts: their names, and their keys, each sealed so that a copy of the store alone opens none. */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { Fault } from '../base/fault.ts';
import type { Store } from '../base/sqlite.ts';
import { Key } from '../link/identity.ts';

const STEPS = [
  `
  -- claimed: a tracker has bound the name to the account. sealed: nonce, AES-256-GCM of the key's seed, tag.
  CREATE TABLE hosted_accounts (
    name TEXT PRIMARY KEY,
    account TEXT NOT NULL UNIQUE,
    sealed BLOB NOT NULL,
    claimed INTEGER NOT NULL DEFAULT 0,
    since INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
] as const;

const NONCE = 12;
const TAG = 16;

export type HostedRow = { name: string; account: string; isClaimed: boolean };

export class HostedKeys {
  readonly #store: Store;
  readonly #secret: Uint8Array;

  /** `secret`: 32 bytes that only this node's own account can make again. */
  constructor(store: Store, secret: Uint8Array) {
    this.#store = store;
    this.#secret = secret;
  }

  migrate(): void {
    this.#store.migrate('hosted', STEPS);
  }

  all(): HostedRow[] {
    return this.#store
      .prepare<{ name: string; account: string; claimed: number }>('SELECT name, account, claimed FROM hosted_accounts')
      .all()
      .map(({ name, account, claimed }) => ({ name, account, isClaimed: claimed === 1 }));
  }

  /** Makes a key for the name. */
  add(name: string, now: number): HostedRow {
    const key = Key.generate();
    const nonce = randomBytes(NONCE);
    const cipher = createCipheriv('aes-256-gcm', this.#secret, nonce).setAAD(aad(name, key.id));
    const sealed = Buffer.concat([nonce, cipher.update(key.seed), cipher.final(), cipher.getAuthTag()]);
    this.#store
      .prepare('INSERT INTO hosted_accounts (name, account, sealed, since) VALUES (?, ?, ?, ?)')
      .run(name, key.id, sealed, now);
    return { name, account: key.id, isClaimed: false };
  }

  claimed(name: string): void {
    this.#store.prepare('UPDATE hosted_accounts SET claimed = 1 WHERE name = ?').run(name);
  }

  /** Forgets a name that turned out to be somebody else's; never one that was claimed. */
  remove(name: string): void {
    this.#store.prepare('DELETE FROM hosted_accounts WHERE name = ? AND claimed = 0').run(name);
  }

  /** Throws `corrupt` where it does not open. */
  key({ name, account }: HostedRow): Key {
    const row = this.#store
      .prepare<{ sealed: Uint8Array }>('SELECT sealed FROM hosted_accounts WHERE name = ?')
      .get(name);
    const sealed = Buffer.from(row?.sealed ?? []);
    try {
      const opened = createDecipheriv('aes-256-gcm', this.#secret, sealed.subarray(0, NONCE))
        .setAAD(aad(name, account))
        .setAuthTag(sealed.subarray(-TAG));
      return Key.fromSeed(Buffer.concat([opened.update(sealed.subarray(NONCE, -TAG)), opened.final()]));
    } catch {
      throw new Fault(
        'corrupt',
        `opening the key of the hosted account "${name}": it was sealed by another node's account, or is damaged; restore "account.key" and the store from one backup`,
      );
    }
  }
}

const aad = (name: string, account: string): Buffer => Buffer.from(`${name}\n${account}`);
