/**
 * The load on a chat server: clients in one room, of whom some speak. One program for every server, and alike for all: raw
 * sockets, one write for all that a speaker says in a turn, one static buffer for what comes, of which bytes are counted and
 * nothing is read. How long a delivered message is, is taken from the first of them.
 */
import { connect, type Socket } from 'node:net';
import { pickle } from '../src/im/pickle-encode.ts';
import { answer } from './child.ts';

export type Kind = 'netapp' | 'irc' | 'nats';

/** Milliseconds of silence after which a room is quiet. */
const QUIET_MS = 1500;
const PATIENCE_MS = 120_000;
/** Bytes of what is said: random, so that it is found among all else. */
const TEXT_BYTES = 64;
/** Characters that are kept of what a client heard: a list of everybody who is here is one message. */
const MOST_HEARD = 2_000_000;
const NATS_ROOM = 'room';
const IRC_ROOM = '#room';

/** What of a server's protocol the load speaks. */
type Tongue = {
  /** Said once connected. */
  hello(nick: string): string | Buffer;
  /** In what is heard once the client is known. */
  welcome: RegExp;
  say(text: string, room: string): Buffer;
};

const command = (word: string, argument: Parameters<typeof pickle>[0]): Buffer =>
  Buffer.concat([Buffer.from(`${word} `), pickle(argument)]);

const tongues: Record<Kind, Tongue> = {
  netapp: {
    hello: (nick) => command('REGISTER', [nick, 'online']),
    welcome: /ONLINE_USERS/,
    say: (text, room) => command('SEND_MESSAGE', [Number(room), text]),
  },
  irc: {
    hello: (nick) => `NICK ${nick}\r\nUSER ${nick} 0 * :${nick}\r\n`,
    welcome: / 001 /,
    say: (text, room) => Buffer.from(`PRIVMSG ${room} :${text}\r\n`),
  },
  nats: {
    hello: () => 'CONNECT {"verbose":false,"pedantic":false}\r\nPING\r\n',
    welcome: /PONG/,
    say: (text, room) => Buffer.from(`PUB ${room} ${text.length}\r\n${text}\r\n`),
  },
};

class Peer {
  readonly socket: Socket;
  readonly nick: string;
  bytes = 0;
  /** What was heard, as long as somebody reads it. */
  heard: string | undefined = '';
  /** Messages that are here whole; for times. */
  messages = 0;
  onBytes: ((count: number) => void) | undefined;

  constructor(socket: Socket, nick: string) {
    this.socket = socket;
    this.nick = nick;
  }
}

const buffer = Buffer.alloc(65_536);
let peers: Peer[] = [];
let idle: Peer[] = [];
let total = 0;
let last = performance.now();
let ended = 0;

async function open(port: number, nick: string): Promise<Peer> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const take = (count: number): boolean => {
    peer.bytes += count;
    total += count;
    last = performance.now();
    if (peer.heard !== undefined) peer.heard = (peer.heard + buffer.toString('latin1', 0, count)).slice(-MOST_HEARD);
    peer.onBytes?.(count);
    return true;
  };
  const socket = connect({ host: '127.0.0.1', port, noDelay: true, onread: { buffer, callback: take } }, resolve);
  const peer = new Peer(socket, nick);
  socket.on('error', reject);
  socket.on('close', () => {
    ended += 1;
  });
  await promise;
  return peer;
}

async function until(holds: () => boolean, what: string): Promise<void> {
  for (const from = performance.now(); !holds(); await new Promise((done) => setTimeout(done, 5))) {
    if (performance.now() - from > PATIENCE_MS) throw new Error(`${what}: not within ${PATIENCE_MS} ms`);
  }
}

async function quiet(): Promise<void> {
  await until(() => performance.now() - last > QUIET_MS, 'the room to be quiet');
}

const hears = (peer: Peer, pattern: RegExp): Promise<void> =>
  until(() => pattern.test(peer.heard ?? ''), `"${peer.nick}" to hear ${pattern}; it heard ${peer.heard?.slice(-300)}`);

/** Some at a time: a server that lets in thousands at once is another measure. */
async function inTurns<T>(all: readonly T[], work: (each: T) => Promise<void>, together = 50): Promise<void> {
  for (let at = 0; at < all.length; at += together) await Promise.all(all.slice(at, at + together).map(work));
}

async function come(kind: Kind, port: number, nicks: readonly string[], keep: boolean): Promise<Peer[]> {
  const come: Peer[] = [];
  await inTurns(nicks, async (nick) => {
    const peer = await open(port, nick);
    come.push(peer);
    peer.socket.write(tongues[kind].hello(nick));
    await hears(peer, tongues[kind].welcome);
    peer.heard = keep ? '' : undefined;
  });
  return come;
}

