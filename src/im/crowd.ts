/** What is said goes to everybody who has it: written once for each room and form, and once to each client for each tick. */
import type { Client } from './client.ts';
import { Notice } from './notice.ts';

/** A message as clients are told of it. */
export type Line = {
  id: string;
  conversation: string;
  /** Its number. */
  number: number;
  /** Shown name of who said it. */
  from: string;
  text: string;
  /** In a room; else between two. */
  isRoom: boolean;
  /** Accounts here. The same array for each message until it changes. */
  to: readonly string[];
};

export const noticeOf = ({ number, from, text }: Pick<Line, 'number' | 'from' | 'text'>): Notice =>
  new Notice('MESSAGE', [number, from, text]);

type Told = { name: string; conversation: string; message: string };

type Audience = { version: number; clients: Client[] };

export class Crowd {
  /** Registered clients by account. */
  readonly #clients: ReadonlyMap<string, Client>;
  /** Changes with each client that comes or goes. */
  #version = 0;
  readonly #audiences = new WeakMap<readonly string[], Audience>();
  readonly #soon: () => void;
  /** Messages of one conversation that came one after the other. */
  #batch: { to: readonly string[]; conversation: string; lines: { id: string; notice: Notice }[] } | undefined;
  /** The newest message of each conversation that anything was said in since the start. */
  readonly #newest = new Map<string, string>();
  /** Those in which something was said since it was last written down how far each client is. */
  #unwritten = new Map<string, readonly string[]>();

  /** `soon`: has `settle` called at the end of this tick. */
  constructor(options: { clients: ReadonlyMap<string, Client>; soon: () => void }) {
    this.#clients = options.clients;
    this.#soon = options.soon;
  }

  /** Somebody came or went. */
  changed(): void {
    this.#version += 1;
  }

  say(line: Line): void {
    const { conversation, to, id } = line;
    this.#newest.set(conversation, id);
    this.#unwritten.set(conversation, to);
    const notice = noticeOf(line);
    if (!line.isRoom) return this.#sayDirect(line, notice);
    if (this.#batch?.to !== to || this.#batch.conversation !== conversation) {
      this.settle();
      this.#batch = { to, conversation, lines: [] };
      this.#soon();
    }
    this.#batch.lines.push({ id, notice });
  }

  /** Between two there is no invitation: the number is made known by one. [P-34] */
  #sayDirect({ conversation, to, id, number, from }: Line, notice: Notice): void {
    for (const client of this.#audience(to)) {
      if (client.holds) {
        client.hold({ id, conversation, notice });
        continue;
      }
      if (client.sends(conversation, id)) client.tell(new Notice('INVITATION', [number, from]));
      client.tell(notice);
    }
  }

  /** What was put together goes to its receivers: before anything else is told to them, and at the end of a tick. */
  settle(): void {
    const batch = this.#batch;
    if (!batch) return;
    this.#batch = undefined;
    const { to, conversation, lines } = batch;
    const forms: (Buffer | undefined)[] = [];
    const first = lines[0]?.id ?? '';
    for (const client of this.#audience(to)) {
      if (client.holds) {
        for (const { id, notice } of lines) client.hold({ id, conversation, notice });
        continue;
      }
      client.sends(conversation, first);
      const { form } = client;
      let bytes = forms[form];
      if (!bytes) {
        bytes = Notice.together(
          lines.map(({ notice }) => notice),
          form,
        );
        forms[form] = bytes;
      }
      client.push(bytes);
    }
  }

  #audience(to: readonly string[]): Client[] {
    const known = this.#audiences.get(to);
    if (known?.version === this.#version) return known.clients;
    const clients: Client[] = [];
    for (const account of to) {
      const client = this.#clients.get(account);
      if (client) clients.push(client);
    }
    this.#audiences.set(to, { version: this.#version, clients });
    return clients;
  }

  /** How far a client is in all that it was sent. */
  toldTo(client: Client): Told[] {
    return [...client.sent.keys()].flatMap((conversation) => this.#told(client, conversation));
  }

  /** How far clients are where something was said since this was last asked. */
  takeTold(): Told[] {
    const unwritten = this.#unwritten;
    this.#unwritten = new Map();
    return [...unwritten].flatMap(([conversation, to]) =>
      this.#audience(to).flatMap((client) => this.#told(client, conversation)),
    );
  }

  #told({ user, sent }: Client, conversation: string): Told[] {
    const message = this.#newest.get(conversation);
    if (!user || message === undefined || !sent.has(conversation)) return [];
    return [{ name: user.name, conversation, message }];
  }
}
