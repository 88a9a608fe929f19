/**
 * The web page as it was built. What may be asked for is what the folder held when it was first looked at: no path from outside
 * reaches the disk.
 */
import { hash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { toFault } from '../base/fault.ts';
import { hasTag } from './answer.ts';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.webmanifest': 'application/manifest+json',
};

/**
 * Nothing from other hosts, no script or style but the files that were built, and no text that becomes a script; `away` is the page's rule
 * for the address of its service worker. Pictures may be data or
 * blobs, which scripts of the page make of what the user drops or pastes.
 */
const policyOf = (previews: string): string =>
  [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    `img-src 'self' data: blob: ${previews}`,
    `media-src ${previews}`,
    `frame-src ${previews}`,
    "connect-src 'self'",
    "manifest-src 'self'",
    "worker-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    'trusted-types away',
  ].join('; ');

/** Names of built files carry the hash of what is in them: they never change. */
const FOR_EVER = 'public, max-age=31536000, immutable';

type Asset = { bytes: Buffer; type: string; tag: string; immutable: boolean };

type Options = { previews: string; folder?: string };

export class WebPage {
  readonly #folder: string;
  readonly #policy: string;
  #assets: Promise<ReadonlyMap<string, Asset>> | undefined;

  /** `previews`: the origin at which received files are looked at. */
  constructor({ previews, folder = fileURLToPath(new URL('../../dist-web/', import.meta.url)) }: Options) {
    this.#folder = folder;
    this.#policy = policyOf(previews);
  }

  /** Whether it is a file of the page, and then it was sent. */
  async answer(request: IncomingMessage, response: ServerResponse, path: string): Promise<boolean> {
    const asset = request.method === 'GET' || request.method === 'HEAD' ? (await this.#all()).get(path) : undefined;
    if (!asset) return false;
    const { bytes, type, tag, immutable } = asset;
    response.setHeader('content-security-policy', this.#policy);
    response.setHeader('cache-control', immutable ? FOR_EVER : 'no-cache');
    response.setHeader('etag', tag);
    if (hasTag(request.headers['if-none-match'], tag)) response.writeHead(304).end();
    else {
      response.writeHead(200, { 'content-type': type, 'content-length': bytes.length });
      response.end(request.method === 'HEAD' ? undefined : bytes);
    }
    return true;
  }

  #all(): Promise<ReadonlyMap<string, Asset>> {
    this.#assets ??= read(this.#folder);
    return this.#assets;
  }
}

async function read(folder: string): Promise<ReadonlyMap<string, Asset>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw toFault(error, `reading the page in "${folder}"`, 'unreadable');
    },
  );
  const assets = new Map<string, Asset>();
  for (const entry of entries) {
    const type = TYPES[extname(entry.name)];
    if (!entry.isFile() || type === undefined) continue;
    const file = join(entry.parentPath, entry.name);
    const bytes = await readFile(file);
    const path = `/${relative(folder, file).split(sep).join('/')}`;
    const tag = `"${hash('sha256', bytes, 'base64url').slice(0, 27)}"`;
    assets.set(path === '/index.html' ? '/' : path, { bytes, type, tag, immutable: path.startsWith('/assets/') });
  }
  return assets;
}
