/** How each noun of the API looks to a person. With `--json` none of this is used. */
import { type Job, job } from '../api/job.ts';
import { followedMessage } from '../api/messages.ts';
import {
  type BackupInfo,
  backupInfo,
  type Conversation,
  conversation,
  type FileCertificate,
  type FileCheck,
  type FileGarbage,
  type FileInfo,
  type FileLimits,
  type FileLink,
  type FileQuota,
  type Finding,
  type Found,
  file,
  fileCertificate,
  fileCheck,
  fileGarbage,
  fileLimits,
  fileLink,
  fileQuota,
  finding,
  found,
  type GivenLink,
  givenLink,
  type Heard,
  heard,
  type InviteInfo,
  invite,
  type LinkInfo,
  linkInfo,
  type Message,
  type MessageInFull,
  message,
  messageInFull,
  type Person,
  type PersonFound,
  type Preview,
  person,
  personFound,
  preview,
  type Room,
  room,
  type Safety,
  type Staged,
  type Status,
  safety,
  staged,
  status,
  type Zone,
  zone,
} from '../api/shapes.ts';
import { cleanText, jsonLine } from './clean.ts';
import { jobName, jobStanding } from './job-progress.ts';
import { type Noun, noun, state, styles } from './noun.ts';
import { adminNouns } from './nouns-admin.ts';
import { doorNouns } from './nouns-doors.ts';
import { networkNouns } from './nouns-network.ts';
import type { Cell } from './term.ts';
import { stepLine } from './trace.ts';
import { showAgo, showBytes, showTime } from './units.ts';

function marksOf(p: Person): string[] {
  return [
    ...(p.keyChanged ? ['KEY CHANGED'] : []),
    ...(p.verifiedAt ? ['verified'] : []),
    ...(p.blocked ? ['blocked'] : []),
    ...(p.hosted ? ['hosted'] : []),
  ];
}

function takes(p: Person): string {
  if (p.autoAccept === null) return 'after asking';
  return `unasked up to ${showBytes(p.autoAccept)}${p.autoAcceptInto ? `, into ${p.autoAcceptInto}` : ''}`;
}

const people = noun<Person>(person, {
  head: ['HANDLE', 'STATUS', 'MARKS', 'SEEN'],
  none: 'nobody is known yet',
  row: (p) => [
    { text: p.me ? `${p.handle} (me)` : p.handle, style: 'bold' },
    { text: p.text ? `${p.status}: ${p.text}` : p.status, style: styles[p.status] },
    { text: marksOf(p).join(', '), style: p.keyChanged ? 'red' : undefined },
    p.status === 'offline' && Date.parse(p.lastSeen) > 0 ? showAgo(p.lastSeen) : '',
  ],
  detail: (p) => [
    ['handle', { text: p.handle, style: 'bold' }],
    ['status', state(p.status)],
    ...(p.text ? [['words', p.text] satisfies [string, Cell]] : []),
    ['last seen', Date.parse(p.lastSeen) > 0 ? showTime(p.lastSeen) : 'never'],
    ['account', p.id],
    ['node', p.node],
    ['addresses', p.addresses.join(' ') || '-'],
    ...(p.verifiedAt
      ? [['verified', `${showTime(p.verifiedAt)}, by ${p.verifiedBy ?? 'number'}`] satisfies [string, Cell]]
      : []),
    ...(p.hosted ? [['hosted', 'its node reads what is said to it'] satisfies [string, Cell]] : []),
    ...(p.blocked ? [['blocked', { text: 'yes', style: 'red' }] as [string, Cell]] : []),
    ...(p.keyChanged ? [['key changed', { text: p.keyChanged, style: 'red' }] as [string, Cell]] : []),
    ...(p.me ? [] : [['takes files', takes(p)] as [string, Cell]]),
  ],
});

