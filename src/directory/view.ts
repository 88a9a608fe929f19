/** What one asker may see of the table: addresses by the rule against reflection, in pages that fit a frame. */
import { parseAddress, type Scope, scopeOf } from '../link/address.ts';
import type { Asker } from './hiding.ts';
import { type Entry, PAGE_BYTES } from './messages.ts';
import { LiveRow, type Row } from './row.ts';
import type { DirectoryTable } from './table.ts';

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

/** `entryFor` in JSON. */
export function entryText(row: Row, host: string, scope: Scope = scopeOf(host)): string {
  if (!(row instanceof LiveRow)) return JSON.stringify(entryFor(row, host));
  return `{"record":${row.text}${besidesRecord(row, host, scope)}`;
}

/** What stands in `entryText` behind the record, encoded once for all who see the same of it. */
export function besidesRecord(row: LiveRow, host: string, scope: Scope): string {
  const eyes = row.observed === host ? 'near' : scope;
  const known = row.toldTo(eyes);
  if (known !== undefined) return known;
  const { record, ...rest } = entryFor(row, host);
  const text = `,${JSON.stringify(rest).slice(1)}`;
  row.tell(eyes, text);
  return text;
}

/** Askers with the same key see the same of these rows, so that what is pushed to many is encoded once. */
export function audience(rows: readonly Row[], host: string): string {
  return rows.some(({ observed }) => observed === host) ? host : scopeOf(host);
}

/** The rows as a JSON array of entries, in pages of at most `PAGE_BYTES`; at least one page. [D-16] */
export function* pages(
  rows: Iterable<Row>,
  host: string,
): Generator<{ entries: string; last: Row | undefined; more: boolean }> {
  let [entries, bytes]: [string[], number] = [[], 0];
  let last: Row | undefined;
  for (const row of rows) {
    const entry = entryText(row, host);
    const size = Buffer.byteLength(entry) + 1;
    if (entries.length > 0 && bytes + size > PAGE_BYTES) {
      yield { entries: `[${entries.join()}]`, last, more: true };
      [entries, bytes] = [[], 0];
    }
    entries.push(entry);
    bytes += size;
    last = row;
  }
  yield { entries: `[${entries.join()}]`, last, more: false };
}

/** One answer to `directory.list`, in JSON. */
export function pageFor(
  table: DirectoryTable,
  { host, asker }: { host: string; asker: Asker },
  since: string | undefined,
  after: string | undefined,
): string {
  const { full, rows, gone } = table.since(since, asker, after);
  for (const { entries, last, more } of pages(rows, host)) {
    const next = more ? (last?.account ?? null) : null;
    const left = JSON.stringify(after === undefined ? gone : []);
    return `{"version":"${table.version}","full":${full},"entries":${entries},"gone":${left},"next":${JSON.stringify(next)}}`;
  }
  throw new Error('there is at least one page');
}
