/** What each command does: the table of the protocol, over the operations of the client's own account. */
import type { Hosted, Hosting, Present } from '../api/hosting.ts';
import type { Message, Room } from '../api/shapes.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Client } from './client.ts';
import { type Crowd, noticeOf } from './crowd.ts';
import type { Files } from './files.ts';
import type { Names } from './names.ts';
import { Notice } from './notice.ts';
import type { Pickled } from './pickle.ts';
import type { Said } from './reader.ts';
import type { Records } from './records.ts';
import { type Arguments, textOf, wantNumber, wantText } from './values.ts';

/** Messages of one conversation that a client is sent of what was said before: on JOIN, and when it comes back. */
const REPLAYED = 50;
const MISSED = 200;
/** Characters of a status: more than any list shows, and what a record takes. */
const STATUS_CHARACTERS = 200;
/** Characters of a room's name that is made of its people's. */
const ROOM_NAME_CHARACTERS = 60;
/** Whom one INVITE may name. */
const MOST_INVITED = 999;

export type DeskOptions = {
  hosting: Hosting;
  records: Records;
  names: Names;
  crowd: Crowd;
  files: Files;
  /** Who is here by the name that is shown. */
  knows: (shown: string) => boolean;
  /** Whether somebody's password is right; true where there is none. */
  admits: (client: Client, name: string, password: string | undefined) => Promise<{ hasPassword: boolean }>;
  /** Takes the name for a client while it comes in. Throws `name_taken`. */
  claim: (client: Client, name: string, options: { over: boolean }) => Disposable;
  /** A client is registered, or presents itself in another way. */
  registered: (client: Client) => void;
  presented: (client: Client) => void;
  /** Tells the trackers of an account's presence, in the order of the calls. */
  present: (name: string, work: () => Promise<void>) => Promise<void>;
  log: Log;
};

type Command = (client: Client, given: Arguments) => Promise<void> | undefined;

export class Desk {
  readonly #options: DeskOptions;
  readonly #commands: ReadonlyMap<string, Command>;

  constructor(options: DeskOptions) {
    this.#options = options;
    this.#commands = new Map<string, Command>([
      ['REGISTER', (client, given) => this.#register(client, given)],
      ['STATUS', (client, given) => this.#status(client, given)],
      ['INVITE', (client, given) => this.#invite(client, given)],
      ['LIST_CONVERSATIONS', (client) => this.#list(client)],
      ['JOIN', (client, given) => this.#join(client, given)],
      ['SEND_MESSAGE', (client, given) => this.#say(client, given)],
      ['LEAVE', (client, given) => this.#leave(client, given)],
      ['GOODBYE', (client) => void client.end()],
    ]);
  }

  /** Throws what the client is told. */
  readonly carry = (client: Client, { word, known, argument }: Said): Promise<void> | undefined => {
    const command = known ? this.#commands.get(word) : undefined;
    if (!command) {
      throw new Fault(
        'unknown_operation',
        `unknown command: "${word}"; there are ${[...this.#commands.keys()].join(', ')}`,
      );
    }
    return command(client, argument);
  };

  async #register(client: Client, given: Arguments): Promise<void> {
    const form = '[username, status]';
    const [who, status, third] = [
      wantText(given, 0, 'REGISTER', form),
      textOf(given?.[1]) ?? 'online',
      textOf(given?.[2]),
    ];
    // A colon is in no name: what stands behind it is a password, for clients that ask for a name and nothing else. [P-35]
    const colon = who.indexOf(':');
    const [spelt, password] = colon < 0 ? [who, third] : [who.slice(0, colon), who.slice(colon + 1)];
    const { name, spelling } = this.#options.names.own(spelt);
    if (client.user?.name === name) return await this.#status(client, [status]);
    if (client.user) {
      throw new Fault(
        'wrong_state',
        `you are "${client.user.shown}" on this connection: say GOODBYE, and connect again`,
      );
    }
    const { hasPassword } = await this.#options.admits(client, name, password);
    using _name = this.#options.claim(client, name, { over: hasPassword });
    const hosted = await this.#open(name);
    await this.#present(name, hosted, status);
    if (client.ended) return void this.#options.present(name, () => hosted.setOffline());
    const { names, records } = this.#options;
    if (names.spelling(name) !== spelling) {
      names.spell(name, spelling);
      records.spell(name, spelling);
    }
    client.enter({ hosted, name, shown: spelling, status });
    this.#options.registered(client);
    await client.catchUp(() => this.#missed(client, hosted));
  }

  async #open(name: string): Promise<Hosted> {
    try {
      return await this.#options.hosting.open(name);
    } catch (error) {
      const fault = toFault(error);
      if (fault.code !== 'name_taken') throw fault;
      throw new Fault('name_taken', `username taken: "${name}" belongs to somebody with a node of their own`);
    }
  }

  /** What no tracker takes now it takes later: who talks here need not wait for that. */
  async #present(name: string, hosted: Hosted, status: string): Promise<void> {
    const { present, words } = presentOf(status);
    await this.#options.present(name, async () => {
      await hosted.setOnline(present, words).catch((error: unknown) => {
        const fault = toFault(error);
        if (!fault.retry) throw fault;
        this.#options.log.info({ name, err: fault }, 'trackers hear of somebody later');
      });
    });
  }

  async #status(client: Client, given: Arguments): Promise<void> {
    const { user } = registered(client);
    const status = wantText(given, 0, 'STATUS', '[status]');
    await this.#present(user.name, user.hosted, status);
    user.status = status;
    this.#options.presented(client);
  }

