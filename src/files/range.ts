/** The conditional and range headers of HTTP that a blob understands (RFC 9110, sections 13 and 14). Pure. [F-11] */

/** First byte, and first byte after. */
export type ByteRange = { start: number; end: number };

/**
 * The range asked for, of `size` bytes; `all` where there is none, or one that this does not do (several ranges, another
 * unit) and may ignore; `outside` where nothing of it is there.
 */
export function readRange(header: string | undefined, size: number): ByteRange | 'all' | 'outside' {
  const match = /^bytes=(?:(\d{1,15})-(\d{1,15})?|-(\d{1,15}))$/i.exec(header?.trim() ?? '');
  if (!match) return 'all';
  const [, first, last, suffix] = match;
  if (suffix !== undefined) {
    const start = Math.max(0, size - Number(suffix));
    return start < size ? { start, end: size } : 'outside';
  }
  const start = Number(first);
  const end = last === undefined ? size : Math.min(size, Number(last) + 1);
  if (last !== undefined && Number(last) < start) return 'all';
  return start < size ? { start, end } : 'outside';
}

/** Whether `If-None-Match` names `etag`. */
export function namesEtag(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  return header.split(',').some((text) => text.trim() === '*' || text.trim().replace(/^W\//, '') === etag);
}
