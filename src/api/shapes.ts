/** What the doors show: the nouns of the API, as schemas. Times are ISO 8601 in UTC, sizes are bytes, rates bytes/s. */
import { z } from 'zod';

/** ISO 8601, UTC, milliseconds. */
const time = z.iso.datetime();

/** How somebody presents themself. `offline` is what the tracker says of those whose node has gone. */
export const presence = z.enum(['online', 'away', 'busy', 'offline']);

export const person = z.object({
  handle: z.string().describe('name@zone'),
  id: z.string().describe('account id: the account’s public key in base32'),
  status: presence,
  text: z.string().describe('the person’s own words beside the status; empty if none'),
  node: z.string().describe('peer id of the node that hosts the account'),
  addresses: z.array(z.string()).describe('host:port pairs at which the tracker reached the node'),
  lastSeen: time,
  me: z.boolean(),
  autoAccept: z
    .number()
    .int()
    .nonnegative()
    .nullable()
    .describe('files up to this many bytes are fetched unasked; null: none'),
  autoAcceptInto: z
    .string()
    .nullable()
    .default(null)
    .describe('folder into which they are fetched; null: the home’s downloads'),
  verifiedAt: time.nullable().default(null).describe('when I compared our safety number; null: not with this key'),
  verifiedBy: z.enum(['number', 'words', 'uri']).nullable().default(null).describe('in which form I compared it'),
  blocked: z.boolean().default(false).describe('I take nothing of theirs, and to them I am offline'),
  keyChanged: z
    .string()
    .nullable()
    .default(null)
    .describe('another key that a tracker shows for this handle: nothing is sent to it until I accept the key'),
  hosted: z
    .boolean()
    .default(false)
    .describe('one of many accounts of its node, such as a gateway for old clients: the node reads what is said to it'),
  former: z.boolean().default(false).describe('this key has lost its handle to another one, which I accepted'),
});

/** One question of a lookup: who was asked, and what came of it. */
const traceStep = z.object({
  zone: z.string().describe('the zone as whose tracker somebody was asked'),
  server: z.string().nullable().describe('peer id of the tracker; null for what was known here, and for DNS'),
  address: z.string().nullable(),
  how: z
    .enum(['link', 'recursive', 'cache', 'dns', 'self'])
    .describe('asked on a link; asked to walk itself; known already; by DNS; a tracker that asks itself'),
  answer: z.enum(['record', 'unchanged', 'referral', 'parent', 'unknown', 'refused', 'failed']),
  detail: z.string().describe('the zone referred to, or what was wrong'),
  code: z.string().nullable().describe('why it was refused or failed'),
  ms: z.number().nonnegative(),
  stale: z.boolean().describe('what was known longer ago than it holds, because nobody answered'),
});

export const rung = z
  .enum(['lan', 'direct', 'punched', 'relay', 'local'])
  .describe('which step of the ladder it stands on');

export const linkInfo = z.object({
  peer: z.string().describe('peer id of the other node'),
  handle: z.string().nullable().describe('handle of the account it hosts; null for a tracker or a node not yet known'),
  role: z.enum(['node', 'tracker']),
  rung,
  address: z.string(),
  dialled: z.boolean().describe('true if this side dialled'),
  since: time,
  rttMs: z.number().nullable().describe('milliseconds of the last sign of life, there and back'),
  sentBytes: z.number().int(),
  receivedBytes: z.number().int(),
  missed: z
    .array(
      z.object({
        rung,
        way: z.string().describe('the address that was tried, or what is tried instead of one'),
        reason: z.string(),
      }),
    )
    .describe('nearer ways to the other end, and why each is not used; they are tried again by themselves'),
  triedAt: time.nullable().describe('when those were tried last; null where there are none'),
});

/** A person as a lookup found them. */
export const personFound = person.extend({
  stale: z
    .boolean()
    .default(false)
    .describe('the trackers of their zone do not answer now: this is what they said last'),
  trace: z.array(traceStep).nullable().default(null).describe('each question, where it was asked for'),
  link: linkInfo.nullable().default(null).describe('how they are reached now; null: there is no link'),
});

/** A zone, as the tracker that signs for it tells its admins. */
export const zone = z.object({
  zone: z.string(),
  kind: z
    .enum(['served', 'delegated', 'server'])
    .describe('served by my tracker; delegated to another one; a further tracker of one that mine serves'),
  key: z.string().describe('the zone’s key, or the further tracker’s'),
  trackers: z.array(z.object({ peer: z.string(), addresses: z.array(z.string()) })),
  until: time.nullable().describe('until when what was signed holds; null: nothing had to be signed'),
  seen: time.nullable().describe('when it last proved its key; null: not yet'),
});

