/** A backend of fixed people and files, for tests of the doors. */
import { setImmediate } from 'node:timers/promises';
import { JobStore } from '../src/agent/job-store.ts';
import { Jobs } from '../src/agent/jobs.ts';
import type { Backend } from '../src/api/backend.ts';
import type { AgentEvent, Conversation, FileCheck, FileInfo, Message, Person, Room } from '../src/api/shapes.ts';
import { systemClock } from '../src/base/clock.ts';
import { Fault, type FaultCode, isFaultCode } from '../src/base/fault.ts';
import { silentLog } from '../src/base/log.ts';
import { Store } from '../src/base/sqlite.ts';

const at = '2026-03-01T10:00:00.000Z';

export const alice: Person = {
  handle: 'alice@lab',
  id: 'aaaa',
  status: 'online',
  text: '',
  node: 'nnnn',
  addresses: ['127.0.0.1:33357'],
  lastSeen: at,
  me: true,
  autoAccept: null,
  autoAcceptInto: null,
  verifiedAt: null,
  verifiedBy: null,
  blocked: false,
  keyChanged: null,
  former: false,
  hosted: false,
};

/** `bob` tries to write on the reader’s terminal: a colour, a title, a bell, a line of his own, a reversal. */
export const bob: Person = {
  ...alice,
  handle: 'bob@lab',
  id: 'bbbb',
  me: false,
  text: 'hi\u001b[31m\u001b]0;owned\u0007\nroot@lab\u202egnp.exe',
};

/**
 * `unknown_handle` is given for nobody; a handle `fault-<code>` gives that code, `defect` throws what is no fault.
 * `never` follows nothing and looks at no signal.
 */
export class StubBackend implements Backend {
  readonly log: AgentEvent[] = [];
  readonly said: { handle: string; text: string }[] = [];
  readonly calls: unknown[][] = [];
  fileSteps: Partial<FileInfo>[] = [];
  #wake = Promise.withResolvers<void>();
  followers = 0;

  readonly jobs = new Jobs(
    {
      jobs: new JobStore(new Store(':memory:')),
      world: { missing: async () => undefined, watch: async () => {} },
      clock: systemClock,
      log: silentLog(),
      emit: () => {},
    },
    () => this,
  );

  settled(): undefined {}

  emit(type: string, data: Record<string, unknown>): void {
    this.log.push({ cursor: this.log.length + 1, at, type, data });
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  readonly #person = (handle: string): Person => {
    const code = handle.slice('fault-'.length).replaceAll('-', '_');
    if (handle.startsWith('fault-') && isFaultCode(code)) throw codedFault(code);
    if (handle === 'defect') throw new TypeError('secret: the stack of a defect');
    if (handle === 'bob' || handle === 'bob@lab') return bob;
    if (handle === 'alice') return alice;
    throw new Fault('unknown_handle', `finding "${handle}": nobody is known by this handle`);
  };

