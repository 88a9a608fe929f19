/** What the operations need from whoever stands behind them; the composition root of a node fulfils it. */
import type { Access } from './caller.ts';
import type { Job, JobRequest, JobState } from './job.ts';
import type { NetworkInfo, PeerReach } from './network.ts';
import type {
  AgentEvent,
  BackupInfo,
  BrowserSession,
  Conflict,
  Conversation,
  DeadLetter,
  FileCertificate,
  FileCheck,
  FileGarbage,
  FileInfo,
  FileLimits,
  FileLink,
  FileQuota,
  Finding,
  Found,
  FreedHandle,
  GivenLink,
  HandleInfo,
  Heard,
  InviteInfo,
  LinkInfo,
  Message,
  MessageInFull,
  Person,
  PersonFound,
  Presence,
  Priority,
  Replayed,
  Role,
  Room,
  Safety,
  SessionLink,
  Staged,
  Status,
  TakenBackInvite,
  Token,
  TokenMade,
  Webhook,
  WebhookMade,
  WebhookTested,
  Zone,
  ZoneInvite,
  ZoneKey,
  ZonePolicy,
} from './shapes.ts';

type Wait = { signal?: AbortSignal | undefined };

/** What is done with a `key` is done once: asked again with it, also after a kill, it answers with what came of it. */
type Once = Wait & { key?: string | undefined };

/** The jobs of an agent. Jobs are named by their id or its beginning. */
export interface JobDesk {
  /** Takes work up, also what was under way at the last end. */
  start(): void;
  /** Stops; what is under way is taken up at the next start. */
  [Symbol.asyncDispose](): Promise<void>;
  /**
   * Answers once it is kept. `id`: where it has one already, under which it is taken once. `at`: when it was asked for,
   * Unix ms. Throws `invalid_argument`,
   * `unknown_operation`, `key_reused`, `queue_full`, `disk_full`.
   */
  create(request: JobRequest, options?: { id?: string; at?: number; source?: 'spool' }): Job;
  /** Oldest first. */
  list(options: { state?: JobState | undefined; limit: number; before?: string | undefined }): Job[];
  /** Throws `unknown_id`. */
  show(id: string): Job;
  /** The job as it is, then with each change, until it is over. */
  follow(id: string, options: Wait): AsyncGenerator<Job, void, void>;
  /** Throws `wrong_state` where it is over, or not. */
  cancel(id: string): Promise<Job>;
  retry(id: string): Job;
}

/** `since` and `until` are days or times of UTC. */
type SearchOptions = {
  query: string;
  in?: string | undefined;
  from?: string | undefined;
  since?: string | undefined;
  until?: string | undefined;
  limit: number;
  before?: string | undefined;
};

/** Every method throws a `Fault`. A handle without `@zone` means one in the node's own zone. */
export interface Backend {
  /** The user did something through a door: any operation but the following of what happens. */
  used(): void;

  status(): Promise<Status>;
  /** Throws `wrong_state` without a tracker. */
  invite(): Promise<InviteInfo>;
  /** Looks at all that must be so for messages to come and go. */
  check(options: Wait): Promise<Finding[]>;

  /** Both answer once it is kept for the next start, with how the node stands then. */
  trackers: {
    /** `name`: what I am called there; `instead`: in place of all trackers of now. */
    join(invite: string, options: Wait & { name?: string | undefined; instead?: boolean | undefined }): Promise<Status>;
    /** `peer`: its peer id. */
    leave(peer: string): Promise<Status>;
  };

  jobs: JobDesk;

  /** Settles when all that was done so far survives a power cut; no operation answers before. */
  settled(): Promise<void> | undefined;

  people: {
    /** Sends this node's record to its trackers now (the textbook's send_info) and answers with what they took. */
    announce(options: Wait): Promise<Person>;
    /** The tracker's list (get_list). */
    list(options: Wait): Promise<Person[]>;
    /** With `mode` or `trace` by a walk, whatever is known of the person; a fault's `data.trace` then has the steps, too. */
    find(
      handle: string,
      options: Wait & { mode?: 'iterative' | 'recursive' | undefined; trace?: boolean | undefined },
    ): Promise<PersonFound>;
    setStatus(status: Presence, text: string, options: Wait): Promise<Person>;
    /** `autoAccept`: bytes up to which this person's files are fetched unasked; null: none. */
    setAutoAccept(handle: string, autoAccept: number | null, options: Wait): Promise<Person>;
    /** `confirm`: what the other side shows; where it is the same, the person is verified from now on. */
    verify(handle: string, options: Wait & { confirm?: string | undefined }): Promise<Safety>;
    /** `key`: account id of the key that a tracker shows and that the user has made sure of. */
    acceptKey(handle: string, key: string, options: Wait): Promise<Person>;
    block(handle: string, options: Wait): Promise<Person>;
    unblock(handle: string, options: Wait): Promise<Person>;
  };