const peopleFound = noun<PersonFound>(personFound, {
  head: people.head,
  none: people.none,
  row: (p) => [...people.row(p)],
  detail: (p) => [
    ...people.detail(p).map(([name, cell]): [string, Cell] => [name, cell]),
    ...(p.stale
      ? [
          ['stale', { text: 'their trackers do not answer: this is what they said last', style: 'yellow' }] as [
            string,
            Cell,
          ],
        ]
      : []),
    ...(p.link ? [['linked', linkedBy(p.link)] satisfies [string, Cell]] : []),
    ...(p.link?.missed ?? []).map((missed, at): [string, Cell] => [at === 0 ? 'not by' : '', nearerOf(missed)]),
    ...(p.trace ?? []).map((step, at): [string, Cell] => [at === 0 ? 'asked' : '', stepLine(step)]),
  ],
});

const zones = noun<Zone>(zone, {
  head: ['ZONE', 'KIND', 'TRACKERS', 'KEY', 'UNTIL', 'SEEN'],
  none: 'no zones',
  row: (each) => [
    { text: each.zone, style: 'bold' },
    each.kind,
    each.trackers.map(({ addresses }) => addresses[0] ?? '').join(' '),
    each.key,
    each.until === null ? '-' : showTime(each.until),
    each.seen === null ? '-' : showAgo(each.seen),
  ],
});

const safeties = noun<Safety>(safety, {
  head: ['HANDLE', 'NUMBER', 'VERIFIED'],
  none: '',
  row: (s) => [{ text: s.handle, style: 'bold' }, s.number, s.verifiedAt ? showTime(s.verifiedAt) : 'no'],
  detail: (s) => [
    ['with', { text: s.handle, style: 'bold' }],
    ['number', s.number],
    ['words', s.words],
    ['link', s.uri],
    [
      'verified',
      s.verifiedAt
        ? { text: `${showTime(s.verifiedAt)}, by ${s.verifiedBy ?? 'number'}`, style: 'green' }
        : 'not yet: compare with them, by another way, then add --confirm and what they show',
    ],
  ],
});

const findings = noun<Finding>(finding, {
  head: ['', 'ABOUT', 'FOUND'],
  none: 'nothing was looked at',
  row: (f) => [state(f.level), f.about, f.todo === null ? f.says : `${f.says} → ${f.todo}`],
});

const previews = noun<Preview>(preview, {
  head: ['ADDRESS', 'TYPE'],
  none: '',
  row: (p) => [p.url, p.type],
});

const stages = noun<Staged>(staged, {
  head: ['ID', 'BYTES', 'PATH'],
  none: '',
  row: (s) => [s.upload, String(s.size), s.path ?? '-'],
});

const invites = noun<InviteInfo>(invite, {
  head: ['INVITE'],
  none: '',
  row: (i) => [i.invite],
  detail: (i) => [['', i.invite]],
});

function messageRow(m: Message): Cell[] {
  return [showTime(m.at), shortId(m.id), { text: m.from, style: 'bold' }, m.to, state(m.state), wordsOf(m)];
}

/** As much of an id as nobody types wrong, and no two of a person's messages share; `messages show` has all of it. */
const shortId = (id: string): Cell => ({ text: id.slice(0, 8), style: 'dim' });

function wordsOf(m: Message): string {
  const notes = [m.deleted ? '(deleted)' : m.text, ...(m.edited ? ['(edited)'] : []), ...reactionsOf(m)];
  return notes.join(' ');
}

const reactionsOf = (m: Message): string[] =>
  Object.entries(m.reactions).map(([emoji, { length }]) => (length === 1 ? emoji : `${emoji}${length}`));

const messageHead = ['TIME', 'ID', 'FROM', 'TO', 'STATE', 'TEXT'];
const messages = noun<Message>(message, { head: messageHead, none: 'no messages yet', row: messageRow });

const conversations = noun<Conversation>(conversation, {
  head: ['WHO', 'UNREAD', 'MENTIONS', 'LAST', 'FROM', 'TEXT'],
  none: 'no conversations yet',
  row: (c) => [
    { text: c.name ?? c.members.join(', '), style: 'bold' },
    c.unread === 0 ? '-' : { text: String(c.unread), style: 'green' },
    c.mentions === 0 ? '-' : { text: String(c.mentions), style: 'yellow' },
    c.last ? showTime(c.last.at) : '-',
    c.last?.from ?? '-',
    c.last ? wordsOf(c.last) : '-',
  ],
});