  #message(text: string, handle: string): Message {
    return {
      id: `m${this.said.length}`,
      conversation: 'c1',
      from: 'alice@lab',
      to: this.#person(handle).handle,
      room: null,
      recipients: null,
      text,
      at,
      state: 'queued',
      deliveredAt: null,
      file: null,
      error: null,
      held: null,
      replyTo: null,
      edited: null,
      deleted: false,
      reactions: {},
      mentions: [],
      target: null,
    };
  }

  #file(id: string, change: Partial<FileInfo> = {}): FileInfo {
    if (id !== 'f1') throw new Fault('unknown_id', `showing file "${id}": there is none with this id`);
    return {
      id,
      name: 'report.pdf',
      size: 1_000_000,
      hash: 'h1',
      from: 'bob@lab',
      to: 'alice@lab',
      conversation: null,
      direction: 'in',
      state: 'offered',
      progress: 0,
      rate: 0,
      verified: false,
      eta: null,
      links: [],
      paused: false,
      priority: 'normal',
      limit: null,
      conflict: 'rename',
      path: '',
      at,
      error: null,
      ...change,
    };
  }

  uses = 0;

  used(): void {
    this.uses += 1;
  }

  invite: Backend['invite'] = async () => ({ invite: 'netapp://t', zone: 'lab', tracker: 'tttt' });

  status: Backend['status'] = async () => ({
    handle: 'alice@lab',
    id: 'aaaa',
    node: 'nnnn',
    status: 'online',
    text: '',
    home: '/home/alice',
    addresses: ['127.0.0.1:33357'],
    version: '0.1.0',
    since: at,
    trackers: [
      {
        peer: 'tttt',
        address: '10.0.0.1:22236',
        zone: 'lab',
        tier: 1,
        state: 'up',
        used: true,
        why: 'the only one that answers',
        rttMs: 1.5,
        error: null,
        code: null,
        invite: 'netapp://t',
      },
    ],
    links: 1,
    queue: { messages: 0, files: 0 },
    reach: {
      mapping: {
        state: 'off',
        by: null,
        outside: null,
        isPublic: null,
        until: null,
        gateway: null,
        error: null,
        code: null,
      },
      lan: { on: false, networks: [], found: 0, refused: null },
    },
    invite: 'netapp://t',
  });

  people: Backend['people'] = {
    announce: async () => alice,
    list: async () => [alice, bob],
    find: async (handle) => ({ ...this.#person(handle), stale: false, trace: null, link: null }),
    setStatus: async (status, text) => ({ ...alice, status, text }),
    setAutoAccept: async (handle, autoAccept) => ({ ...this.#person(handle), autoAccept }),
    verify: async (handle, { confirm }) => {
      const { id, ...rest } = this.#person(handle);
      const safety = { number: '12345 67890', words: 'able baker', uri: 'netapp://verify/aaaa/bbbb' };
      return {
        handle: rest.handle,
        id,
        ...safety,
        verifiedAt: confirm ? at : null,
        verifiedBy: confirm ? 'number' : null,
      };
    },
    acceptKey: async (handle, key) => ({ ...this.#person(handle), id: key }),
    block: async (handle) => ({ ...this.#person(handle), blocked: true }),
    unblock: async (handle) => this.#person(handle),
  };

  messages: Backend['messages'] = {
    say: async (handle, text) => {
      this.said.push({ handle, text });
      return this.#message(text, handle);
    },
    list: async (handle, options) => {
      this.calls.push(['messages.list', handle, options]);
      return [this.#message('hello', handle ?? 'bob')];
    },
    show: async (id) => {
      if (id !== 'm1') throw new Fault('unknown_id', `showing message "${id}": there is none with this id`);
      return { ...this.#message('hello', 'bob'), id, history: null };
    },
    reply: async (id, text) => ({ ...this.#message(text, 'bob'), replyTo: id }),
    edit: async (id, text) => ({ ...this.#message(text, 'bob'), id, edited: at }),
    remove: async (id) => ({ ...this.#message('', 'bob'), id, deleted: true }),
    react: async (id, emoji, { off }) => ({
      ...this.#message('hello', 'bob'),
      id,
      reactions: off ? {} : { [emoji]: ['alice@lab'] },
    }),
    read: async (target) => this.#conversation(target),
    typing: async (target, { off }) => {
      this.calls.push(['messages.typing', target, off]);
      return { conversation: 'c1' };
    },
    search: async (options) => {
      this.calls.push(['messages.search', options]);
      return [{ ...this.#message('hello', 'bob'), snippet: [{ text: 'hello', hit: true }] }];
    },
  };

  conversations: Backend['conversations'] = {
    list: async () => [this.#conversation('bob')],
    export: (target, { format }) => this.#lines(target, format),
  };

  async *#lines(target: string, format: string): AsyncGenerator<{ line: string }, void, void> {
    this.calls.push(['conversations.export', this.#person(target).handle, format]);
    yield { line: format === 'ndjson' ? '{"export":1}' : '# \u001b[31mbob' };
  }

  #conversation(target: string): Conversation {
    const members = ['alice@lab', this.#person(target).handle];
    const last = this.#message('hello', target);
    return { id: 'c1', kind: 'direct', name: null, members, unread: 2, mentions: 1, last };
  }

  backup: Backend['backup'] = async (options) => {
    this.calls.push(['backup', options]);
    return { file: options.file, bytes: 1_000_000, at, encrypted: options.passphrase !== undefined };
  };

  #room(name: string): Room {
    return {
      id: 'r1',
      name,
      standing: 'owner',
      members: [{ handle: 'alice@lab', id: 'aaaa', role: 'owner' }],
      invited: [],
      invitedBy: null,
      history: 'all',
      closed: false,
      creator: 'alice@lab',
      home: 'tttt',
      at,
      number: 0,
      waiting: [],
      error: null,
    };
  }

  rooms: Backend['rooms'] = {
    create: async (name) => this.#room(name),
    list: async () => [this.#room('team')],
    show: async (room) => this.#room(room),
    invite: async (room) => this.#room(room),
    join: async (room) => this.#room(room),
    decline: async (room) => this.#room(room),
    leave: async (room) => this.#room(room),
    remove: async (room) => this.#room(room),
    role: async (room) => this.#room(room),
    close: async (room) => this.#room(room),
  };

  check = async () => [{ about: 'port', level: 'ok' as const, says: 'it answers', todo: null, code: null }];

  files: Backend['files'] = {
    send: async (handle, path) => {
      this.calls.push(['files.send', this.#person(handle).handle, path]);
      return this.#file('f1', { state: 'preparing', direction: 'out' });
    },
    stage: async ({ at, data, last }) => {
      const size = at + Buffer.from(data, 'base64').length;
      return { upload: 'u1', size, path: last ? '/home/outgoing/u1' : null };
    },
    list: async () => [this.#file('f1')],
    show: async (id) => this.#file(id),
    accept: async (id, options) => {
      this.calls.push(['files.accept', id, options]);
      return this.#file(id, { state: 'accepted' });
    },
    decline: async (id) => this.#file(id, { state: 'declined' }),
    cancel: async (id) => this.#file(id, { state: 'cancelled' }),
    follow: (id) => this.#snapshots(id),
    watch: () => this.#snapshots('f1'),
    pause: async (id) => this.#file(id, { paused: true }),
    resume: async (id) => this.#file(id),
    priority: async (id, priority) => this.#file(id, { priority }),
    limit: async (id, limit) => {
      this.calls.push(['files.limit', id, limit]);
      return this.#file(id, { limit });
    },
    limits: async (change) => ({ up: change.up ?? null, down: change.down ?? null, atOnce: change.atOnce ?? 3 }),
    quota: async () => ({ quota: null, used: 0, received: 0, spooled: 0, contacts: [] }),
    autoAccept: async (handle, { upTo, into = null }) => {
      this.calls.push(['files.autoAccept', handle, upTo, into]);
      return { ...this.#person(handle), autoAccept: upTo, autoAcceptInto: into };
    },
    link: async (id, { ttlMs }) => {
      this.calls.push(['files.link', id, ttlMs]);
      return {
        id: 'l1',
        file: id,
        name: 'report.pdf',
        at,
        until: at,
        urls: ['https://h/x'],
        files: [],
        pin: 'p',
        command: 'curl',
      };
    },
    links: async () => [],
    revoke: async (id) => ({ id, file: 'f1', name: 'report.pdf', at, until: at }),
    certificate: async () => ({
      certificate: '/c',
      key: '/k',
      header: 'h: v',
      until: at,
      urls: [],
      files: [],
      pin: null,
    }),
    gc: async ({ dryRun }) => [{ kind: 'part', what: '/a/.part', bytes: 5, why: 'done', removed: !dryRun }],
    verify: () => this.#checks(),
  };

  async *#checks(): AsyncGenerator<FileCheck, void, void> {
    yield { id: 'f1', name: 'report.pdf', direction: 'in', path: '/a', state: 'ok', badBytes: 0, refetch: false };
  }

  async *#snapshots(id: string): AsyncGenerator<FileInfo, void, void> {
    for (const step of this.fileSteps) {
      await setImmediate();
      yield this.#file(id, step);
    }
  }

  links: Backend['links'] = {
    list: async () => [],
    connect: async (target) => {
      this.#person(target);
      throw new Fault('peer_unreachable', `connecting to "${target}": no address answers`);
    },
  };

  network: Backend['network'] = {
    lan: async () => [],
    check: async () => ({
      interfaces: [],
      listening: [],
      trackers: [],
      nat: { kind: 'unknown', seen: [], hosts: 0 },
      multicast: [],
    }),
    peer: async (handle) => {
      const { handle: shown, id, status, lastSeen } = this.#person(handle);
      return { handle: shown, id, status, lastSeen, link: null, ways: [], waiting: { queued: 0, held: 0, files: 0 } };
    },
  };

  readonly #handle = {
    handle: 'bob@lab',
    id: 'bbbb',
    state: 'bound' as const,
    renamedTo: null,
    online: true,
    since: at,
    lastSeen: at,
  };

  administration: Backend['administration'] = {
    policy: async (zone, policy = 'open') => ({ zone, policy }),
    invite: async (zone = 'lab', { uses }) => ({ zone, uses, until: at, invite: 'netapp://k@h:1/?zone=lab&token=t' }),
    uninvite: async () => ({ zone: 'lab', until: at }),
    handles: async () => [this.#handle],
    revoke: async (handle) => ({ ...this.#handle, handle, state: 'revoked' }),
    rename: async (_handle, to) => ({ ...this.#handle, handle: to }),
    free: async (handle) => ({ handle }),
  };

  events: Backend['events'] = {
    last: () => this.log.length,
    follow: async (options) => this.#follow(options),
  };

  readonly #hook = {
    id: 'hhhhhhhh',
    url: 'http://127.0.0.1:1/hook',
    match: ['message.*'],
    at,
    state: 'idle' as const,
    cursor: 0,
    delivered: 0,
    dead: 0,
    attempts: 0,
    failingSince: null,
    error: null,
  };

  trackers: Backend['trackers'] = {
    join: async (invite, { name, instead }) => {
      this.calls.push(['trackers.join', invite, { name, instead }]);
      return await this.status();
    },
    leave: async (peer) => {
      this.calls.push(['trackers.leave', peer]);
      return await this.status();
    },
  };

  zones: Backend['zones'] = {
    delegate: async (zone, to) => ({
      zone,
      kind: 'delegated',
      key: to,
      trackers: [],
      until: at,
      seen: null,
    }),
    list: async () => [],
    revoke: async (zone) => {
      throw new Fault('unknown_zone', `revoking "${zone}": it is not delegated here`);
    },
    acceptKey: async (zone, key) => ({ zone, key, before: null }),
  };

  webhooks: Backend['webhooks'] = {
    create: async (url, match) => ({ ...this.#hook, url, match: [...match], secret: 'whsec_AAAA' }),
    list: async () => [this.#hook],
    show: async () => this.#hook,
    remove: async () => this.#hook,
    test: async () => ({ delivered: true, status: 204, ms: 3, error: null }),
    dead: async () => [],
    replay: async () => ({ replayed: 0, left: 0, error: null }),
  };

  readonly #token = { id: 'tttttttt', name: '', scopes: ['*'], at, expires: at, usedAt: null, state: 'valid' as const };

  tokens: Backend['tokens'] = {
    create: async ({ scopes, name }) => ({ ...this.#token, scopes: [...scopes], name, token: 'nat_made' }),
    list: async () => [this.#token],
    revoke: async () => ({ ...this.#token, state: 'revoked' }),
  };

  readonly #session = { id: 'ssssssss', scopes: ['*'], at, expires: at, usedAt: null, state: 'open' as const };

  sessions: Backend['sessions'] = {
    open: async ({ origin }) => ({ url: `${origin}/open#code`, expires: at }),
    list: async () => [this.#session],
    end: async () => ({ ...this.#session, state: 'ended' }),
  };

  /** `token-SCOPE` is a token of that scope. */
  access: Backend['access'] = {
    cookie: 'netapp_test',
    ofToken: (token) => (token.startsWith('token-') ? { name: token, scopes: [token.slice(6)] } : undefined),
    ofCookie: (value) => (value === 'good' ? { name: 'the session', scopes: ['*'] } : undefined),
    redeem: (code) => {
      if (code !== 'once') throw new Fault('unauthenticated', 'opening a session: no such code');
      return { value: 'good', seconds: 60 };
    },
  };

  async *#follow(options: Parameters<Backend['events']['follow']>[0]): AsyncGenerator<AgentEvent, void, void> {
    const { from, signal } = options;
    const [match] = options.match ?? [];
    const prefix = match?.replace(/\*$/, '') ?? '';
    this.followers += 1;
    try {
      for (let next = from; ; next += 1) {
        const event = this.log[next];
        if (event) {
          if (event.type === 'test.fault') throw new Fault('queue_full', 'following: you read too slowly');
          if (event.type.startsWith(prefix)) yield event;
          continue;
        }
        // `never` stands for a source that does not look at its signal.
        const stop = Promise.withResolvers<void>();
        if (match !== 'never') signal?.addEventListener('abort', () => stop.resolve(), { once: true });
        await Promise.race([this.#wake.promise, stop.promise]);
        if (match !== 'never' && signal?.aborted) return;
        next -= 1;
      }
    } finally {
      this.followers -= 1;
    }
  }
}

export function codedFault(code: FaultCode): Fault {
  return new Fault(code, `trying "${code}": so it is, with ünicode`, { data: { code, number: 7 } });
}
