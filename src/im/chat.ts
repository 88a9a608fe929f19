/** `netapp im chat`: a terminal client of the classic protocol; what the server says is shown while a line is typed. */
import { once } from 'node:events';
import { connect, isIP, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { Fault, toFault } from '../base/fault.ts';
import { type Heard, ServerReader } from './heard.ts';
import type { Pickled } from './pickle.ts';
import { pickle } from './pickle-encode.ts';

export type ChatOptions = {
  name: string;
  host: string;
  port: number;
  /** TLS, whatever certificate is shown: the protocol has no names to check one by. */
  tls: boolean;
  password: string | undefined;
  stdin: Readable;
  /** One line for people, or one JSON value. */
  show: (line: string) => Promise<void>;
  note: (line: string) => Promise<void>;
  json: boolean;
  signal: AbortSignal;
};

const HELP = `/invite NAME...  begins a conversation with these people
/join N          joins conversation N, and talks there
/talk N          talks in conversation N
/leave N         leaves conversation N
/list            shows the conversations
/status WORDS    says how you are
/quit            says goodbye
Everything else is said in the conversation where you talk.`;

/** Until `/quit`, the end of the input, or the server's. Throws `peer_unreachable`, `link_closed`, `malformed`. */
export async function chat(options: ChatOptions): Promise<void> {
  const { name, host, port, tls, password, signal } = options;
  const address = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
  const socket = tls ? connectTls({ host, port, rejectUnauthorized: false }) : connect({ host, port });
  try {
    await once(socket, tls ? 'secureConnect' : 'connect', { signal });
  } catch (error) {
    throw toFault(error, `connecting to the IM server at "${address}"`, 'peer_unreachable');
  }
  socket.setNoDelay(true);
  const talk = new Talk(socket, options);
  talk.say('REGISTER', password === undefined ? [name, 'online'] : [name, 'online', password]);
  const typing = new AbortController();
  const [heard, typed] = [talk.listen(address), talk.type(AbortSignal.any([signal, typing.signal]))];
  try {
    await Promise.race([heard, typed]);
  } finally {
    typing.abort();
    talk.end();
    socket.end();
    await Promise.race([once(socket, 'close'), new Promise((done) => setTimeout(done, 500).unref())]).catch(() => {});
    socket.destroy();
    await Promise.allSettled([heard, typed]);
  }
}

class Talk {
  readonly #socket: Socket;
  readonly #options: ChatOptions;
  #here: number | undefined;
  #ended = false;

  constructor(socket: Socket, options: ChatOptions) {
    this.#socket = socket;
    this.#options = options;
  }

  say(word: string, argument?: Pickled): void {
    const bytes = argument === undefined ? Buffer.alloc(0) : Buffer.concat([Buffer.from(' '), pickle(argument, 2)]);
    this.#socket.write(Buffer.concat([Buffer.from(word), bytes]));
  }

  end(): void {
    this.#ended = true;
    if (this.#socket.writable) this.say('GOODBYE');
  }

  async listen(address: string): Promise<void> {
    const reader = new ServerReader();
    let last: string | undefined;
    try {
      for await (const bytes of this.#socket) {
        reader.push(bytes);
        for (let heard = reader.next(); heard; heard = reader.next()) {
          if (heard.word === 'ERROR') last = textOf(heard.argument);
          await this.#options.show(this.#options.json ? jsonOf(heard) : lineOf(heard));
        }
      }
    } catch (error) {
      if (!this.#ended) throw toFault(error, `listening to the IM server at "${address}"`, 'link_closed');
    }
    if (this.#ended) return;
    throw new Fault(
      'link_closed',
      `talking to "${address}": the server ended the connection${last ? `: ${last}` : ''}`,
    );
  }

  async type(signal: AbortSignal): Promise<void> {
    const lines = createInterface({ input: this.#options.stdin });
    const stop = (): void => lines.close();
    signal.addEventListener('abort', stop, { once: true });
    try {
      for await (const line of lines) {
        if (signal.aborted || line.trim() === '/quit') return;
        if (line.trim() !== '') await this.#typed(line.trim());
      }
    } finally {
      signal.removeEventListener('abort', stop);
      lines.close();
    }
  }

  async #typed(line: string): Promise<void> {
    const { note } = this.#options;
    const [command = '', ...rest] = line.split(/\s+/);
    const number = rest.length === 1 && /^\d+$/.test(rest[0] ?? '') ? Number(rest[0]) : undefined;
    switch (command) {
      case '/help':
        return await note(HELP);
      case '/list':
        return this.say('LIST_CONVERSATIONS');
      case '/status':
        return this.say('STATUS', [rest.join(' ')]);
      case '/invite':
        return this.say('INVITE', rest);
      case '/join':
      case '/talk':
      case '/leave':
        if (number === undefined) return await note(`which conversation? ${command} N`);
        if (command !== '/talk') this.say(command.slice(1).toUpperCase(), [number]);
        this.#here = command === '/leave' ? undefined : number;
        return;
      default:
        if (command.startsWith('/')) return await note(`there is no ${command}; /help shows what there is`);
        if (this.#here === undefined) return await note('you talk nowhere yet: /join N first');
        return this.say('SEND_MESSAGE', [this.#here, line]);
    }
  }
}

const textOf = (value: Pickled | undefined): string =>
  value instanceof Uint8Array ? Buffer.from(value).toString() : value === undefined ? '' : String(value);

function plain(value: Pickled): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, held]) => [textOf(key), plain(held)]));
  if (Array.isArray(value)) return value.map(plain);
  return typeof value === 'bigint' || value instanceof Uint8Array ? textOf(value) : value;
}

const jsonOf = ({ word, argument }: Heard): string => JSON.stringify({ word, argument: plain(argument) });

function lineOf({ word, argument }: Heard): string {
  const list = Array.isArray(argument) ? argument.map(textOf) : [];
  const pairs = argument instanceof Map ? [...argument] : [];
  switch (word) {
    case 'MESSAGE':
      return `[${list[0]}] ${list[1]}: ${list[2]}`;
    case 'INVITATION':
      return `* ${list[1]} invites you to conversation ${list[0]}: /join ${list[0]}`;
    case 'ONLINE_USERS':
      return `* here: ${pairs.map(([who, status]) => `${textOf(who)} (${textOf(status)})`).join(', ')}`;
    case 'CONVERSATIONS':
      return `* ${pairs.length} conversations${pairs
        .map(
          ([number, people]) =>
            `\n*   ${textOf(number)}: ${Array.isArray(people) ? people.map(textOf).join(', ') : ''}`,
        )
        .join('')}`;
    case 'ERROR':
      return `! ${textOf(argument)}`;
    default:
      return `${word} ${JSON.stringify(plain(argument))}`;
  }
}