const finds = noun<Found>(found, {
  head: ['TIME', 'FROM', 'TO', 'ID', 'FOUND'],
  none: 'nothing was found',
  row: (m) => [
    showTime(m.at),
    { text: m.from, style: 'bold' },
    m.to,
    shortId(m.id),
    m.snippet.map(({ text, hit }) => (hit ? `[${text}]` : text)).join(''),
  ],
});

const backups = noun<BackupInfo>(backupInfo, {
  head: ['FILE', 'SIZE', 'KIND'],
  none: '',
  row: (b) => [{ text: b.file, style: 'bold' }, showBytes(b.bytes), b.encrypted ? 'encrypted' : 'not encrypted'],
});

const messagesInFull = noun<MessageInFull>(messageInFull, {
  head: messageHead,
  none: 'no messages yet',
  row: messageRow,
  detail: (m) => [
    ['id', m.id],
    ['from', { text: m.from, style: 'bold' }],
    ['to', { text: m.to, style: 'bold' }],
    ['written', showTime(m.at)],
    ['state', state(m.state)],
    ...(m.error ? [['why', `${m.error.message} (${m.error.code})`] satisfies [string, Cell]] : []),
    ...(m.held ?? []).map(
      ({ to, by, at, until, letter, sig }) =>
        [
          'held',
          `for ${to} by ${by} since ${showTime(at)} until ${showTime(until)}: letter ${letter}, signed ${sig}`,
        ] satisfies [string, Cell],
    ),
    ...(m.deliveredAt ? [['delivered', showTime(m.deliveredAt)] satisfies [string, Cell]] : []),
    ...(m.file ? [['file', m.file] satisfies [string, Cell]] : []),
    ...(m.recipients ?? []).map((r): [string, Cell] => [r.handle, state(r.state)]),
    ...(m.replyTo ? [['answers', m.replyTo] satisfies [string, Cell]] : []),
    ...(m.target ? [['about', m.target] satisfies [string, Cell]] : []),
    ...(m.edited ? [['edited', showTime(m.edited)] satisfies [string, Cell]] : []),
    ...Object.entries(m.reactions).map(([emoji, who]): [string, Cell] => ['reaction', `${emoji} ${who.join(', ')}`]),
    ...(m.mentions.length > 0 ? [['names', m.mentions.join(', ')] satisfies [string, Cell]] : []),
    ['text', m.deleted ? { text: 'deleted', style: 'dim' } : m.text],
    ...(m.history ?? []).map(({ at, state, text }): [string, Cell] => ['was', `${showTime(at)} (${state}) ${text}`]),
  ],
});

const jobs = noun<Job>(job, {
  head: ['ID', 'WHAT', 'STATE', 'ASKED', 'HOW'],
  none: 'no jobs',
  row: (j) => [j.id, { text: jobName(j), style: 'bold' }, state(j.state), showAgo(j.at), jobStanding(j)],
  detail: (j) => [
    ['id', j.id],
    ['what', { text: jobName(j), style: 'bold' }],
    ['state', state(j.state)],
    ['how', jobStanding(j)],
    ['asked', showTime(j.at)],
    ...(j.startedAt ? [['tried', `${showTime(j.startedAt)}, ${j.attempts} times`] satisfies [string, Cell]] : []),
    ...(j.endedAt ? [['ended', showTime(j.endedAt)] satisfies [string, Cell]] : []),
    ...(j.due ? [[j.state === 'waiting' ? 'next try by' : 'due', showTime(j.due)] satisfies [string, Cell]] : []),
    ...(j.deadline ? [['deadline', showTime(j.deadline)] satisfies [string, Cell]] : []),
    ...(j.schedule ? [['schedule', j.schedule] satisfies [string, Cell]] : []),
    ...(j.key ? [['key', j.key] satisfies [string, Cell]] : []),
    ...(j.answer == null ? [] : [['answer', jsonLine(j.answer)] satisfies [string, Cell]]),
  ],
});

function progressOf(f: FileInfo): string {
  if (f.state !== 'fetching' && f.state !== 'serving') return '';
  return `${f.size === 0 ? 100 : Math.floor((f.progress / f.size) * 100)}%`;
}