  messages: {
    /** Answers once the entry is signed and durable here; delivery goes on by itself. */
    say(handle: string, text: string, options: Once): Promise<Message>;
    /** Oldest first, at most `limit` (1 to 1,000): the page that ends just before, or starts just after, a message. */
    list(
      handle: string | undefined,
      options: { limit: number; before?: string | undefined; after?: string | undefined },
    ): Promise<Message[]>;
    show(id: string, options?: { history?: boolean }): Promise<MessageInFull>;
    /** These answer with the message as it is then; `reply` with the new one. */
    reply(id: string, text: string, options?: Once): Promise<Message>;
    edit(id: string, text: string, options?: Once): Promise<Message>;
    remove(id: string, options?: Once): Promise<Message>;
    react(id: string, emoji: string, options: Once & { off: boolean }): Promise<Message>;
    /** `target` may be a message's id, too: up to it. */
    read(target: string, options: Wait): Promise<Conversation>;
    typing(target: string, options: Wait & { off: boolean }): Promise<{ conversation: string }>;
    search(options: SearchOptions, wait: Wait): Promise<Found[]>;
  };

  conversations: {
    list(): Promise<Conversation[]>;
    export(target: string, options: Wait & { format: 'ndjson' | 'markdown' }): AsyncIterable<{ line: string }>;
  };

  /** Says when the file is whole. */
  backup(options: {
    file: string;
    passphrase?: string | undefined;
    passphraseFile?: string | undefined;
  }): Promise<BackupInfo>;

  /** A room is named by its name, with or without `#`, or by its id. A change answers once it is ordered, or waits durably. */
  rooms: {
    /** `history`: all, none, or a number of entries. */
    create(name: string, options: Once & { members: readonly string[]; history: string }): Promise<Room>;
    list(): Promise<Room[]>;
    show(room: string): Promise<Room>;
    invite(room: string, handle: string, role: Role, options: Once): Promise<Room>;
    join(room: string, options?: Once): Promise<Room>;
    decline(room: string, options?: Once): Promise<Room>;
    leave(room: string, options?: Once): Promise<Room>;
    remove(room: string, handle: string, options: Once): Promise<Room>;
    role(room: string, handle: string, role: Role, options: Once): Promise<Room>;
    close(room: string, options?: Once): Promise<Room>;
  };

  files: {
    /** Answers at once with an id in state `preparing`; hashing and offering go on by themselves. `path` is absolute. */
    send(handle: string, path: string, options: Once & { name?: string | undefined }): Promise<FileInfo>;
    /** Takes a piece of a file that is to be sent; `data` is base64. `path` in the answer once the last one is here. */
    stage(piece: {
      upload?: string | undefined;
      at: number;
      data: string;
      last: boolean;
      folder?: string | undefined;
      as?: string | undefined;
    }): Promise<Staged>;
    list(): Promise<FileInfo[]>;
    show(id: string): Promise<FileInfo>;
    /** Consents to an offer and starts the fetch; answers at once. `to`: absolute folder, default the home's downloads. */
    accept(id: string, options: { to?: string | undefined; conflict?: Conflict | undefined }): Promise<FileInfo>;
    decline(id: string): Promise<FileInfo>;
    cancel(id: string): Promise<FileInfo>;
    /** Snapshots of one file: the present one at once, then each change, until it is `done`, `declined`, `cancelled` or `failed`. */
    follow(id: string, options: Wait): AsyncIterable<FileInfo>;
    /** Snapshots of all that is not at its end, then each change; `untilIdle`: until nothing is under way. */
    watch(options: Wait & { untilIdle: boolean }): AsyncIterable<FileInfo>;

    pause(id: string): Promise<FileInfo>;
    resume(id: string): Promise<FileInfo>;
    priority(id: string, priority: Priority): Promise<FileInfo>;
    /** Bytes a second; null: no bound. */
    limit(id: string, rate: number | null): Promise<FileInfo>;
    /** Sets what is not undefined. */
    limits(change: { [K in keyof FileLimits]?: FileLimits[K] | undefined }): Promise<FileLimits>;
    /** Without `bytes` nothing is set; without `handle` it is for all. */
    quota(options: Wait & { handle?: string | undefined; bytes?: number | null | undefined }): Promise<FileQuota>;
    /** `upTo` null: none. `into` undefined: the home's downloads. */
    autoAccept(handle: string, options: Wait & { upTo: number | null; into?: string | undefined }): Promise<Person>;
    link(id: string, options: { ttlMs: number }): Promise<FileLink>;
    links(): Promise<GivenLink[]>;
    revoke(link: string): Promise<GivenLink>;
    certificate(id: string | undefined, options: Wait): Promise<FileCertificate>;
    gc(options: { dryRun: boolean }): Promise<FileGarbage[]>;
    verify(options: Wait & { id?: string | undefined; refetch: boolean }): AsyncIterable<FileCheck>;
  };

