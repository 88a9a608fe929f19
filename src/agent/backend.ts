/** A running node as what the operations need. */
import type { Backend } from '../api/backend.ts';
import type { FileInfo, Finding, Person, Room, Status } from '../api/shapes.ts';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Node } from '../node/node.ts';
import { takeRestored } from '../node/restored.ts';
import { readPassphrase } from '../node/sealed.ts';
import { doorsOf } from './doors.ts';
import { fileControlOf } from './files.ts';
import { JobStore } from './job-store.ts';
import { Jobs } from './jobs.ts';
import { worldOf } from './needs.ts';

const DAY_MS = 86_400_000;
const WHOLE_ID = /^[a-z2-7]{52}$/;

type Wait = { signal?: AbortSignal | undefined };
/** What is done for a key is done once. */
type Once = { key?: string | undefined };
type ChatMessage = ReturnType<Node['chat']['say']>;
type ChatRoom = ReturnType<Node['chat']['rooms']['show']>;

/** `invite`: the one to give to others, where it differs from the one by which the node itself finds its tracker. */
export function backendOf(
  node: Node,
  options: {
    version: string;
    clock: Clock;
    log: Log;
    invite?: string | undefined;
    /** The doctor's findings about an agent that says this of itself; without it none. */
    examine?: (agent: Status, options: Wait) => Promise<Finding[]>;
  },
): Backend {
  const { directory, chat, files, peers, events, contacts } = node;
  const messageId = (text: string): string => chat.history.idOf(text);
  const fileId = (text: string): string => files.idOf(text);
  const cursor = (text: string | undefined): string | undefined => (text === undefined ? undefined : messageId(text));

  const account = async (handle: string, wait: Wait = {}): Promise<string> => {
    const found = await directory.find(handle, wait);
    return found.account;
  };
  /** An account's id, or a room's. */
  const target = async (text: string, wait: Wait = {}): Promise<string> => roomOf(text) ?? (await account(text, wait));
  const roomOf = (text: string): string | undefined =>
    text.startsWith('#') || chat.rooms.has(text) ? chat.rooms.find(text).id : undefined;
  /** Somebody in a room may be named also where no tracker can be asked: by the handle that the room shows. */
  const inRoom = async (room: string, handle: string, wait: Wait): Promise<string> => {
    const { members, invited } = node.roomView(chat.rooms.show(room));
    const known = [...members, ...invited].find((each) => each.handle === handle || each.id === handle);
    return known?.id ?? (await account(handle, wait));
  };
  /** Id of the conversation that a target means. */
  const conversation = async (target: string, wait: Wait): Promise<string> => {
    const room = roomOf(target);
    if (room !== undefined) return room;
    const { id } = chat.history.known(target) ?? { id: chat.conversationWith(await account(target, wait)) };
    return id;
  };
  /** Whoever is known by this handle is meant, rather than a message whose id begins so. */
  const meant = (target: string): string => {
    const isConversation = roomOf(target) ?? chat.history.known(target) ?? directory.known(target);
    return isConversation === undefined && /^[a-z2-7]{6,51}$/.test(target) ? idOrNone(target) : target;
  };
  /** None: a handle that only a tracker knows. Several: the caller is to say which. */
  const idOrNone = (target: string): string => (chat.history.isBeginning(target) ? messageId(target) : target);
  const find = async (handle: string, wait: Wait): Promise<Person> =>
    node.personView(await directory.find(handle, wait));
  const me = (): Person => node.personView(directory.me());
  /** To read what was said: also with somebody whose handle is shown with another key by now. */
  const reader = async (handle: string): Promise<string> => directory.known(handle)?.account ?? (await account(handle));
  const person = (id: string): Person => {
    const known = directory.get(id);
    if (known) return node.personView(known);
    // Blocked by their key alone: no tracker has said who it is.
    const nobody = {
      handle: id,
      account: id,
      node: '',
      text: '',
      addresses: [],
      lastSeen: 0,
      me: false,
      former: false,
    };
    return node.personView({ ...nobody, status: 'offline' });
  };

  async function* followFile(id: string, { signal }: Wait): AsyncGenerator<FileInfo> {
    for await (const transfer of files.follow(fileId(id), { signal })) yield node.fileView(transfer);
  }

  /** People name conversations by handle or #room, too; events carry their ids. */
  const resolved = (patterns: readonly string[], wait: Wait): Promise<string[]> =>
    Promise.all(
      patterns.map(async (pattern) => {
        const [, meant] = /^conversation:(.+)$/.exec(pattern) ?? [];
        return meant === undefined ? pattern : `conversation:${await conversation(meant, wait)}`;
      }),
    );

  const followEvents: Backend['events']['follow'] = async ({ match, ...options }) =>
    events.follow({ ...options, match: match && (await resolved(match, options)) });

  const kept = new JobStore(node.store);
  const record = (key: string | undefined) => (id: string) => {
    if (key !== undefined) kept.record(key, id, options.clock.now());
  };
  /** Id of the message that `work` makes: written down in the transaction that makes it, so that no other is made for the key. */
  const once = ({ key }: Once, work: () => ChatMessage): ChatMessage => {
    if (key === undefined) return work();
    return node.store.transaction(() => {
      const before = kept.effect(key);
      if (before !== undefined) return chat.show(before);
      const made = work();
      record(key)(made.id);
      return made;
    });
  };
  /** As `once`, for changes of a room, which are kept in one transaction and ordered after it. */
  const onceInRoom = async (
    { key }: Once,
    change: (options: { kept: (id: string) => void }) => Promise<ChatRoom>,
  ): Promise<Room> => {
    const before = key === undefined ? undefined : kept.effect(key);
    return node.roomView(before === undefined ? await change({ kept: record(key) }) : chat.rooms.show(before));
  };
  const roomId = (room: string): string => chat.rooms.find(room).id;
  const jobs = new Jobs(
    {
      jobs: kept,
      world: worldOf(node),
      clock: options.clock,
      log: options.log,
      emit: (type, data) => events.emit(type, data),
      restored: () => takeRestored(node.store),
    },
    () => backend,
  );

  const backend: Backend = {
    jobs,

    async status(): Promise<Status> {
      const { handle, id, node: peer, status, text } = me();
      const trackers = directory.states().map(({ peer, address, zone, state, error, invite }) => ({
        peer,
        address,
        zone,
        state,
        error: error?.message ?? null,
        invite,
      }));
      const moving = files
        .list()
        .filter(({ state }) => ['accepted', 'fetching', 'serving', 'preparing'].includes(state));
      return {
        handle,
        id,
        node: peer,
        status,
        text,
        home: node.home,
        addresses: node.addresses,
        version: options.version,
        since: new Date(node.since).toISOString(),
        trackers,
        links: peers.links.size,
        queue: { messages: chat.waiting(), files: moving.length },
        invite: options.invite ?? trackers[0]?.invite ?? null,
      };
    },

    check: async (wait) => (await options.examine?.(await backend.status(), wait)) ?? [],

    used: () => node.presence.used(),

    async invite() {
      const [tracker] = directory.states();
      if (!tracker) {
        throw new Fault('wrong_state', 'showing the invite: this node has no tracker; join one with its invite link');
      }
      return { invite: options.invite ?? tracker.invite, zone: tracker.zone, tracker: tracker.peer };
    },
    settled: node.settled,

    people: {
      async announce(wait) {
        await directory.announceNow(wait);
        return me();
      },
      async list(wait) {
        const people = await directory.refresh(wait).catch((error: unknown) => {
          // What is known already is an answer while no tracker gives a newer one; its people show as offline.
          if (error instanceof Fault && (error.retry || error.code === 'unknown_handle')) return directory.list();
          throw error;
        });
        // Also who was blocked by the key alone.
        const strangers = node.marks.blocked().filter((id) => !directory.get(id));
        return [...people.map(node.personView), ...strangers.map(person)];
      },
      find,
      async setStatus(status, text, wait) {
        if (status === 'offline') {
          throw new Fault('invalid_argument', 'setting the status "offline": stop the agent to be offline');
        }
        await node.setStatus(status, text, wait);
        return me();
      },
      async setAutoAccept(handle, autoAccept, wait) {
        files.setAutoAccept(await account(handle, wait), autoAccept);
        return find(handle, wait);
      },
      async verify(handle, { confirm, signal }) {
        const id = await account(handle, { signal });
        const safety = contacts.safety(id);
        if (confirm !== undefined) contacts.confirm(id, confirm);
        const { handle: shown, verifiedAt, verifiedBy } = person(id);
        return { handle: shown, id, ...safety, verifiedAt, verifiedBy };
      },
      acceptKey: async (handle, key, wait) => node.personView(await contacts.accept(handle, key, wait)),
      block: async (handle, wait) => person(await contacts.block(handle, wait)),
      unblock: async (handle, wait) => person(await contacts.unblock(handle, wait)),
    },

    messages: {
      async say(handle, text, wait) {
        const to = await target(handle, wait);
        return node.messageView(once(wait, () => chat.say(to, { text })));
      },
      async list(handle, { before, after, ...page }) {
        const who = handle === undefined ? undefined : (roomOf(handle) ?? (await reader(handle)));
        const bounds = { before: cursor(before), after: cursor(after) };
        return chat.list({ account: who, ...page, ...bounds }).map(node.messageView);
      },
      async show(text, { history } = {}) {
        const id = WHOLE_ID.test(text) ? text : messageId(text); // what is no id is none to `chat.show` either
        const versions = history ? chat.history.versions(id) : undefined;
        return {
          ...node.messageView(chat.show(id)),
          history: versions?.map(({ at, ...version }) => ({ ...version, at: new Date(at).toISOString() })) ?? null,
        };
      },
      reply: async (id, text, wait = {}) => node.messageView(once(wait, () => chat.history.reply(messageId(id), text))),
      edit: async (id, text, wait = {}) => node.messageView(once(wait, () => chat.history.edit(messageId(id), text))),
      remove: async (id, wait = {}) => node.messageView(once(wait, () => chat.history.remove(messageId(id)))),
      react: async (id, emoji, { off, ...wait }) =>
        node.messageView(once(wait, () => chat.history.react(messageId(id), emoji, !off))),
      async read(target, wait) {
        const message = chat.history.find(meant(target));
        const id = message?.entry.conversation ?? (await conversation(target, wait));
        if (message) chat.markRead(message.id);
        else chat.history.markAllRead(id);
        return node.conversationView(chat.history.conversation(id));
      },
      async typing(target, { off, signal }) {
        const id = await conversation(target, { signal });
        chat.typing(id, !off);
        return { conversation: id };
      },
      async search({ query, in: where, from, since, until, before, ...options }, wait) {
        const found = chat.history.search({
          ...options,
          before: cursor(before),
          words: query,
          conversation: where === undefined ? undefined : await conversation(where, wait),
          author: from === undefined ? undefined : await account(from, wait),
          since: since === undefined ? undefined : Date.parse(since),
          // A day is meant to its end.
          until: until === undefined ? undefined : Date.parse(until) + (until.includes('T') ? 0 : DAY_MS),
        });
        return found.map(({ message, snippet }) => ({ ...node.messageView(message), snippet }));
      },
    },

    conversations: {
      list: async () => chat.history.conversations().map(node.conversationView),
      async *export(target, { format, signal }) {
        const id = await conversation(target, { signal });
        for await (const line of chat.export({ conversation: id, format, handleOf: node.handleOf })) yield { line };
      },
    },

    async backup({ file, passphrase, passphraseFile }) {
      const words = passphraseFile === undefined ? passphrase : await readPassphrase(passphraseFile);
      const { at, ...made } = await node.backup(file, words);
      return { ...made, at: new Date(at).toISOString() };
    },

    rooms: {
      create: (name, { members, history, ...wait }) =>
        onceInRoom(wait, async (options) => {
          const policy = history === 'all' || history === 'none' ? history : { last: Number(history) };
          const accounts = await Promise.all(members.map((handle) => account(handle, wait)));
          return await chat.rooms.create(name, { ...options, history: policy, members: accounts });
        }),
      list: async () => chat.rooms.list().map(node.roomView),
      show: async (room) => node.roomView(chat.rooms.find(room)),
      invite: (room, handle, role, wait) =>
        onceInRoom(wait, async (options) =>
          chat.rooms.invite(roomId(room), await account(handle, wait), role, options),
        ),
      join: (room, wait = {}) => onceInRoom(wait, (options) => chat.rooms.join(roomId(room), options)),
      decline: (room, wait = {}) => onceInRoom(wait, (options) => chat.rooms.decline(roomId(room), options)),
      leave: (room, wait = {}) => onceInRoom(wait, (options) => chat.rooms.leave(roomId(room), options)),
      remove: (room, handle, wait) =>
        onceInRoom(wait, async (options) => {
          const id = roomId(room);
          return await chat.rooms.remove(id, await inRoom(id, handle, wait), options);
        }),
      role: (room, handle, role, wait) =>
        onceInRoom(wait, async (options) => {
          const id = roomId(room);
          return await chat.rooms.role(id, await inRoom(id, handle, wait), role, options);
        }),
      close: (room, wait = {}) => onceInRoom(wait, (options) => chat.rooms.close(roomId(room), options)),
    },

    files: {
      async send(handle, path, { name, ...wait }) {
        return node.fileView(await files.send(await target(handle, wait), path, { name, id: wait.key }));
      },
      list: async () => files.list().map(node.fileView),
      show: async (id) => node.fileView(files.show(fileId(id))),
      accept: async (id, options) => node.fileView(await files.accept(fileId(id), options)),
      decline: async (id) => node.fileView(files.decline(fileId(id))),
      cancel: async (id) => node.fileView(await files.cancel(fileId(id))),
      follow: followFile,
      ...fileControlOf(node, { account, find }),
    },

    links: {
      list: async () => node.links().map(node.linkView),
      async connect(target, wait) {
        const [, peer, address] = /^(?:([a-z2-7]{52})@)?(.+:\d+)$/.exec(target) ?? [];
        const link = address
          ? await peers.connect(address, peer, wait)
          : await peers.reach(await account(target, wait), wait);
        return node.linkView(link);
      },
    },

    events: { last: () => events.last, follow: followEvents },
    ...doorsOf(node, resolved),
  };
  return backend;
}