  async #invite(client: Client, given: Arguments): Promise<void> {
    const { user } = registered(client);
    const wanted = (given ?? []).map((value) => textOf(value) ?? '');
    const handles = new Set<string>();
    for (const each of wanted) {
      const handle = this.#options.names.handle(each);
      if (handle === undefined) throw unknownUser(each);
      if (handle !== user.hosted.handle) handles.add(handle);
    }
    if (handles.size === 0) {
      throw new Fault('invalid_argument', 'INVITE names nobody: send INVITE [username, username, ...]');
    }
    if (handles.size > MOST_INVITED) {
      throw new Fault('too_many', `INVITE names ${handles.size} users: at most ${MOST_INVITED} fit a conversation`);
    }
    const { backend } = user.hosted;
    for (const handle of handles) {
      if (this.#options.knows(this.#options.names.show(handle))) continue;
      await backend.people.find(handle, {}).catch((error: unknown) => {
        const fault = toFault(error);
        throw fault.code === 'unknown_handle' || fault.code === 'unknown_zone'
          ? unknownUser(this.#options.names.show(handle))
          : fault;
      });
    }
    const people = [...handles].map((handle) => handle.split('@')[0] ?? '');
    const name = roomNameOf([user.name, ...people]);
    const { id } = await backend.rooms.create(name, { members: [...handles], history: 'all' });
    client.tell(new Notice('INVITATION', [this.#options.records.numberOf(id), user.shown]));
  }

  async #list(client: Client): Promise<void> {
    const { user } = registered(client);
    const { names, records } = this.#options;
    const { backend } = user.hosted;
    const listed = new Map<Pickled, Pickled>();
    for (const { id, members, closed, standing } of await backend.rooms.list()) {
      if (closed || !isPresent(standing)) continue;
      const people = members.map(({ handle }) => names.show(handle));
      listed.set(records.numberOf(id), people);
    }
    for (const { id, kind, members } of await backend.conversations.list()) {
      if (kind === 'direct')
        listed.set(
          records.numberOf(id),
          members.map((handle) => names.show(handle)),
        );
    }
    client.tell(new Notice('CONVERSATIONS', new Map([...listed].sort(([a], [b]) => Number(a) - Number(b)))));
  }

  async #join(client: Client, given: Arguments): Promise<void> {
    const { user } = registered(client);
    const number = wantNumber(given, 'JOIN', '[convID]');
    const conversation = this.#conversation(number);
    const notInvited = new Fault('forbidden', `not invited: nobody has asked you into conversation ${number}`);
    if (await this.#isDirect(user.hosted, conversation, notInvited)) return await this.#replay(client, conversation);
    const room = await user.hosted.backend.rooms.join(conversation).catch((error: unknown) => {
      const fault = toFault(error);
      if (fault.code === 'exists') return undefined; // a member already
      throw fault.code === 'forbidden' || fault.code === 'unknown_id' ? notInvited : fault;
    });
    if (room && !isMember(room)) {
      throw new Fault(
        'tracker_down',
        `joining conversation ${number} waits for the tracker: you are in it once that answers`,
      );
    }
    await this.#replay(client, conversation);
  }

  /** Between two, both are in it for good. */
  async #isDirect(hosted: Hosted, conversation: string, otherwise: Fault): Promise<boolean> {
    const known = await hosted.backend.rooms.show(conversation).catch(() => undefined);
    if (known) return false;
    if ((await hosted.backend.conversations.list()).some(({ id }) => id === conversation)) return true;
    throw otherwise;
  }

  #say(client: Client, given: Arguments): undefined {
    const { user } = registered(client);
    const number = wantNumber(given, 'SEND_MESSAGE', '[convID, message]');
    const text = wantText(given, 1, 'SEND_MESSAGE', '[convID, message]');
    const conversation = this.#conversation(number);
    const said = user.hosted.say(conversation, text).catch((error: unknown) => {
      const fault = toFault(error);
      // Also where it is closed: everybody has left it then.
      const isStranger = ['unknown_id', 'forbidden', 'unknown_handle', 'wrong_state'].includes(fault.code);
      throw isStranger ? notMember(number) : fault;
    });
    client.saying(said);
  }

  async #leave(client: Client, given: Arguments): Promise<void> {
    const { user } = registered(client);
    const number = wantNumber(given, 'LEAVE', '[convID]');
    const conversation = this.#conversation(number);
    const { rooms } = user.hosted.backend;
    const room = await rooms.show(conversation).catch(() => undefined);
    if (!room) {
      await this.#isDirect(user.hosted, conversation, notMember(number));
      throw new Fault('wrong_state', `conversation ${number} is between two people, which nobody leaves`);
    }
    if (room.standing === 'invited') await rooms.decline(conversation);
    else if (!isMember(room)) throw notMember(number);
    else {
      // A room needs an owner: the last one who goes leaves it to whoever has been there longest, or to nobody.
      const others = room.members.filter(({ id }) => id !== user.hosted.account);
      const [heir] = others;
      const isLast = room.standing === 'owner' && others.every(({ role }) => role !== 'owner');
      if (isLast && heir) await rooms.role(conversation, heir.handle, 'owner', {});
      if (isLast && !heir) await rooms.close(conversation);
      else await rooms.leave(conversation);
    }
    client.sent.delete(conversation);
    this.#options.records.forget(user.name, conversation);
  }