  /** Of a zone, by one of its admins; `zone` undefined: the node's own. Throws `forbidden` for anybody else. */
  administration: {
    /** Without `policy` nothing is set. */
    policy(zone: string, policy: ZonePolicy['policy'] | undefined, options: Wait): Promise<ZonePolicy>;
    invite(zone: string | undefined, options: Wait & { uses: number; ttlMs: number }): Promise<ZoneInvite>;
    uninvite(invite: string, options: Wait): Promise<TakenBackInvite>;
    handles(zone: string | undefined, options: Wait): Promise<HandleInfo[]>;
    revoke(handle: string, options: Wait): Promise<HandleInfo>;
    /** Answers with the new name. */
    rename(handle: string, to: string, options: Wait): Promise<HandleInfo>;
    free(handle: string, options: Wait): Promise<FreedHandle>;
  };

  links: {
    list(): Promise<LinkInfo[]>;
    /** Links to a handle, to `peerid@host:port`, or to `host:port` and whichever key answers there. (peer_connect) */
    connect(target: string, options: Wait): Promise<LinkInfo>;
  };

  network: {
    check(options: Wait): Promise<NetworkInfo>;
    /** Tries every way to somebody's node to its end. */
    peer(handle: string, options: Wait): Promise<PeerReach>;
    /** Throws `wrong_state` where nobody listens. */
    lan(): Promise<Heard[]>;
  };

  events: {
    /** Cursor of the newest event; 0 if there is none. */
    last(): number;
    /**
     * Events after `from`, kept ones first, then live ones until `signal`. `match`: types, prefixes such as `message.*`, or
     * `conversation:ID`. Events of type `message.*` carry the message as data, those of type `file.*` the file.
     */
    follow(options: Wait & { from: number; match?: readonly string[] | undefined }): Promise<AsyncIterable<AgentEvent>>;
  };

  /** Each throws `forbidden` for an account that does not administer the tracker. */
  zones: {
    /** `to`: invite link of the tracker that gets the zone. */
    delegate(zone: string, to: string, options: Wait): Promise<Zone>;
    list(options: Wait): Promise<Zone[]>;
    revoke(zone: string, options: Wait & { peer?: string | undefined }): Promise<Zone>;
    /** By the user of this node, whoever administers what. */
    acceptKey(zone: string, key: string): Promise<ZoneKey>;
  };

  webhooks: {
    /** Throws `forbidden` for a target that is not allowed. */
    create(url: string, match: readonly string[], options: Wait): Promise<WebhookMade>;
    list(): Promise<Webhook[]>;
    show(id: string): Promise<Webhook>;
    remove(id: string): Promise<Webhook>;
    test(id: string, options: Wait): Promise<WebhookTested>;
    dead(id: string): Promise<DeadLetter[]>;
    replay(id: string, options: Wait & { letter?: number | undefined }): Promise<Replayed>;
  };

  tokens: {
    /** Scopes are known ones. */
    create(options: { scopes: readonly string[]; ttlMs: number; name: string }): Promise<TokenMade>;
    list(): Promise<Token[]>;
    revoke(id: string): Promise<Token>;
  };

  sessions: {
    /** `origin`: of the HTTP door. */
    open(options: { origin: string; scopes: readonly string[]; ttlMs: number }): Promise<SessionLink>;
    list(): Promise<BrowserSession[]>;
    end(id: string): Promise<BrowserSession>;
  };

  /** Who is admitted at the HTTP door, beside the home's own token. */
  access: Access;
}