/** All into one room; gives its name. */
async function gather(kind: Kind): Promise<string> {
  const [first] = peers;
  if (!first) throw new Error('nobody came');
  if (kind === 'irc') {
    await inTurns(peers, async (peer) => {
      peer.socket.write(`JOIN ${IRC_ROOM}\r\n`);
      await hears(peer, / 366 /);
      peer.heard = undefined;
    });
    return IRC_ROOM;
  }
  if (kind === 'nats') {
    await inTurns(peers, async (peer) => {
      peer.socket.write(`SUB ${NATS_ROOM} 1\r\nPING\r\n`);
      await hears(peer, /PONG/);
    });
    return NATS_ROOM;
  }
  // The server has put all into one: who invites a thousand by the protocol is held up by the tracker's bound on invitations.
  first.socket.write('LIST_CONVERSATIONS');
  await hears(first, /CONVERSATIONS \(dI(\d+)/);
  return /CONVERSATIONS \(dI(\d+)/.exec(first.heard ?? '')?.[1] ?? '';
}

let room = '';
let tongue: Tongue = tongues.nats;
/** Bytes of one message as it is delivered, and how many each is delivered to. */
let length = 0;
let deliveries = 0;
const texts = Array.from({ length: 64 }, (_, n) => String(n).padStart(TEXT_BYTES, 'x'));

/** The bytes that each heard more, after the first has said something. */
async function sayOne(): Promise<number[]> {
  const [first, second] = peers;
  if (!first || !second) throw new Error('nobody is here');
  const before = peers.map(({ bytes }) => bytes);
  const text = 'y'.repeat(TEXT_BYTES);
  second.heard = '';
  first.socket.write(tongue.say(text, room));
  await hears(second, new RegExp(text));
  await quiet();
  return peers.map(({ bytes }, at) => bytes - (before[at] ?? 0));
}

answer({
  /** So many come; gives their names. */
  come: async (kind: Kind, port: number, members: number) => {
    tongue = tongues[kind];
    const nicks = Array.from({ length: members }, (_, n) => `n${String(n).padStart(6, '0')}`);
    peers = await come(kind, port, nicks, true);
    return nicks;
  },
  /** All into one room, where one message is measured. Gives how many hear it. */
  start: async (kind: Kind) => {
    room = await gather(kind);
    await quiet();
    let grown = await sayOne();
    // Twice the same: what a server says by itself, once, after a while, is no part of it.
    for (let before: number[] = []; grown.join() !== before.join(); ) [before, grown] = [grown, await sayOne()];
    length = grown[1] ?? 0;
    deliveries = grown.filter((bytes) => bytes === length).length;
    if (length === 0 || grown.some((bytes) => bytes !== length && bytes !== 0))
      throw new Error(`not all heard the same: ${grown.join(' ')}`);
    for (const peer of peers) peer.heard = undefined;
    return { deliveries, bytes: length };
  },
  /** Says so many messages, of which `window` at most are under way; gives seconds until all are everywhere. */
  flood: async (speakers: number, messages: number, window: number) => {
    const speaking = peers.slice(0, speakers);
    const said = texts.map((text) => tongue.say(text, room));
    const from = total;
    const wanted = messages * deliveries * length;
    let sent = 0;
    const { promise, resolve } = Promise.withResolvers<void>();
    let isSet = false;
    const say = (): void => {
      isSet = false;
      const here = Math.floor((total - from) / length / deliveries);
      const due = Math.min(messages, here + window) - sent;
      if (due <= 0) return;
      // What is due is shared among the speakers, each of whom writes once.
      for (const [at, speaker] of speaking.entries()) {
        const share = Math.floor(due / speakers) + (at < due % speakers ? 1 : 0);
        if (share > 0)
          speaker.socket.write(Buffer.concat(Array.from({ length: share }, (_, n) => said[n % said.length] ?? buffer)));
      }
      sent += due;
    };
    const onBytes = (): void => {
      if (total - from >= wanted) return resolve();
      if (isSet || sent >= messages) return;
      isSet = true;
      setImmediate(say);
    };
    for (const peer of peers) peer.onBytes = onBytes;
    const at = performance.now();
    say();
    const gone = ended;
    const watch = setInterval(() => {
      if (ended > gone) throw new Error('a client was cut under load');
    }, 1000);
    await promise;
    clearInterval(watch);
    const seconds = (performance.now() - at) / 1000;
    for (const peer of peers) peer.onBytes = undefined;
    return seconds;
  },
  /** One message each so many milliseconds, from the speakers in turn; gives p50 and p99 of all deliveries, in milliseconds. */
  pace: async (speakers: number, messages: number, everyMs: number) => {
    const speaking = peers.slice(0, speakers);
    const at: number[] = [];
    const took: number[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    for (const peer of peers) {
      const from = peer.bytes;
      peer.messages = 0;
      peer.onBytes = () => {
        const here = Math.floor((peer.bytes - from) / length);
        const now = performance.now();
        for (; peer.messages < here; peer.messages++) took.push(now - (at[peer.messages] ?? now));
        if (took.length >= messages * deliveries) resolve();
      };
    }
    const from = performance.now();
    for (let n = 0; n < messages; n++) {
      const wait = from + n * everyMs - performance.now();
      if (wait > 0) await new Promise((done) => setTimeout(done, wait));
      at.push(performance.now());
      speaking[n % speakers]?.socket.write(tongue.say(texts[n % texts.length] ?? '', room));
    }
    await promise;
    for (const peer of peers) peer.onBytes = undefined;
    const sorted = Float64Array.from(took).sort();
    const of = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
    return { p50: of(0.5), p99: of(0.99) };
  },
  /** So many come, are known, and say nothing more. */
  idle: async (kind: Kind, port: number, count: number) => {
    const nicks = Array.from({ length: count }, (_, n) => `i${String(n).padStart(6, '0')}`);
    idle = await come(kind, port, nicks, false);
    await quiet();
    return idle.length;
  },
  end: async () => {
    const all = [...peers, ...idle];
    [peers, idle] = [[], []];
    for (const { socket } of all) socket.destroy();
    await until(() => all.every(({ socket }) => socket.closed), 'all to be closed');
  },
});