/** Paths that are shown as left out; `--json` has up to 100. */
const MOST_LEFT_OUT = 10;

function leftOutOf({ folder }: FileInfo): [string, Cell][] {
  if (!folder || folder.leftOut === 0) return [];
  const shown = folder.leftOutPaths.slice(0, MOST_LEFT_OUT);
  const more = folder.leftOut - shown.length;
  return [
    ...shown.map(({ path, why }): [string, Cell] => ['left out', `${path}: ${why}`]),
    ...(more > 0 ? [['left out', `and ${more} more`] satisfies [string, Cell]] : []),
  ];
}

const files = noun<FileInfo>(file, {
  head: ['ID', 'NAME', 'SIZE', 'FROM', 'TO', 'STATE', 'PROGRESS', 'PATH'],
  none: 'no files yet',
  row: (f) => [
    f.id,
    { text: f.name, style: 'bold' },
    showBytes(f.size),
    f.from,
    f.to,
    f.paused ? { text: 'paused', style: 'yellow' } : state(f.state),
    progressOf(f),
    f.path,
  ],
  detail: (f) => [
    ['id', f.id],
    ['name', { text: f.name, style: 'bold' }],
    ['size', `${showBytes(f.size)} (${f.size} bytes)`],
    ...(f.folder ? [['files', `${f.folder.filesDone} of ${f.folder.files} whole`] satisfies [string, Cell]] : []),
    ['from', f.direction === 'in' ? withProof(f.from, f) : f.from],
    ['to', f.direction === 'out' ? withProof(f.to, f) : f.to],
    ['state', f.paused ? { text: `${f.state}, paused`, style: 'yellow' } : state(f.state)],
    ...(f.priority === 'normal' ? [] : [['priority', f.priority] satisfies [string, Cell]]),
    ...(f.limit === null ? [] : [['limit', `${showBytes(f.limit)}/s`] satisfies [string, Cell]]),
    ...f.links.map((l): [string, Cell] => [
      'over',
      `${l.handle ?? 'a link'} at ${l.address} (${l.rung}), ${showBytes(l.rate)}/s`,
    ]),
    ['progress', `${showBytes(f.progress)} of ${showBytes(f.size)}${f.rate > 0 ? ` at ${showBytes(f.rate)}/s` : ''}`],
    ['path', f.path || '-'],
    ['hash', f.hash || '-'],
    ['since', showTime(f.at)],
    ...leftOutOf(f),
    ...(f.error ? [['error', { text: `${f.error.message} (${f.error.code})`, style: 'red' }] as [string, Cell]] : []),
  ],
});

const withProof = (handle: string, f: FileInfo): Cell =>
  f.verified ? { text: `${handle} (verified)`, style: 'green' } : `${handle} (not verified: netapp people verify)`;

const rateOr = (rate: number | null): string => (rate === null ? 'no bound' : `${showBytes(rate)}/s`);
const bytesOr = (bytes: number | null): string => (bytes === null ? 'no bound' : showBytes(bytes));

const fileBounds = noun<FileLimits>(fileLimits, {
  head: ['UP', 'DOWN', 'AT ONCE'],
  none: '',
  row: (l) => [rateOr(l.up), rateOr(l.down), String(l.atOnce)],
});

const quotas = noun<FileQuota>(fileQuota, {
  head: ['USED', 'QUOTA'],
  none: '',
  row: (q) => [showBytes(q.used), bytesOr(q.quota)],
  detail: (q) => [
    ['quota', bytesOr(q.quota)],
    ['used', `${showBytes(q.used)} (received ${showBytes(q.received)}, spooled ${showBytes(q.spooled)})`],
    ...q.contacts.map((c): [string, Cell] => [c.handle, `${showBytes(c.used)} of ${bytesOr(c.quota)}`]),
  ],
});

const fileLinks = noun<FileLink>(fileLink, {
  head: ['ID', 'URL', 'UNTIL'],
  none: '',
  row: (l) => [l.id, l.urls[0] ?? '-', showTime(l.until)],
  detail: (l) => [
    ['id', l.id],
    ['file', l.name],
    ...l.urls.map((url): [string, Cell] => ['link', url]),
    ...l.files.map(({ path, url }): [string, Cell] => [path, url]),
    ['until', showTime(l.until)],
    ['pin', l.pin],
    ['fetch with', l.command],
  ],
});

