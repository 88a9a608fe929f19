/** How tokens, sessions and webhooks look to a person. */
import {
  type BrowserSession,
  type DeadLetter,
  deadLetter,
  type Replayed,
  replayed,
  type SessionLink,
  session,
  sessionLink,
  type Token,
  type TokenMade,
  token,
  tokenMade,
  type Webhook,
  type WebhookMade,
  type WebhookTested,
  webhook,
  webhookMade,
  webhookTested,
} from '../api/shapes.ts';
import { type Noun, noun, state } from './noun.ts';
import type { Cell } from './term.ts';
import { showTime } from './units.ts';

const tokenRow = (t: Token): Cell[] => [
  t.id,
  { text: t.name, style: 'bold' },
  t.scopes.join(','),
  state(t.state),
  showTime(t.expires),
  t.usedAt ? showTime(t.usedAt) : 'never',
];
const tokenHead = ['ID', 'NAME', 'SCOPES', 'STATE', 'UNTIL', 'USED'];
const tokens = noun<Token>(token, { head: tokenHead, none: 'no tokens were made yet', row: tokenRow });
const tokensMade = noun<TokenMade>(tokenMade, {
  head: tokenHead,
  none: '',
  row: tokenRow,
  detail: (t) => [
    ['token', { text: t.token, style: 'bold' }],
    ['id', t.id],
    ['may', t.scopes.join(', ')],
    ['until', showTime(t.expires)],
    ['note', 'it is not shown again; send it as "Authorization: Bearer ..."'],
  ],
});

const sessions = noun<BrowserSession>(session, {
  head: ['ID', 'STATE', 'OPENED', 'UNTIL', 'USED', 'SCOPES'],
  none: 'no browser has a session',
  row: (s) => [
    s.id,
    state(s.state),
    showTime(s.at),
    showTime(s.expires),
    s.usedAt ? showTime(s.usedAt) : 'never',
    s.scopes.join(','),
  ],
});
const sessionLinks = noun<SessionLink>(sessionLink, {
  head: ['LINK', 'UNTIL'],
  none: '',
  row: (s) => [s.url, showTime(s.expires)],
  detail: (s) => [
    ['link', { text: s.url, style: 'bold' }],
    ['until', `${showTime(s.expires)}, and once`],
  ],
});

const problemOf = (error: { message: string } | null): Cell => (error ? { text: error.message, style: 'red' } : '-');
const webhookHead = ['ID', 'URL', 'MATCH', 'STATE', 'DELIVERED', 'DEAD', 'ERROR'];
const webhookRow = (w: Webhook): Cell[] => [
  w.id,
  { text: w.url, style: 'bold' },
  w.match.join(',') || '*',
  state(w.state),
  String(w.delivered),
  w.dead === 0 ? '-' : { text: String(w.dead), style: 'red' },
  problemOf(w.error),
];
const webhookDetail = (w: Webhook): [string, Cell][] => [
  ['id', w.id],
  ['url', { text: w.url, style: 'bold' }],
  ['match', w.match.join(', ') || 'all events'],
  ['state', state(w.state)],
  ['cursor', String(w.cursor)],
  ['delivered', String(w.delivered)],
  ['dead', String(w.dead)],
  ['tries', String(w.attempts)],
  ...(w.failingSince ? [['fails since', showTime(w.failingSince)] satisfies [string, Cell]] : []),
  ['error', problemOf(w.error)],
];
const webhooks = noun<Webhook>(webhook, {
  head: webhookHead,
  none: 'no webhooks were made yet',
  row: webhookRow,
  detail: webhookDetail,
});
const webhooksMade = noun<WebhookMade>(webhookMade, {
  head: webhookHead,
  none: '',
  row: webhookRow,
  detail: (w) => [
    ['secret', { text: w.secret, style: 'bold' }],
    ['note', 'the key of the signatures; it is not shown again'],
    ...webhookDetail(w),
  ],
});
const tests = noun<WebhookTested>(webhookTested, {
  head: ['TAKEN', 'STATUS', 'TIME', 'ERROR'],
  none: '',
  row: (t) => [
    t.delivered ? { text: 'yes', style: 'green' } : { text: 'no', style: 'red' },
    t.status === null ? '-' : String(t.status),
    `${t.ms} ms`,
    problemOf(t.error),
  ],
});
const letters = noun<DeadLetter>(deadLetter, {
  head: ['LETTER', 'CURSOR', 'TYPE', 'GIVEN UP', 'TRIES', 'ERROR'],
  none: 'no dead letters',
  row: (d) => [
    String(d.letter),
    String(d.cursor),
    d.type ?? '(dropped)',
    showTime(d.at),
    String(d.attempts),
    problemOf(d.error),
  ],
});
const replays = noun<Replayed>(replayed, {
  head: ['REPLAYED', 'LEFT', 'ERROR'],
  none: '',
  row: (r) => [String(r.replayed), String(r.left), problemOf(r.error)],
});

export const doorNouns: readonly (readonly [unknown, Noun])[] = [
  [token, tokens],
  [tokenMade, tokensMade],
  [session, sessions],
  [sessionLink, sessionLinks],
  [webhook, webhooks],
  [webhookMade, webhooksMade],
  [webhookTested, tests],
  [deadLetter, letters],
  [replayed, replays],
];
