/** One connection: its bytes become commands, carried out in their order; what it is told leaves through its outlet. */
import type { Socket } from 'node:net';
import type { Hosted } from '../api/hosting.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Share } from './limits.ts';
import { FIRST_FORM, type Form, JSON_FORM, Notice } from './notice.ts';
import { type Flush, Outlet } from './outlet.ts';
import { CommandReader, type Said } from './reader.ts';

/** Milliseconds of silence after which what stands there is all there is. [P-21] */
const SILENCE_MS = 500;
/** Milliseconds that somebody may stay without a name: people look for the keys. */
const NAMELESS_MS = 300_000;
/** Milliseconds that a client has to take its last words. */
const LAST_WORDS_MS = 2000;
/** Messages of one client that are on their way to the disk; beyond it nothing more is read of it. */
const MOST_UNSAID = 512;
/** Bytes that are taken of a client while a command of it is under way; beyond it the network waits. */
const MOST_HELD = 65_536;

/** What a browser begins with that follows a link to a file; no client says so. */
const HTTP = Buffer.from('GET /files/');

/** Who a connection is, once it has registered. */
export type User = {
  hosted: Hosted;
  /** In small letters, and as it was spelt. */
  name: string;
  shown: string;
  status: string;
};

/** Carries out a command; a promise where the next one is to wait for it. Throws what the client is told. */
type Carry = (client: Client, said: Said) => Promise<void> | undefined;

export type ClientOptions = {
  socket: Socket;
  address: string;
  share: Share;
  flush: Flush;
  carry: Carry;
  onEnd: (client: Client) => void;
  /** It is a browser that fetches a file: the connection, with what came first, is another's from now on. */
  onHttp: (bytes: Buffer) => void;
  /** Hears of what is a defect, and of why a client was cut. */
  onTrouble: (client: Client, error: unknown) => void;
};

/** What was sent to this client already, by conversation. */
type Sent = { first: string; replayed: boolean };

type Held = { id: string; conversation: string; notice: Notice };