const givenLinks = noun<GivenLink>(givenLink, {
  head: ['ID', 'NAME', 'FILE', 'UNTIL'],
  none: 'no links hold',
  row: (l) => [l.id, { text: l.name, style: 'bold' }, l.file, showTime(l.until)],
});

const certificates = noun<FileCertificate>(fileCertificate, {
  head: ['CERTIFICATE', 'KEY'],
  none: '',
  row: (c) => [c.certificate, c.key],
  detail: (c) => [
    ['certificate', c.certificate],
    ['key', c.key],
    ['header', c.header],
    ['until', showTime(c.until)],
    ...c.urls.map((url): [string, Cell] => ['url', url]),
    ...c.files.map(({ path, url }): [string, Cell] => [path, url]),
    ...(c.pin ? [['pin', c.pin] satisfies [string, Cell]] : []),
  ],
});

const garbage = noun<FileGarbage>(fileGarbage, {
  head: ['KIND', 'WHAT', 'SIZE', 'WHY', 'REMOVED'],
  none: 'there is nothing to remove',
  row: (g) => [g.kind, { text: g.what, style: 'bold' }, showBytes(g.bytes), g.why, g.removed ? 'yes' : 'no'],
});

const checks = noun<FileCheck>(fileCheck, {
  head: ['STATE', 'ID', 'NAME', 'PATH', 'DAMAGE'],
  none: 'there is nothing to verify',
  row: (c) => [
    { text: c.state, style: c.state === 'ok' ? 'green' : 'red' },
    c.id,
    { text: c.name, style: 'bold' },
    c.path,
    c.badBytes > 0 ? `${showBytes(c.badBytes)}${c.refetch ? ', fetched again' : ''}` : c.refetch ? 'fetched again' : '',
  ],
});

function waitsFor(r: Room): string {
  return r.waiting
    .map(({ type, target, reason }) => `${type}${target ? ` ${target}` : ''}${reason ? ` (${reason.message})` : ''}`)
    .join(', ');
}

const rooms = noun<Room>(room, {
  head: ['NAME', 'I AM', 'MEMBERS', 'INVITED', 'WAITING', 'ID'],
  none: 'no rooms yet',
  row: (r) => [
    { text: `#${r.name}`, style: 'bold' },
    r.closed ? { text: 'closed', style: 'dim' } : r.standing,
    String(r.members.length),
    String(r.invited.length),
    waitsFor(r),
    r.id,
  ],
  detail: (r) => [
    ['name', { text: `#${r.name}`, style: 'bold' }],
    ['I am', r.invitedBy ? `invited by ${r.invitedBy}` : r.standing],
    ...(r.closed ? [['closed', 'nobody can write to it any more'] satisfies [string, Cell]] : []),
    ...r.members.map((m): [string, Cell] => [m.role, m.handle]),
    ...r.invited.map((m): [string, Cell] => ['invited', `${m.handle} as ${m.role}, by ${m.by}`]),
    ...(r.waiting.length > 0 ? [['waiting', { text: waitsFor(r), style: 'yellow' }] satisfies [string, Cell]] : []),
    ...(r.error ? [['error', { text: `${r.error.message} (${r.error.code})`, style: 'red' }] as [string, Cell]] : []),
    ['history', `new members get ${/^\d/.test(r.history) ? `the last ${r.history} entries` : r.history}`],
    ['made', `${showTime(r.at)} by ${r.creator}`],
    ['home', r.home],
    ['id', r.id],
  ],
});

const links = noun<LinkInfo>(linkInfo, {
  head: ['WHO', 'ROLE', 'RUNG', 'ADDRESS', 'SINCE', 'RTT', 'SENT', 'RECEIVED', 'NEARER'],
  none: 'no links are open',
  row: (l) => [
    { text: l.handle ?? l.peer, style: 'bold' },
    l.role,
    l.rung,
    `${l.dialled ? 'to' : 'from'} ${l.address}`,
    showTime(l.since),
    l.rttMs === null ? '-' : `${l.rttMs.toFixed(1)} ms`,
    showBytes(l.sentBytes),
    showBytes(l.receivedBytes),
    l.missed.map(nearerOf).join('; ') || '-',
  ],
});

