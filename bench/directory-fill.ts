/** Fills a tracker's store with accounts, as if they had announced themselves and gone. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { toBase32, toBase64url } from '../src/base/encoding.ts';
import { Store } from '../src/base/sqlite.ts';
import { Bindings } from '../src/directory/bindings.ts';
import { LiveRow } from '../src/directory/row.ts';

/** Written in one transaction. */
const AT_ONCE = 10_000;

export const handleAt = (n: number): string => `person-${n}@bench`;

/** Keys and signatures are random bytes: at a start they are not looked at, and cost the same to keep. */
export function fill(home: string, count: number): void {
  using store = new Store(join(home, 'tracker.db'));
  const bindings = new Bindings(store);
  const now = Date.now();
  for (let first = 0; first < count; first += AT_ONCE) {
    const rows = Array.from({ length: Math.min(AT_ONCE, count - first) }, (_, n) => {
      const host = `10.${(first >> 16) & 255}.${((first + n) >> 8) & 255}.${n & 255}`;
      const record = {
        handle: handleAt(first + n),
        account: toBase32(randomBytes(32)),
        node: toBase32(randomBytes(32)),
        addresses: [`${host}:33357`, `192.168.1.${n & 255}:33357`],
        status: 'online' as const,
        text: n % 4 === 0 ? 'in the lab until six' : '',
        seq: now + n,
        until: now + 90_000,
        seal: toBase32(randomBytes(32)),
        sig: toBase64url(randomBytes(64)),
      };
      return LiveRow.of(record, { verified: [`${host}:33357`], observed: host, online: false, lastSeen: now });
    });
    store.transaction(() => {
      for (const { handle, account } of rows) bindings.claim(handle, account, now);
      bindings.keep(rows, []);
    });
  }
}
