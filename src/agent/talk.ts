/** Conversations of an account, as the operations need them: an agent's own, or one of many that a node hosts. */
import type { Backend } from '../api/backend.ts';
import type { Room } from '../api/shapes.ts';
import type { Clock } from '../base/clock.ts';
import type { Node } from '../node/node.ts';
import type { JobStore } from './job-store.ts';

/** What was done for which key. */
export type Kept = Pick<JobStore, 'effect' | 'record'>;

const DAY_MS = 86_400_000;
const WHOLE_ID = /^[a-z2-7]{52}$/;

type Wait = { signal?: AbortSignal | undefined };
/** What is done for a key is done once. */
type Once = { key?: string | undefined };
type ChatMessage = ReturnType<Node['chat']['say']>;
type ChatRoom = ReturnType<Node['chat']['rooms']['show']>;

/** Whoever talks. Its ends of conversations are asked for at each use: one of many accounts may have let go of them meanwhile. */
export type Talker = Pick<Node, 'chat' | 'store' | 'messageView' | 'roomView' | 'conversationView' | 'handleOf'> & {
  directory: {
    find(who: string, wait: Wait): Promise<{ account: string }>;
    known(who: string): { account: string } | undefined;
  };
};

export function talkOf(node: Talker, { kept, clock }: { kept: Kept; clock: Clock }) {
  const { directory } = node;
  const messageId = (text: string): string => node.chat.history.idOf(text);
  const cursor = (text: string | undefined): string | undefined => (text === undefined ? undefined : messageId(text));

  const account = async (handle: string, wait: Wait = {}): Promise<string> => {
    const found = await directory.find(handle, wait);
    return found.account;
  };
  /** An account's id, or a room's. */
  const target = async (text: string, wait: Wait = {}): Promise<string> => roomOf(text) ?? (await account(text, wait));
  const roomOf = (text: string): string | undefined =>
    text.startsWith('#') || node.chat.rooms.has(text) ? node.chat.rooms.find(text).id : undefined;
  /** Somebody in a room may be named also where no tracker can be asked: by the handle that the room shows. */
  const inRoom = async (room: string, handle: string, wait: Wait): Promise<string> => {
    const { members, invited } = node.roomView(node.chat.rooms.show(room));
    const known = [...members, ...invited].find((each) => each.handle === handle || each.id === handle);
    return known?.id ?? (await account(handle, wait));
  };
  /** Id of the conversation that a target means. */
  const conversation = async (target: string, wait: Wait): Promise<string> => {
    const room = roomOf(target);
    if (room !== undefined) return room;
    const { id } = node.chat.history.known(target) ?? { id: node.chat.conversationWith(await account(target, wait)) };
    return id;
  };
  /** Whoever is known by this handle is meant, rather than a message whose id begins so. */
  const meant = (target: string): string => {
    const isConversation = roomOf(target) ?? node.chat.history.known(target) ?? directory.known(target);
    return isConversation === undefined && /^[a-z2-7]{6,51}$/.test(target) ? idOrNone(target) : target;
  };
  /** None: a handle that only a tracker knows. Several: the caller is to say which. */
  const idOrNone = (target: string): string => (node.chat.history.isBeginning(target) ? messageId(target) : target);
  /** To read what was said: also with somebody whose handle is shown with another key by now. */
  const reader = async (handle: string): Promise<string> => directory.known(handle)?.account ?? (await account(handle));
  /** People name conversations by handle or #room, too; events carry their ids. */
  const resolved = (patterns: readonly string[], wait: Wait): Promise<string[]> =>
    Promise.all(
      patterns.map(async (pattern) => {
        const [, meant] = /^conversation:(.+)$/.exec(pattern) ?? [];
        return meant === undefined ? pattern : `conversation:${await conversation(meant, wait)}`;
      }),
    );

  const record = (key: string | undefined) => (id: string) => {
    if (key !== undefined) kept.record(key, id, clock.now());
  };
  /** Id of the message that `work` makes: written down in the transaction that makes it, so that no other is made for the key. */
  const once = ({ key }: Once, work: () => ChatMessage): ChatMessage => {
    if (key === undefined) return work();
    return node.store.transaction(() => {
      const before = kept.effect(key);
      if (before !== undefined) return node.chat.show(before);
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
    return node.roomView(before === undefined ? await change({ kept: record(key) }) : node.chat.rooms.show(before));
  };
  const roomId = (room: string): string => node.chat.rooms.find(room).id;

  const talk: Pick<Backend, 'messages' | 'conversations' | 'rooms'> = {
    messages: {
      async say(handle, text, wait) {
        const to = await target(handle, wait);
        return node.messageView(once(wait, () => node.chat.say(to, { text })));
      },
      async list(handle, { before, after, ...page }) {
        const who = handle === undefined ? undefined : (roomOf(handle) ?? (await reader(handle)));
        const bounds = { before: cursor(before), after: cursor(after) };
        return node.chat.list({ account: who, ...page, ...bounds }).map(node.messageView);
      },
      async show(text, { history } = {}) {
        const id = WHOLE_ID.test(text) ? text : messageId(text); // what is no id is none to `chat.show` either
        const versions = history ? node.chat.history.versions(id) : undefined;
        return {
          ...node.messageView(node.chat.show(id)),
          history: versions?.map(({ at, ...version }) => ({ ...version, at: new Date(at).toISOString() })) ?? null,
        };
      },
      reply: async (id, text, wait = {}) =>
        node.messageView(once(wait, () => node.chat.history.reply(messageId(id), text))),
      edit: async (id, text, wait = {}) =>
        node.messageView(once(wait, () => node.chat.history.edit(messageId(id), text))),
      remove: async (id, wait = {}) => node.messageView(once(wait, () => node.chat.history.remove(messageId(id)))),
      react: async (id, emoji, { off, ...wait }) =>
        node.messageView(once(wait, () => node.chat.history.react(messageId(id), emoji, !off))),
      async read(target, wait) {
        const message = node.chat.history.find(meant(target));
        const id = message?.entry.conversation ?? (await conversation(target, wait));
        if (message) node.chat.markRead(message.id);
        else node.chat.history.markAllRead(id);
        return node.conversationView(node.chat.history.conversation(id));
      },
      async typing(target, { off, signal }) {
        const id = await conversation(target, { signal });
        node.chat.typing(id, !off);
        return { conversation: id };
      },
      async search({ query, in: where, from, since, until, before, ...options }, wait) {
        const found = node.chat.history.search({
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
      list: async () => node.chat.history.conversations().map(node.conversationView),
      async *export(target, { format, signal }) {
        const id = await conversation(target, { signal });
        for await (const line of node.chat.export({ conversation: id, format, handleOf: node.handleOf }))
          yield { line };
      },
    },

    rooms: {
      create: (name, { members, history, ...wait }) =>
        onceInRoom(wait, async (options) => {
          const policy = history === 'all' || history === 'none' ? history : { last: Number(history) };
          const accounts = await Promise.all(members.map((handle) => account(handle, wait)));
          return await node.chat.rooms.create(name, { ...options, history: policy, members: accounts });
        }),
      list: async () => node.chat.rooms.list().map(node.roomView),
      show: async (room) => node.roomView(node.chat.rooms.find(room)),
      invite: (room, handle, role, wait) =>
        onceInRoom(wait, async (options) =>
          node.chat.rooms.invite(roomId(room), await account(handle, wait), role, options),
        ),
      join: (room, wait = {}) => onceInRoom(wait, (options) => node.chat.rooms.join(roomId(room), options)),
      decline: (room, wait = {}) => onceInRoom(wait, (options) => node.chat.rooms.decline(roomId(room), options)),
      leave: (room, wait = {}) => onceInRoom(wait, (options) => node.chat.rooms.leave(roomId(room), options)),
      remove: (room, handle, wait) =>
        onceInRoom(wait, async (options) => {
          const id = roomId(room);
          return await node.chat.rooms.remove(id, await inRoom(id, handle, wait), options);
        }),
      role: (room, handle, role, wait) =>
        onceInRoom(wait, async (options) => {
          const id = roomId(room);
          return await node.chat.rooms.role(id, await inRoom(id, handle, wait), role, options);
        }),
      close: (room, wait = {}) => onceInRoom(wait, (options) => node.chat.rooms.close(roomId(room), options)),
    },
  };
  return { ...talk, account, target, resolved };
}
