/** The few pages that the agent itself shows: what it is and can do, and the door by which a browser comes in. */
import { hash } from 'node:crypto';
import { z } from 'zod';
import type { Backend } from '../api/backend.ts';
import { type Caller, may } from '../api/caller.ts';
import { type Operation, operationList } from '../api/catalogue.ts';
import type { Status } from '../api/shapes.ts';
import { Fault } from '../base/fault.ts';

type Page = { html: string; policy: string };

const STYLE = `:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2rem .8rem .2rem 0;vertical-align:top}code{font-size:.9em}`;

// Behind #, the code reaches no server; this takes it from the address and changes it for the cookie.
const SCRIPT = `const code = location.hash.slice(1);
history.replaceState(null, '', location.pathname);
const say = (text) => { document.getElementById('said').textContent = text; };
fetch('/open', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ code }) })
  .then(async (answer) => { if (answer.ok) location.replace('/'); else say((await answer.json()).detail); })
  .catch(() => say('The agent does not answer.'));`;

const sourceOf = (text: string): string => `'sha256-${hash('sha256', text, 'base64')}'`;

function page(title: string, body: string, script?: string): Page {
  const scripts = script === undefined ? '' : `script-src ${sourceOf(script)}; connect-src 'self'; `;
  return {
    html: `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escaped(title)}</title><style>${STYLE}</style></head>
<body><h1>${escaped(title)}</h1>
${body}
${script === undefined ? '' : `<script>${script}</script>`}</body></html>
`,
    policy: `default-src 'none'; style-src ${sourceOf(STYLE)}; ${scripts}base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  };
}

export const OPEN_PAGE = page(
  'NetApp',
  '<p id="said">Opening a session&hellip;</p><noscript><p>This page needs JavaScript to open a session.</p></noscript>',
  SCRIPT,
);

export const SIGN_IN_PAGE = page(
  'NetApp',
  '<p>This browser has no session here. Run <code>netapp open</code> on this machine, and follow the link.</p>',
);

const opening = z.object({ code: z.string().max(200) });

/** The one-time code that the page sends. Throws `invalid_argument`. */
export function codeOf(body: unknown): string {
  const parsed = opening.safeParse(body);
  if (parsed.success) return parsed.data.code;
  throw new Fault('invalid_argument', 'opening a session: expected {"code": ...} from the link of "netapp open"');
}

/** What this agent is, how it stands, and what the one who looks may ask of it. */
export async function indexPage(backend: Backend, caller: Caller | undefined): Promise<Page> {
  const allowed = (name: string, scope?: string): boolean => caller === undefined || may(caller, { name, scope });
  const shown = operationList.filter(({ name, meta }) => allowed(name, meta.scope));
  const status = allowed('status.show') ? await backend.status() : undefined;
  const body = [
    ...(status ? [table(statusRows(status))] : []),
    `<h2>API</h2><p><a href="/openapi.json">OpenAPI 3.1</a>. The same operations stand at the socket and at the command line.</p>`,
    table(shown.map(operationRow)),
  ];
  return page(status ? `NetApp: ${status.handle}` : 'NetApp', body.join('\n'));
}

function statusRows({ handle, status, text, trackers, links, queue, version, since }: Status): string[][] {
  return [
    ['handle', handle],
    ['status', text === '' ? status : `${status}: ${text}`],
    ...trackers.map(({ zone, address, state, error }) => [
      'tracker',
      `${zone} at ${address}: ${state}${error ? `, ${error}` : ''}`,
    ]),
    ['links', String(links)],
    ['waiting', `${queue.messages} messages, ${queue.files} files`],
    ['version', `${version}, up since ${since}`],
  ];
}

const operationRow = ({ method, httpPath, summary, meta }: Operation): string[] => [
  `${method} ${httpPath}`,
  `netapp ${meta.command.words.join(' ')}`,
  summary,
];

function table(rows: readonly (readonly string[])[]): string {
  const row = (cells: readonly string[]) => `<tr>${cells.map((cell) => `<td>${escaped(cell)}</td>`).join('')}</tr>`;
  return `<table>${rows.map(row).join('\n')}</table>`;
}

function escaped(text: string): string {
  const names: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
  return text.replaceAll(/[&<>"']/g, (char) => names[char] ?? '');
}
