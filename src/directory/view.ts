/** What one asker may see of the table: addresses by the rule against reflection, in pages that fit a frame. */
import { parseAddress, scopeOf } from '../link/address.ts';
import type { Asker } from './hiding.ts';
import { type Entry, PAGE_BYTES, type Page } from './messages.ts';
import type { DirectoryTable, Row } from './table.ts';

/** The host part of a link's address; the whole text where it is none (a link in memory). */
export function hostOf(address: string): string {
  try {
    return parseAddress(address).host;
  } catch {
    return address;
  }
}

/** `row` as an asker at `host` sees it. [D-22] [D-23] */
export function entryFor(row: Row, host: string): Entry {
  const near = row.observed === host;
  const scope = scopeOf(host);
  // The tracker's own loopback is another machine's loopback to everybody who is not on the tracker's machine.
  const reachable = (address: string): boolean =>
    near || scope === 'loopback' || scopeOf(hostOf(address)) !== 'loopback';
  return {
    record: row.record,
    verified: row.verified.filter(reachable),
    observed: near || (scope !== 'public' && scopeOf(row.observed) === scope) ? row.observed : null,
    near,
    online: row.online,
    lastSeen: row.lastSeen,
  };
}

/** Askers with the same key see the same of these rows, so that what is pushed to many is encoded once. */
export function audience(rows: readonly Row[], host: string): string {
  return rows.some(({ observed }) => observed === host) ? host : scopeOf(host);
}

/** The rows as encoded entries, in pages of at most `PAGE_BYTES`; at least one page. [D-16] */
export function* pages(
  rows: readonly Row[],
  host: string,
): Generator<{ entries: Entry[]; last: Row | undefined; more: boolean }> {
  let [entries, bytes]: [Entry[], number] = [[], 0];
  let last: Row | undefined;
  for (const row of rows) {
    const entry = entryFor(row, host);
    const size = Buffer.byteLength(JSON.stringify(entry)) + 1;
    if (entries.length > 0 && bytes + size > PAGE_BYTES) {
      yield { entries, last, more: true };
      [entries, bytes] = [[], 0];
    }
    entries.push(entry);
    bytes += size;
    last = row;
  }
  yield { entries, last, more: false };
}

/** One answer to `directory.list`. */
export function pageFor(
  table: DirectoryTable,
  { host, asker }: { host: string; asker: Asker },
  since: string | undefined,
  after: string | undefined,
): Page {
  const { full, rows, gone } = table.since(since, asker);
  const rest = after === undefined ? rows : rows.filter(({ record }) => record.account > after);
  for (const { entries, last, more } of pages(rest, host)) {
    const next = more ? (last?.record.account ?? null) : null;
    return { version: table.version, full, entries, gone: after === undefined ? gone : [], next };
  }
  return { version: table.version, full, entries: [], gone, next: null };
}