/** Which key a zone of another tree has, by the word of the user. */
export const zoneKey = z.object({
  zone: z.string(),
  key: z.string().describe('peer id; another one is refused from now on'),
  before: z.string().nullable().describe('what was taken for its key until now; null: nothing'),
});

/** The same on both sides; no secret. */
export const safety = z.object({
  handle: z.string(),
  id: z.string(),
  number: z.string().describe('60 digits in groups of five'),
  words: z.string().describe('16 English words, the same in another form'),
  uri: z.string().describe('both keys, as a QR code carries them'),
  verifiedAt: time.nullable(),
  verifiedBy: z.enum(['number', 'words', 'uri']).nullable(),
});

export const invite = z.object({
  invite: z.string().describe('link with which others join'),
  zone: z.string(),
  tracker: z.string().describe('peer id of the tracker that it leads to'),
});

/** What is proven about a message that I wrote; `received` is one that somebody else wrote. */
const messageState = z.enum(['queued', 'held', 'delivered', 'read', 'failed', 'received']);

export const message = z.object({
  id: z.string().describe('hash of the signed entry'),
  conversation: z.string(),
  from: z.string().describe('handle of the author'),
  to: z.string().describe('handle of the recipient, or #name of the room'),
  room: z.string().nullable().describe('name of the room; null between two people'),
  recipients: z
    .array(
      z.object({
        handle: z.string(),
        state: z.enum(['queued', 'held', 'delivered', 'read', 'failed']),
        deliveredAt: time.nullable(),
        readAt: time.nullable(),
        reason: z.object({ code: z.string(), message: z.string() }).nullable(),
      }),
    )
    .nullable()
    .describe('of my own message in a room: how far it has come with each; null between two people'),
  text: z.string(),
  at: time.describe('when the author wrote it, by the author’s clock'),
  state: messageState,
  deliveredAt: time.nullable().describe('from the recipient’s signed receipt'),
  file: z.string().nullable().describe('id of the file, where the entry is a file ticket'),
  error: z
    .object({ code: z.string(), message: z.string() })
    .nullable()
    .describe(
      'why it failed; while it is queued, what the last try to deliver it came to; while it is held, "hold_expired" once nobody holds it any more',
    ),
  held: z
    .array(
      z.object({
        to: z.string().describe('handle of the recipient'),
        by: z.string().describe('peer id of the tracker that holds it'),
        letter: z.string().describe('hash of the sealed letter'),
        at: time,
        until: time.describe('until when it is held, unless the recipient takes it; it is left anew before'),
        sig: z.string().describe('the tracker’s signature of its word that it holds the letter'),
      }),
    )
    .nullable()
    .describe('who holds it for recipients who are away, with the evidence; null where nobody does'),
  replyTo: z.string().nullable().describe('id of the message that this one answers'),
  edited: time.nullable().describe('when the words that stand now were written, if they are not the first'),
  deleted: z.boolean().describe('true once it was taken back; then there is no text'),
  reactions: z.record(z.string(), z.array(z.string())).describe('emoji: the handles of those who set it'),
  mentions: z.array(z.string()).describe('handles of members whom the text names'),
  target: z
    .string()
    .nullable()
    .describe('of an edit, a deletion or a reaction: id of the message it is about; null for a message'),
});

/** A message that a search found. */
export const found = message.extend({
  snippet: z
    .array(z.object({ text: z.string(), hit: z.boolean() }))
    .describe('where the words stand, in pieces: those that match, and what is between'),
});

/** One message with all that is known of it. */
export const messageInFull = message.extend({
  history: z
    .array(z.object({ id: z.string(), at: time, text: z.string(), state: messageState }))
    .nullable()
    .describe('all words that it had, the first first, where they were asked for; none once it is deleted'),
});

export const conversation = z.object({
  id: z.string(),
  kind: z.enum(['direct', 'room']),
  name: z.string().nullable().describe('of a room'),
  members: z.array(z.string()).describe('handles'),
  unread: z.number().int().nonnegative().describe('messages of others that I have not read'),
  mentions: z.number().int().nonnegative().describe('those of them that name me'),
  last: message.nullable().describe('the newest message'),
});

