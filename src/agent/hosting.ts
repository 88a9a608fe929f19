/** The accounts that a node hosts, as the operations and doors for many need them. */
import type { Hosted, HostedBackend, HostedEvent, Hosting, Present } from '../api/hosting.ts';
import type { Person } from '../api/shapes.ts';
import { Fault } from '../base/fault.ts';
import type { HostedAccount } from '../node/hosted-account.ts';
import { House, type HouseEvent, type HouseOptions } from '../node/hosting.ts';
import type { Node } from '../node/node.ts';
import { JobStore } from './job-store.ts';
import { type Kept, talkOf } from './talk.ts';

/** Milliseconds from one look for keys that are old to the next. */
const TRIM_MS = 3_600_000;

/**
 * Hosts accounts on a running node, in the zone of its own handle; to be ended before it. Throws `corrupt`, `unwritable`,
 * `disk_full`.
 */
export async function openHosting(node: Node, options: HouseOptions): Promise<Hosting> {
  return new HouseDoor(await House.start(node, options), options);
}

class HouseDoor implements Hosting {
  readonly #house: House;
  readonly #kept: JobStore;
  readonly #parts: Parts;
  readonly #hosted = new Map<string, Hosted>();
  readonly #trimmer: NodeJS.Timeout;

  constructor(house: House, options: HouseOptions) {
    this.#house = house;
    this.#kept = new JobStore(house.store);
    this.#parts = { kept: this.#kept, clock: options.clock };
    const trim = (): void => {
      try {
        this.#kept.trim(options.clock.now());
      } catch (error) {
        options.log.error({ err: error }, 'what was done for old keys cannot be let go of; it is tried again');
      }
    };
    trim();
    this.#trimmer = setInterval(trim, TRIM_MS).unref();
  }

  get zone(): string {
    return this.#house.zone;
  }

  async open(name: string): Promise<Hosted> {
    return this.#shown(await this.#house.open(name));
  }

  get(account: string): Hosted | undefined {
    const found = this.#house.get(account);
    return found && this.#shown(found);
  }

  #shown(account: HostedAccount): Hosted {
    let shown = this.#hosted.get(account.account);
    if (!shown) {
      shown = new Shown(account, this.#house, this.#parts);
      this.#hosted.set(account.account, shown);
    }
    return shown;
  }

  names(): string[] {
    return this.#house.names();
  }

  people(): Person[] {
    return this.#house.people().map(this.#house.personView);
  }

  settled(): Promise<void> | undefined {
    return this.#house.store.settled();
  }

  others(): Person[] {
    const others = this.#house.node.directory.list().filter(({ account }) => !this.#house.get(account));
    return others.map(this.#house.personView);
  }

  on(listener: (event: HostedEvent) => void): () => void {
    return this.#house.on((event) => {
      const shown = eventOf(this.#house, event);
      if (shown) listener(shown);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#trimmer);
    await this.#house[Symbol.asyncDispose]();
  }
}

function eventOf({ handleOf, personView, replica }: House, happened: HouseEvent): HostedEvent | undefined {
  if (happened.type === 'people') return { type: 'people', person: personView(happened.person) };
  if (happened.type === 'invited') {
    const { event, account } = happened;
    return { type: 'invited', conversation: event.conversation, room: event.name, account, from: handleOf(event.by) };
  }
  if (happened.type === 'room') return { type: 'room', conversation: happened.event.conversation, to: happened.to };
  const { stored, to } = happened;
  const { conversation, author, kind, at, body } = stored.entry;
  const text = kind === 'file' ? body.name : body.text;
  if ((kind !== 'text' && kind !== 'file') || typeof text !== 'string') return undefined;
  return {
    type: 'message',
    id: stored.id,
    conversation,
    room: replica.rooms.state(conversation)?.creation.name ?? null,
    author,
    from: handleOf(author),
    kind,
    text,
    at: Math.floor(at / 1000), // entries count microseconds
    to,
  };
}

type Parts = { kept: JobStore; clock: HouseOptions['clock'] };

class Shown implements Hosted {
  readonly #account: HostedAccount;
  readonly #house: House;
  readonly #parts: Parts;

  constructor(account: HostedAccount, house: House, parts: Parts) {
    this.#account = account;
    this.#house = house;
    this.#parts = parts;
  }

  get account(): string {
    return this.#account.account;
  }

  get handle(): string {
    return this.#account.handle;
  }

  /** Made each time: kept by thousands who ask for nothing, it would keep all else of theirs in memory, too. */
  get backend(): HostedBackend {
    return backendOf(this.#account, this.#house, this.#parts);
  }

  get online(): boolean {
    return this.#account.online;
  }

  setOnline(status: Present, text: string): Promise<void> {
    return this.#account.setOnline(status, text);
  }

  setOffline(): Promise<void> {
    return this.#account.setOffline();
  }

  say(conversation: string, text: string): Promise<{ id: string; at: number }> {
    return this.#account.say(conversation, text);
  }

  file(message: string): ReturnType<Hosted['file']> {
    return this.#account.file(message);
  }
}

function backendOf(account: HostedAccount, house: House, parts: Parts): HostedBackend {
  // Keys are each account's own, as on nodes of their own.
  const kept: Kept = {
    effect: (key) => parts.kept.effect(`${account.account} ${key}`),
    record: (key, value, at) => parts.kept.record(`${account.account} ${key}`, value, at),
  };
  const { resolved, messages, conversations, rooms } = talkOf(account, { kept, clock: parts.clock });
  const { events, store } = house;
  return {
    messages,
    conversations,
    rooms,
    settled: () => store.settled(),
    people: {
      list: async () => house.people().map(account.personView),
      async find(handle, { mode, trace, ...wait }) {
        if (mode === undefined && !trace) {
          const found = account.personView(await account.directory.find(handle, wait));
          return { ...found, stale: false, trace: null, link: account.linkTo(found.id) };
        }
        const { person, stale, steps } = await account.directory.trace(handle, { mode, ...wait });
        const link = account.linkTo(person.account);
        return { ...account.personView(person), stale, trace: trace ? steps : null, link };
      },
      async setStatus(status, text) {
        if (status === 'offline') {
          throw new Fault('invalid_argument', 'setting the status "offline": its door says when a hosted account goes');
        }
        await account.setOnline(status, text);
        return account.personView(account.me);
      },
    },
    events: {
      last: () => events.last,
      follow: async ({ match, ...options }) =>
        house.follow(account, { ...options, match: match && (await resolved(match, options)) }),
    },
  };
}
