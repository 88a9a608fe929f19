/** Accounts hosted at their simplest: a whole node for each, in a home of its own below one folder. */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Backend } from '../api/backend.ts';
import type { Hosted, HostedEvent, Hosting, Present } from '../api/hosting.ts';
import type { AgentEvent, Person } from '../api/shapes.ts';
import { Fault } from '../base/fault.ts';
import { Node, type NodeOptions } from '../node/node.ts';
import { backendOf } from './backend.ts';

export type HostingOptions = Omit<NodeOptions, 'handle' | 'port'> & { zone: string; version: string };

const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/;
/** Milliseconds that a first use of a name waits for a tracker to say whose it is. */
const CLAIM_MS = 10_000;

export async function openHosting(options: HostingOptions): Promise<Hosting> {
  const names = await readdir(join(options.home, 'accounts')).catch(() => []);
  return new NodeEach(options, names);
}

class NodeEach implements Hosting {
  readonly zone: string;
  readonly #options: HostingOptions;
  readonly #names: Set<string>;
  readonly #open = new Map<string, Promise<Account>>();
  readonly #accounts = new Map<string, Account>();
  readonly #listeners = new Set<(event: HostedEvent) => void>();

  constructor(options: HostingOptions, names: readonly string[]) {
    this.zone = options.zone;
    this.#options = options;
    this.#names = new Set(names);
  }

  open(name: string): Promise<Hosted> {
    if (!NAME.test(name)) return Promise.reject(new Fault('invalid_argument', `hosting "${name}": it is no name`));
    let opening = this.#open.get(name);
    if (!opening) {
      opening = this.#start(name);
      opening.catch(() => this.#open.delete(name));
      this.#open.set(name, opening);
    }
    return opening;
  }

  async #start(name: string): Promise<Account> {
    const { zone, version, ...options } = this.#options;
    const home = join(options.home, 'accounts', name);
    const handle = `${name}@${zone}`;
    const node = await Node.start({ ...options, home, handle, port: 0 });
    try {
      await node.directory.ready({ signal: AbortSignal.timeout(CLAIM_MS) });
    } catch (error) {
      await node[Symbol.asyncDispose]();
      if (!this.#names.has(name)) await rm(home, { recursive: true, force: true });
      throw error;
    }
    const account = new Account(node, backendOf(node, { version, clock: options.clock, log: options.log }));
    this.#names.add(name);
    this.#accounts.set(account.account, account);
    void this.#follow(account);
    return account;
  }

  async #follow({ account, backend, signal, node }: Account): Promise<void> {
    for await (const { type, data } of await backend.events.follow({ from: backend.events.last(), signal })) {
      const tell = (event: HostedEvent): void => {
        for (const listener of this.#listeners) listener(event);
      };
      if (type === 'message.received' || type === 'message.sent') {
        const message = node.chat.show(textOf(data, 'id'));
        const { id, conversation, room, author, kind, at } = message;
        const text = textOf(message.body, kind === 'file' ? 'name' : 'text');
        if (kind !== 'text' && kind !== 'file') continue;
        tell({
          type: 'message',
          id,
          conversation,
          room,
          author,
          from: node.handleOf(author),
          kind,
          text,
          at,
          to: [account],
        });
      } else if (type === 'room.invited') {
        tell({
          type: 'invited',
          conversation: textOf(data, 'id'),
          room: textOf(data, 'name'),
          account,
          from: textOf(data, 'by'),
        });
      } else if (type.startsWith('room.')) tell({ type: 'room', conversation: textOf(data, 'id'), to: [account] });
      else if (type.startsWith('person.')) tell({ type: 'people' });
    }
  }

  get(account: string): Hosted | undefined {
    return this.#accounts.get(account);
  }

  names(): string[] {
    return [...this.#names].sort();
  }

  people(): Person[] {
    const [any] = this.#accounts.values();
    const people = any?.node.directory.list().map(any.node.personView) ?? [];
    return people.map((person) => ({ ...person, me: false }));
  }

  on(listener: (event: HostedEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#accounts.values()].map((account) => account[Symbol.asyncDispose]()));
  }
}

class Account implements Hosted, AsyncDisposable {
  readonly node: Node;
  readonly backend: Backend;
  readonly #stop = new AbortController();
  online = true;

  constructor(node: Node, backend: Backend) {
    this.node = node;
    this.backend = backend;
  }

  get account(): string {
    return this.node.account;
  }

  get handle(): string {
    return this.node.handle;
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  async setOnline(status: Present, text: string): Promise<void> {
    this.online = true;
    await this.node.setStatus(status, text);
  }

  async setOffline(): Promise<void> {
    this.online = false;
    await this.node.directory.goodbye();
  }

  async say(conversation: string, text: string): Promise<{ id: string; at: number }> {
    const { chat, account } = this.node;
    const to = chat.history.conversation(conversation).members.find((member) => member !== account);
    const { id, at } = chat.say(chat.rooms.has(conversation) ? conversation : (to ?? ''), { text });
    await this.node.settled();
    return { id, at };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.node[Symbol.asyncDispose]();
  }
}

const textOf = (data: AgentEvent['data'], name: string): string => String(data[name] ?? '');