export const backupInfo = z.object({
  file: z.string(),
  bytes: z.number().int().nonnegative(),
  at: time,
  encrypted: z.boolean(),
});

/** What somebody may do in a room. */
export const role = z.enum(['owner', 'moderator', 'member']);

export const room = z.object({
  id: z.string().describe('conversation id: hash of the signed creation entry'),
  name: z.string(),
  standing: z
    .enum(['owner', 'moderator', 'member', 'invited', 'left', 'removed', 'declined', 'none'])
    .describe('what I am in it'),
  members: z.array(z.object({ handle: z.string(), id: z.string(), role })),
  invited: z.array(z.object({ handle: z.string(), id: z.string(), role, by: z.string() })),
  invitedBy: z.string().nullable().describe('handle of who asked me in, while I have not answered'),
  history: z.string().describe('what a new member gets of what was said before: all, none, or so many entries'),
  closed: z.boolean(),
  creator: z.string(),
  home: z.string().describe('peer id of the tracker that orders who is in it'),
  at: time.describe('when it was made'),
  number: z.number().int().nonnegative().describe('changes of membership that were ordered'),
  waiting: z
    .array(
      z.object({
        type: z.enum(['create', 'invite', 'join', 'decline', 'leave', 'remove', 'role', 'close']),
        target: z.string().nullable(),
        role: role.nullable(),
        reason: z.object({ code: z.string(), message: z.string() }).nullable(),
      }),
    )
    .describe('my changes that the home tracker has not ordered yet; they go out by themselves'),
  error: z
    .object({ code: z.string(), message: z.string() })
    .nullable()
    .describe('why who is in it cannot change any more'),
});

/**
 * preparing: being hashed. offered: the ticket is written (sender) or here (receiver), nobody fetched yet.
 * accepted: waits for its holder. fetching, serving: bytes move. done: all is verified on the receiver's disk.
 */
const fileState = z.enum([
  'preparing',
  'offered',
  'accepted',
  'fetching',
  'serving',
  'done',
  'declined',
  'cancelled',
  'failed',
]);

/** What is done where the name of a received file is taken. */
export const conflict = z.enum(['skip', 'overwrite', 'rename'], 'expected "skip", "overwrite" or "rename"');

export const priority = z.enum(['high', 'normal', 'low'], 'expected "high", "normal" or "low"');

export const file = z.object({
  id: z.string(),
  name: z.string(),
  size: z.number().int().nonnegative(),
  hash: z.string().describe('BLAKE3 of the manifest; empty while preparing'),
  from: z.string(),
  verified: z.boolean().describe('whether I compared the safety number of the person at the other end'),
  to: z.string(),
  conversation: z.string().nullable().describe('id of the conversation in which it was offered; null until it is'),
  direction: z.enum(['in', 'out']),
  state: fileState,
  progress: z
    .number()
    .int()
    .nonnegative()
    .describe('bytes verified here (in), or served and asked for by the receiver (out)'),
  rate: z.number().nonnegative().describe('bytes/s over the last seconds; 0 when nothing moves'),
  eta: z.number().nullable().describe('seconds until it is whole at this rate; null where nothing moves'),
  links: z
    .array(
      z.object({
        handle: z.string().nullable().describe('who is at the other end; null for who came with a link'),
        rung,
        address: z.string(),
        rate: z.number().nonnegative().describe('bytes/s over the last seconds'),
      }),
    )
    .describe('connections over which it moves: to holders (in), to receivers (out)'),
  paused: z.boolean().describe('I let it rest'),
  priority,
  limit: z.number().nullable().describe('most bytes/s of this transfer; null: no bound of its own'),
  conflict,
  path: z.string().describe('where the file is or will be on this machine; empty until accepted'),
  folder: z
    .object({
      files: z.number().int().nonnegative().describe('files in it; until its list is here, folders and links too'),
      filesDone: z.number().int().nonnegative().describe('files that are whole on the receiver’s disk'),
      leftOut: z.number().int().nonnegative().describe('how many things in it are not taken along'),
      leftOutPaths: z.array(z.object({ path: z.string(), why: z.string() })).describe('the first 100 of them'),
    })
    .optional()
    .describe('of a folder alone'),
  at: time,
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
});

/** What the doctor found about one thing. */
export const finding = z.object({
  about: z.string().describe('what was looked at, in a word or two'),
  level: z.enum(['ok', 'note', 'bad']).describe('note: worth knowing, and nobody has to act; bad: a person must act'),
  says: z.string(),
  todo: z.string().nullable().describe('what to do about it, where that is known'),
  code: z.string().nullable().describe('of bad: which kind of trouble'),
});