  /** Throws `unknown_id`. */
  #conversation(number: number): string {
    const id = this.#options.records.conversation(number);
    if (id !== undefined) return id;
    throw new Fault(
      'unknown_id',
      `unknown conversation: there is no ${number}; LIST_CONVERSATIONS says which there are`,
    );
  }

  /** Invitations that are open, and what was said while nobody was here by this name. [P-34] */
  async #missed(client: Client, { account, backend, handle }: Hosted): Promise<Set<string>> {
    const { names, records } = this.#options;
    for (const { id, standing, closed, invitedBy } of await backend.rooms.list()) {
      if (standing !== 'invited' || closed) continue;
      client.tell(new Notice('INVITATION', [records.numberOf(id), names.show(invitedBy ?? '')]));
    }
    const told = new Set<string>();
    for (const { id, kind, members, last } of await backend.conversations.list()) {
      const seen = records.told(client.user?.name ?? '', id);
      if (last === null || last.id === seen) continue;
      const target = kind === 'room' ? id : (members.find((member) => member !== handle) ?? account);
      const missed = await this.#since(backend, target, seen);
      const [first] = missed;
      if (!first) continue;
      client.sends(id, first.id);
      client.tell(new Notice('INVITATION', [records.numberOf(id), names.show(first.from)]));
      for (const message of missed) {
        told.add(message.id);
        await this.#tell(client, id, message);
      }
      const newest = missed.at(-1) ?? first;
      if (client.user) records.tell([{ name: client.user.name, conversation: id, message: newest.id }]);
    }
    return told;
  }

  async #since(backend: Hosted['backend'], target: string, seen: string | undefined): Promise<Message[]> {
    if (seen === undefined) return await backend.messages.list(target, { limit: MISSED });
    try {
      return await backend.messages.list(target, { limit: MISSED, after: seen });
    } catch (error) {
      if (toFault(error).code !== 'unknown_id') throw error;
      return await backend.messages.list(target, { limit: REPLAYED }); // it was taken out since
    }
  }

  /** What was said before, for who joins: once on each connection. [P-34] */
  async #replay(client: Client, conversation: string): Promise<void> {
    const { user } = registered(client);
    const { backend, handle } = user.hosted;
    const sent = client.sent.get(conversation);
    if (sent?.replayed) return;
    await client.catchUp(async () => {
      const all = await backend.conversations.list();
      const found = all.find(({ id }) => id === conversation);
      if (!found) return new Set();
      const target = found.kind === 'room' ? conversation : (found.members.find((member) => member !== handle) ?? '');
      const before = await backend.messages.list(target, { limit: REPLAYED, before: sent?.first });
      for (const message of before) await this.#tell(client, conversation, message);
      const first = before[0]?.id ?? sent?.first;
      if (first !== undefined) client.sent.set(conversation, { first, replayed: true });
      return new Set(before.map(({ id }) => id));
    });
  }

  async #tell(client: Client, conversation: string, message: Message): Promise<void> {
    if (message.deleted) return;
    const { names, records, files } = this.#options;
    const { id, text: said, at } = message;
    const account = client.user?.hosted.account ?? '';
    const text = files.textOf({ id, at: Date.parse(at), account }) ?? said;
    client.tell(noticeOf({ number: records.numberOf(conversation), from: names.show(message.from), text }));
  }
}

