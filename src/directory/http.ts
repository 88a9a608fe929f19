/** The directory's reads over plain HTTP, so that any client and any cache can follow them. [D-30] to [D-33] */
import type { Clock } from '../base/clock.ts';
import { hash } from '../base/encoding.ts';
import { Fault } from '../base/fault.ts';
import { plainIp } from '../link/address.ts';
import type { HttpHandler } from '../link/listen.ts';
import { handle } from './handle.ts';
import type { Asker } from './hiding.ts';
import { list } from './messages.ts';
import type { DirectoryTable } from './table.ts';
import { entryText, pageFor } from './view.ts';

/** Where the routes stand, for `Listener.route`. */
export const DIRECTORY_PATH = '/directory/';

/** Seconds that a cache may answer by itself. A change is pushed to watchers; who polls wants it soon. */
const MAX_AGE_S = 5;
/** Milliseconds that one rendering is served for an unchanged list, so that renewals of records show in time. */
const MOST_RENDERED_MS = 30_000;
/** Renderings kept: one for each page and each host that asks. A page is at most 1 MiB. */
const MOST_RENDERED = 32;

type Rendering = { version: string; at: number; body: string; etag: string };

/** Handles `GET` and `HEAD` of `/directory/list` and `/directory/records/{handle}`. */
export function directoryHttp(options: { table: DirectoryTable; clock: Clock }): HttpHandler {
  const { table, clock } = options;
  const rendered = new Map<string, Rendering>();

  /** The same bytes as long as the version is the same: then the tag is a strong one. [D-31] */
  const render = (key: string, version: string, make: () => string): Rendering => {
    const now = clock.now();
    const known = rendered.get(key);
    if (known && known.version === version && now - known.at < MOST_RENDERED_MS) return known;
    const body = `${make()}\n`;
    const rendering = { version, at: now, body, etag: `"${version}-${hash(body).slice(0, 16)}"` };
    rendered.delete(key);
    rendered.set(key, rendering);
    for (const oldest of rendered.keys()) {
      if (rendered.size <= MOST_RENDERED) break;
      rendered.delete(oldest);
    }
    return rendering;
  };

  return (request, response, { peer, path, query }) => {
    // [D-33]
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.writeHead(405, {
        allow: 'GET, HEAD',
        'content-type': 'application/json',
        'x-netapp-fault': 'unknown_operation',
      });
      const message = `asking for "${path.slice(0, 100)}" with ${request.method}: it can only be read`;
      response.end(`${JSON.stringify({ code: 'unknown_operation', message })}\n`);
      return;
    }
    // [D-32]
    if (!peer) {
      throw new Fault('unauthenticated', `asking for "${path.slice(0, 100)}": show a client certificate of a node key`);
    }
    const host = plainIp(request.socket.remoteAddress);
    const rendering = route(path, query, { host, asker: table.accountAt(peer) });
    response.setHeader('etag', rendering.etag);
    response.setHeader('cache-control', `private, max-age=${MAX_AGE_S}, must-revalidate`);
    if (matches(request.headers['if-none-match'], rendering.etag)) {
      response.writeHead(304).end();
      return;
    }
    response.writeHead(200, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(rendering.body),
    });
    response.end(request.method === 'HEAD' ? undefined : rendering.body);
  };

  function route(path: string, query: URLSearchParams, who: { host: string; asker: Asker }): Rendering {
    const { host, asker } = who;
    // Where nobody hides from anybody, one rendering is for all who ask from one host.
    const eyes = table.hides ? `${host} ${asker ?? ''}` : host;
    const what = path.slice(DIRECTORY_PATH.length);
    if (what === 'list') {
      const asked = list.params.safeParse({
        since: query.get('since') ?? undefined,
        after: query.get('after') ?? undefined,
      });
      if (!asked.success) {
        throw new Fault('invalid_argument', `asking for "${path}": "since" is a version and "after" an account id`);
      }
      const { since, after } = asked.data;
      return render(`list ${eyes} ${since ?? ''} ${after ?? ''}`, table.version, () =>
        pageFor(table, who, since, after),
      );
    }
    if (what.startsWith('records/')) {
      const asked = handle.safeParse(decode(what.slice('records/'.length)));
      if (!asked.success) throw new Fault('invalid_argument', `asking for "${path.slice(0, 100)}": no handle follows`);
      const row = table.find(asked.data, asker);
      return render(`record ${eyes} ${asked.data}`, String(row.changed), () => entryText(row, host));
    }
    throw new Fault('unknown_operation', `asking for "${path.slice(0, 100)}": there is no such path here`);
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}

/** RFC 9110, section 13.1.2: weak comparison, any of a list, or `*`. */
function matches(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  return header.split(',').some((part) => {
    const tag = part.trim().replace(/^W\//, '');
    return tag === '*' || tag === etag;
  });
}