export const preview = z.object({
  url: z.string().describe('shows the file in a browser on this machine, at an origin where nothing else is'),
  type: z.string().describe('as what it is shown; text/plain for what a browser would run'),
  until: time,
});

export const staged = z.object({
  upload: z.string().describe('by which further pieces name it'),
  size: z.number().int().nonnegative().describe('bytes that are here'),
  path: z.string().nullable().describe('what to send, once the last piece is here'),
});

const bound = z.number().nullable();

export const fileLimits = z.object({
  up: bound.describe('most bytes/s that are served in all; null: no bound'),
  down: bound.describe('most bytes/s that are fetched in all; null: no bound'),
  atOnce: z.number().int().describe('files that are fetched at once'),
});

export const fileQuota = z.object({
  quota: bound.describe('most bytes of received and spooled files; null: no bound'),
  used: z.number().describe('bytes that are here or on their way'),
  received: z.number(),
  spooled: z.number(),
  contacts: z.array(z.object({ handle: z.string(), quota: bound, used: z.number() })),
});

/** A link to a file; what makes it one is shown once, when it is made. */
export const givenLink = z.object({
  id: z.string().describe('by which it is revoked'),
  file: z.string().describe('id of the file'),
  name: z.string(),
  at: time,
  until: time,
});

/** Of a folder: its first 1,000 files; its manifest names them all, in the order of their numbers. */
const filesOfFolder = z
  .array(z.object({ path: z.string(), url: z.string() }))
  .describe('of a folder: where each file is, at the first address, for up to 1,000 of them; none for a file');

export const fileLink = givenLink.extend({
  urls: z
    .array(z.string())
    .describe('one for each address of this node, of the file or of the folder’s manifest: whoever has one has it all'),
  files: filesOfFolder,
  pin: z.string().describe('this node’s key, as curl --pinnedpubkey wants it'),
  command: z
    .string()
    .describe('a command line that fetches the file, or the folder’s manifest, and goes on where it was'),
});

export const fileCertificate = z.object({
  certificate: z.string().describe('path of the certificate, for curl --cert and aria2c --certificate'),
  key: z.string().describe('path of its key, for curl --key and aria2c --private-key; whoever has it is this node'),
  header: z.string().describe('header that says whose node this is; no secret'),
  until: time.describe('until when the header holds'),
  urls: z
    .array(z.string())
    .describe('where the file, or the folder’s manifest, is to be fetched, at its sender’s addresses'),
  files: filesOfFolder,
  pin: z.string().nullable().describe('the key of the sender’s node, as curl --pinnedpubkey wants it'),
});

export const fileGarbage = z.object({
  kind: z.enum(['part', 'manifest', 'spool', 'link']),
  what: z.string().describe('a path, the hash of a manifest, or the id of a link'),
  bytes: z.number(),
  why: z.string(),
  removed: z.boolean(),
});

export const fileCheck = z.object({
  id: z.string(),
  name: z.string(),
  direction: z.enum(['in', 'out']),
  path: z.string(),
  state: z.enum(['ok', 'damaged', 'missing', 'unknown']).describe('unknown: its hashes are no longer kept here'),
  badBytes: z.number().describe('bytes in chunks that are not what their hashes say'),
  refetch: z.boolean().describe('it is fetched again now'),
});

/** A node or tracker of which this machine has heard on its networks. */
export const heard = z.object({
  role: z.enum(['node', 'tracker']),
  handle: z
    .string()
    .nullable()
    .describe('by which to speak to the account of a node: as it is known, else the name that it claims, and its key'),
  zone: z.string().nullable().describe('that a tracker serves, as it says'),
  id: z.string().describe('peer id of the node or tracker'),
  account: z.string().nullable().describe('account id, as a node says; proved by the first link'),
  known: z.boolean().describe('the account is known to me; the tracker is one of mine'),
  addresses: z.array(z.string()).describe('host:port pairs from which it was heard'),
  networks: z.array(z.string()).describe('interfaces of this machine on which it was heard'),
  software: z.string(),
  invite: z.string().nullable().describe('to join a tracker with; it has no token'),
  since: time,
  until: time.describe('until which it holds if nothing more is heard'),
});