export class Client {
  readonly address: string;
  readonly share: Share;
  readonly since = Date.now();
  #user: User | undefined;
  form: Form = FIRST_FORM;
  /** Its list of who is here is old, and goes out when it has read what waits. */
  owesRoster = false;
  /** The first message of each conversation that it was sent. */
  readonly sent = new Map<string, Sent>();
  /** What comes meanwhile waits until what came before has been sent. */
  #held: Held[] | undefined;
  readonly #socket: Socket;
  readonly #outlet: Outlet;
  readonly #reader = new CommandReader();
  readonly #options: ClientOptions;
  #busy = false;
  #unsaid = 0;
  #ended = false;
  #saidAll = false;
  #isNew = true;
  #silence: NodeJS.Timeout | undefined;
  #nameless: NodeJS.Timeout | undefined;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#socket = options.socket;
    this.address = options.address;
    this.share = options.share;
    this.#outlet = new Outlet({
      socket: options.socket,
      flush: options.flush,
      onCut: (why) =>
        options.onTrouble(this, new Fault('queue_full', `sending to "${options.address}": ${why}; it was cut`)),
    });
    this.#nameless = setTimeout(() => {
      if (this.user === undefined)
        this.fail(new Fault('timeout', 'nobody registered on this connection for too long'), { end: true });
    }, NAMELESS_MS).unref();
    const { socket } = options;
    socket.on('data', (bytes: Buffer) => this.#came(bytes));
    socket.on('error', () => socket.destroy()); // it vanished: `close` follows
    socket.on('end', () => this.#heardAll());
    socket.on('close', () => this.#close());
  }

  /** Runs when it has read all that waited for it. */
  onDrain(listener: () => void): void {
    this.#socket.on('drain', listener);
  }

  get user(): User | undefined {
    return this.#user;
  }

  /** It has registered. */
  enter(user: User): void {
    this.#user = user;
    clearTimeout(this.#nameless);
    this.#nameless = undefined;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Bytes that wait for it to read them. */
  get waiting(): number {
    return this.#outlet.waiting;
  }

  get received(): number {
    return this.#socket.bytesRead;
  }

  get written(): number {
    return this.#socket.bytesWritten;
  }

  tell(notice: Notice): void {
    this.#outlet.push(notice.in(this.form));
  }

  /** Whole messages, in its form. */
  push(messages: Buffer): void {
    this.#outlet.push(messages);
  }

  /** An ERROR with a sentence. [P-33] */
  fail(error: unknown, { end = false } = {}): void {
    const fault = toFault(error);
    if (fault.code === 'internal') this.#options.onTrouble(this, error);
    this.tell(new Notice('ERROR', sentenceOf(fault)));
    if (end) this.end();
  }

  /** What was told still goes out. */
  end(): void {
    this.#outlet.end();
    this.#close();
    setTimeout(() => this.#socket.destroy(), LAST_WORDS_MS).unref();
  }

  /** It says nothing more; what it asked is still answered. */
  #heardAll(): void {
    this.#saidAll = true;
    clearTimeout(this.#silence);
    if (!this.#waits) this.#giveUp();
  }

  get holds(): boolean {
    return this.#held !== undefined;
  }

  hold(held: Held): void {
    this.#held?.push(held);
  }

  /** A message of a conversation goes out. Gives whether it is the first of it on this connection. */
  sends(conversation: string, id: string): boolean {
    if (this.sent.has(conversation)) return false;
    this.sent.set(conversation, { first: id, replayed: false });
    return true;
  }

  /** While `work` sends what was said before, what is said now waits; each is told once. */
  async catchUp(work: () => Promise<ReadonlySet<string>>): Promise<void> {
    this.#held = [];
    let told: ReadonlySet<string> = new Set();
    try {
      told = await work();
    } finally {
      const held = this.#held;
      this.#held = undefined;
      for (const { id, conversation, notice } of held) {
        if (told.has(id)) continue;
        this.sends(conversation, id);
        this.tell(notice);
      }
    }
  }

  /** A message is on its way to the disk; what follows need not wait for it. */
  saying(said: Promise<unknown>): void {
    this.#unsaid += 1;
    const done = (): void => {
      this.#unsaid -= 1;
      if (this.#saidAll || this.#unsaid === MOST_UNSAID - 1) this.#read();
    };
    said.then(done, (error: unknown) => {
      this.fail(error);
      done();
    });
  }

  #came(bytes: Buffer): void {
    if (this.#ended) return;
    if (this.#isNew && bytes.subarray(0, HTTP.length).equals(HTTP)) return this.#handOver(bytes);
    this.#isNew = false;
    clearTimeout(this.#silence);
    this.#silence = undefined;
    this.#reader.push(bytes);
    this.#read();
    if (this.#waits && this.#reader.held > MOST_HELD) this.#socket.pause();
  }

  #handOver(bytes: Buffer): void {
    for (const event of ['data', 'error', 'end', 'close', 'drain']) this.#socket.removeAllListeners(event);
    this.#close();
    this.#options.onHttp(bytes);
  }

  get #waits(): boolean {
    return this.#busy || this.#unsaid >= MOST_UNSAID;
  }

  #read(): void {
    try {
      while (!this.#waits && !this.#ended) {
        const said = this.#reader.next();
        if (!said) break;
        this.#take(said);
      }
    } catch (error) {
      // Where the next message begins cannot be known. [P-4] [P-22]
      return this.fail(error, { end: true });
    }
    if (this.#waits || this.#ended) return;
    if (this.#saidAll) return this.#unsaid === 0 ? this.end() : undefined;
    if (this.#socket.isPaused()) this.#socket.resume();
    if (this.#reader.waits && this.#silence === undefined) this.#silence = setTimeout(() => this.#giveUp(), SILENCE_MS);
  }

  #giveUp(): void {
    this.#silence = undefined;
    const said = this.#reader.giveUp();
    if (said) this.#take(said);
    if (!this.#waits) this.#read();
  }

  #take(said: Said): void {
    if (said.dialect) this.form = said.dialect.form === 'json' ? JSON_FORM : formOf(said.dialect.protocol);
    try {
      if (!this.share.command()) {
        throw new Fault('too_many', `too fast: "${said.word}" was left aside; wait a little between commands`);
      }
      const work = this.#options.carry(this, said);
      if (!work) return;
      this.#busy = true;
      work
        .catch((error: unknown) => this.fail(error))
        .finally(() => {
          this.#busy = false;
          this.#read();
        });
    } catch (error) {
      this.fail(error);
    }
  }

  #close(): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#silence);
    clearTimeout(this.#nameless);
    this.#options.onEnd(this);
  }

  /** At once, whatever waits. */
  destroy(): void {
    this.#socket.destroy();
  }
}

function sentenceOf({ code, message }: Fault): string {
  if (code === 'internal') return 'this failed here, and was written down';
  return code === 'malformed' ? `malformed message: ${message}; the connection ends` : message;
}

function formOf(protocol: number): Form {
  const forms: readonly Form[] = [0, 1, 2, 3, 4, 5];
  return forms[protocol] ?? FIRST_FORM;
}