function linkedBy({ rung, address, dialled, since, rttMs }: LinkInfo): string {
  const delay = rttMs === null ? '' : `, ${rttMs.toFixed(1)} ms there and back`;
  return `${rung}, ${dialled ? 'to' : 'from'} ${address} since ${showTime(since)}${delay}`;
}

const nearerOf = ({ rung, way, reason }: LinkInfo['missed'][number]): string =>
  `${rung} ${reason.includes(way) ? '' : `${way}: `}${reason}`;
const neighbours = noun<Heard>(heard, {
  head: ['WHO', 'ROLE', 'KNOWN', 'ADDRESS', 'ON', 'KEY', 'SOFTWARE'],
  none: 'nobody is heard of on this network',
  row: (h) => [
    { text: h.handle ?? h.zone ?? '-', style: 'bold' },
    h.role,
    h.known ? { text: 'yes', style: 'green' } : 'no',
    h.addresses[0] ?? '-',
    h.networks.join(' '),
    shortId(h.id),
    h.software,
  ],
});

function trackerLine({ zone, address, tier, state, rttMs, why, error }: Status['trackers'][number]): string {
  const delay = state === 'up' && rttMs !== null ? ` in ${rttMs.toFixed(1)} ms` : '';
  const trouble = error && !why.includes(error) ? `, ${error}` : '';
  return `${zone} at ${address}: tier ${tier}, ${state}${delay}${trouble}; ${why}`;
}

/** Where the router lets others in. */
function outsideLine({ outside, by, gateway, until }: Status['reach']['mapping']): [string, Cell][] {
  if (outside === null) return [];
  return [['outside', `${outside}, by ${by} of ${gateway}${until === null ? '' : ` until ${showTime(until)}`}`]];
}

const me = noun<Status>(status, {
  head: ['HANDLE', 'STATUS'],
  none: '',
  row: (s) => [s.handle, state(s.status)],
  detail: (s) => [
    ['handle', { text: s.handle, style: 'bold' }],
    ['status', state(s.status)],
    ...(s.text ? [['words', s.text] satisfies [string, Cell]] : []),
    ['account', s.id],
    ['node', s.node],
    ['listens', s.addresses.join(' ') || '-'],
    ...outsideLine(s.reach.mapping),
    ...s.trackers.map((t): [string, Cell] => ['tracker', { text: trackerLine(t), style: styles[t.state] }]),
    ...(s.trackers.length === 0 ? [['tracker', 'none'] satisfies [string, Cell]] : []),
    ['links', String(s.links)],
    ['waiting', `${s.queue.messages} messages, ${s.queue.files} files`],
    ['invite', s.invite ?? '-'],
    ['home', s.home],
    ['version', `${s.version}, up since ${showTime(s.since)}`],
  ],
});

// By the schema that the operation names as its output.
const nouns = new Map<unknown, Noun>([
  [person, people],
  [personFound, peopleFound],
  [zone, zones],
  [safety, safeties],
  [invite, invites],
  [finding, findings],
  [preview, previews],
  [staged, stages],
  [message, messages],
  [followedMessage, messages],
  [messageInFull, messagesInFull],
  [found, finds],
  [conversation, conversations],
  [backupInfo, backups],
  [file, files],
  [job, jobs],
  [fileLimits, fileBounds],
  [fileQuota, quotas],
  [fileLink, fileLinks],
  [givenLink, givenLinks],
  [fileCertificate, certificates],
  [fileGarbage, garbage],
  [fileCheck, checks],
  [room, rooms],
  [linkInfo, links],
  [heard, neighbours],
  [status, me],
  ...adminNouns,
  ...doorNouns,
  ...networkNouns,
]);

export function nounOf(schema: unknown): Noun | undefined {
  return nouns.get(schema);
}

/** Several lines of a text that somebody wrote, each behind `indent`, so that none can pass for a line of ours. */
export function indented(text: string, indent: string): string {
  return cleanText(text).split('\n').join(`\n${indent}`);
}