/** A name of a zone, as its admins see it. */
export const handleInfo = z.object({
  handle: z.string().describe('name@zone'),
  id: z.string().describe('account id of its owner'),
  state: z.enum(['bound', 'revoked', 'renamed']),
  renamedTo: z.string().nullable().describe('the name that its owner goes by instead'),
  online: z.boolean().describe('its owner is here by this name'),
  since: time.describe('when it was first used'),
  lastSeen: time.nullable().describe('null: never by this name, or not for long'),
});

/** A name that nobody has any more. */
export const freedHandle = z.object({ handle: z.string().describe('the name that is free now') });

export const zonePolicy = z.object({
  zone: z.string(),
  policy: z
    .enum(['open', 'invite', 'closed'])
    .describe('whom it takes in: anybody, whoever brings an invite, or nobody new'),
});

export const zoneInvite = z.object({
  invite: z.string().describe('link with which newcomers join'),
  zone: z.string(),
  uses: z.number().int().describe('how many it lets in'),
  until: time,
});

export const takenBackInvite = z.object({
  zone: z.string(),
  until: time.describe('when it would have ended by itself'),
});

const trackerInfo = z.object({
  peer: z.string(),
  address: z.string(),
  zone: z.string(),
  tier: z.number().int().describe('those of tier 1 are used first, the next while none of them answers'),
  state: z.enum(['up', 'connecting', 'down', 'rest']).describe('rest: not needed now, and not dialled'),
  used: z.boolean().describe('told where I am, and asked for others'),
  why: z.string().describe('why it is used, or is not'),
  rttMs: z.number().nullable().describe('milliseconds that an answer takes'),
  error: z.string().nullable(),
  code: z
    .string()
    .nullable()
    .default(null)
    .describe('fault code of the error: why it does not answer, or does not take my record, such as revoked'),
  invite: z.string(),
});

/** How others find this node, and whether they get in from outside. */
const reachInfo = z.object({
  mapping: z.object({
    state: z
      .enum(['asking', 'mapped', 'none', 'needless', 'off'])
      .describe('whether the router lets others in; needless: this machine stands in no private network'),
    by: z.enum(['pcp', 'nat-pmp', 'upnp']).nullable(),
    outside: z.string().nullable().describe('host:port at which the router says that others reach this node'),
    isPublic: z.boolean().nullable().describe('false: that is an address behind one more router'),
    until: time.nullable().describe('when it ends unless it is renewed; null: none, or not by itself'),
    gateway: z.string().nullable().describe('address of the router'),
    error: z.string().nullable(),
    code: z.string().nullable(),
  }),
  lan: z.object({
    on: z.boolean().describe('whether nodes and trackers of these networks are listened for'),
    networks: z.array(z.string()).describe('interfaces over which multicast is said and heard'),
    found: z.number().int().describe('nodes and trackers that are heard of'),
    refused: z
      .record(z.enum(['too_many', 'malformed', 'queue_full', 'forbidden']), z.number().int())
      .nullable()
      .describe('packets that were not acted on, by why; null: nobody listens'),
  }),
});

export const status = z.object({
  handle: z.string(),
  id: z.string(),
  node: z.string(),
  status: presence,
  text: z.string(),
  home: z.string(),
  addresses: z.array(z.string()).describe('where this node listens'),
  version: z.string(),
  since: time,
  trackers: z.array(trackerInfo),
  links: z.number().int(),
  queue: z.object({
    messages: z.number().int().describe('entries without a receipt yet'),
    files: z.number().int().describe('transfers accepted or moving'),
  }),
  reach: reachInfo,
  invite: z.string().nullable().describe('invite link to this person’s tracker; null without a tracker'),
});

/** `cursor` grows with each event and never repeats on this home. */
export const event = z.object({
  cursor: z.number().int().positive(),
  at: time,
  type: z.string().describe('noun.verb, e.g. message.received'),
  data: z.record(z.string(), z.unknown()),
});

export const token = z.object({
  id: z.string(),
  name: z.string().describe('what it is for; empty if nobody said'),
  scopes: z.array(z.string()),
  at: time.describe('when it was made'),
  expires: time,
  usedAt: time.nullable().describe('about when it was last used'),
  state: z.enum(['valid', 'expired', 'revoked']),
});

/** Shown once, when it is made. */
export const tokenMade = token.extend({ token: z.string().describe('the token itself; it is not shown again') });