const unknownUser = (name: string): Fault =>
  new Fault('unknown_handle', `unknown user: there is no "${name.slice(0, 100)}"; nobody was invited`);

const notMember = (number: number): Fault =>
  new Fault('forbidden', `not a member: you are not in conversation ${number}; JOIN it first`);

const isPresent = (standing: Room['standing']): boolean =>
  standing === 'invited' || standing === 'member' || standing === 'moderator' || standing === 'owner';

const isMember = ({ standing }: Room): boolean => standing !== 'invited' && isPresent(standing);

/** Throws `wrong_state` for who has not said a name. */
function registered(client: Client): { user: NonNullable<Client['user']> } {
  const { user } = client;
  if (user) return { user };
  throw new Fault('wrong_state', 'not registered yet: begin with REGISTER [username, status]');
}

/** What a status in somebody's own words is to people on nodes: one of three, and the words. */
function presentOf(status: string): { present: Present; words: string } {
  const plain = status.trim().toLowerCase();
  if (plain === 'online' || plain === 'away' || plain === 'busy') return { present: plain, words: '' };
  const words = status
    .replaceAll(/[\p{Cc}\u2028\u2029\u202A-\u202E\u2066-\u2069]/gu, ' ')
    .toWellFormed()
    .trim();
  return { present: 'online', words: words.slice(0, STATUS_CHARACTERS).toWellFormed() };
}

/** `alice-bob-carol`, or `alice-bob-and-7`: so that people on nodes see at once what it is. */
function roomNameOf(names: readonly string[]): string {
  let shown = names[0] ?? '';
  for (const [index, name] of names.entries()) {
    if (index === 0) continue;
    if (shown.length + name.length > ROOM_NAME_CHARACTERS) return `${shown}-and-${names.length - index}`;
    shown = `${shown}-${name}`;
  }
  return shown;
}