export const session = z.object({
  id: z.string(),
  scopes: z.array(z.string()),
  at: time.describe('when it was opened'),
  expires: time,
  usedAt: time.nullable(),
  state: z.enum(['open', 'expired', 'ended']),
});

export const sessionLink = z.object({
  url: z.string().describe('opens a session, once'),
  expires: time.describe('until when the link works'),
});

const reason = z.object({ code: z.string(), message: z.string() });

export const webhook = z.object({
  id: z.string(),
  url: z.string(),
  match: z.array(z.string()).describe('patterns of the events that it gets; none: all'),
  at: time.describe('when it was made'),
  state: z.enum(['idle', 'posting', 'retrying']),
  cursor: z.number().int().nonnegative().describe('up to which event it is done'),
  delivered: z.number().int().nonnegative().describe('events that were taken'),
  dead: z.number().int().nonnegative().describe('dead letters that are kept'),
  attempts: z.number().int().nonnegative().describe('tries of the event that waits'),
  failingSince: time.nullable(),
  error: reason.nullable().describe('what the last try came to'),
});

/** Shown once, when it is made. */
export const webhookMade = webhook.extend({ secret: z.string().describe('key of the signatures; not shown again') });

export const webhookTested = z.object({
  delivered: z.boolean(),
  status: z.number().int().nullable().describe('HTTP status that was answered; null if there was no answer'),
  ms: z.number().int().nonnegative(),
  error: reason.nullable(),
});

export const deadLetter = z.object({
  letter: z.number().int().positive(),
  cursor: z.number().int().nonnegative().describe('of the event; of the last one where several were lost'),
  type: z.string().nullable().describe('of the event; null where events were dropped before they could be posted'),
  at: time.describe('when it was given up'),
  attempts: z.number().int().nonnegative(),
  error: reason,
});

export const replayed = z.object({
  replayed: z.number().int().nonnegative().describe('dead letters that were taken now'),
  left: z.number().int().nonnegative().describe('dead letters that are still kept'),
  error: reason.nullable().describe('why it stopped, if it did'),
});

export type HandleInfo = z.infer<typeof handleInfo>;
export type FreedHandle = z.infer<typeof freedHandle>;
export type ZonePolicy = z.infer<typeof zonePolicy>;
export type TakenBackInvite = z.infer<typeof takenBackInvite>;
export type ZoneInvite = z.infer<typeof zoneInvite>;
export type Token = z.infer<typeof token>;
export type TokenMade = z.infer<typeof tokenMade>;
export type BrowserSession = z.infer<typeof session>;
export type SessionLink = z.infer<typeof sessionLink>;
export type Webhook = z.infer<typeof webhook>;
export type WebhookMade = z.infer<typeof webhookMade>;
export type WebhookTested = z.infer<typeof webhookTested>;
export type DeadLetter = z.infer<typeof deadLetter>;
export type Replayed = z.infer<typeof replayed>;
export type Presence = z.infer<typeof presence>;
export type Person = z.infer<typeof person>;
export type PersonFound = z.infer<typeof personFound>;
export type Zone = z.infer<typeof zone>;
export type ZoneKey = z.infer<typeof zoneKey>;
export type Safety = z.infer<typeof safety>;
export type InviteInfo = z.infer<typeof invite>;
export type Message = z.infer<typeof message>;
export type Room = z.infer<typeof room>;
export type Role = z.infer<typeof role>;
export type Found = z.infer<typeof found>;
export type MessageInFull = z.infer<typeof messageInFull>;
export type Conversation = z.infer<typeof conversation>;
export type BackupInfo = z.infer<typeof backupInfo>;
export type FileInfo = z.infer<typeof file>;
export type Finding = z.infer<typeof finding>;
export type Preview = z.infer<typeof preview>;
export type Staged = z.infer<typeof staged>;
export type Conflict = z.infer<typeof conflict>;
export type Priority = z.infer<typeof priority>;
export type FileLimits = z.infer<typeof fileLimits>;
export type FileQuota = z.infer<typeof fileQuota>;
export type GivenLink = z.infer<typeof givenLink>;
export type FileLink = z.infer<typeof fileLink>;
export type FileCertificate = z.infer<typeof fileCertificate>;
export type FileGarbage = z.infer<typeof fileGarbage>;
export type FileCheck = z.infer<typeof fileCheck>;
export type LinkInfo = z.infer<typeof linkInfo>;
export type Heard = z.infer<typeof heard>;
export type Status = z.infer<typeof status>;
export type AgentEvent = z.infer<typeof event>;
