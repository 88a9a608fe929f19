/** One authenticated, message-carrying connection. It has one reader and one writer, whatever stream is below it. */

import { z } from 'zod';
import { deadline, reasonOf, sleep } from '../base/async.ts';
import type { Clock } from '../base/clock.ts';
import { FAULTS, Fault, type FaultCode, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Answers } from './answers.ts';
import type { Binding } from './binding.ts';
import { type Beating, keepBeating } from './heartbeat.ts';
import { checkHello, type HelloInfo, hello, keptOf, type LinkWay } from './hello.ts';
import {
  bytesOf,
  encodeError,
  encodeNotice,
  encodeRequest,
  encodeResult,
  type Incoming,
  type Method,
  MOST_BATCH,
  type Notice,
  notice,
  parseFrame,
} from './message.ts';
import type { Context, Router } from './router.ts';
import type { Rung } from './rung.ts';

/** What a link needs below it: whole text frames, in order, both ways. */
export interface MessageStream {
  /** Text of the remote address, for people. */
  readonly address: string;
  /** IP of this machine that it goes out from; undefined where it does not stand on a socket of its own. */
  readonly localIp?: string | undefined;
  readonly rung: Rung;
  /** Bytes accepted by `send` and not yet taken by the network. */
  readonly bufferedBytes: number;
  /** Bytes of frames that were given to the network. */
  readonly sentBytes: number;
  /** Frames arrive only after this. `close` comes once, also after an own `close`. */
  start(on: { frame(said: string | Buffer): void; pong(): void; close(code: number, reason: string): void }): void;
  /** From now on so many messages of one tick may share a frame. [L-35] */
  share(most: number): void;
  /** Takes answers as bytes, behind all that was said before; undefined where messages are all that it takes. */
  answering?(): Answers | undefined;
  /** Sends one message; what is said in one tick leaves together. */
  send(text: string): void;
  ping(): void;
  pause(): void;
  resume(): void;
  /** Says goodbye with a code and at most 123 bytes of reason, and ends. */
  close(code: number, reason: string): void;
  /** Ends without a word, as a cable that is cut. */
  cut(): void;
}

/** Why a link ended. `normal` is a goodbye. */
export type Ending = { code: FaultCode | 'normal'; reason: string };

export type LinkOptions = {
  stream: MessageStream;
  router: Router;
  /** What this side says in hello. */
  self: HelloInfo;
  /** Id that the other side proved below. */
  peer: string;
  dialled: boolean;
  /** The link that its frames travel on, where it is a channel; it looks after signs of life. [L-60] */
  carrier?: Link | undefined;
  clock: Clock;
  log: Log;
  /** Asked before hello is answered: true for somebody for whom this side is not there. [D-60] */
  refuses?: ((info: HelloInfo) => boolean) | undefined;
  /**
   * Where nothing below proved `peer`: whether the proof in its hello does. Without it, a proof is out of place. [L-43]
   */
  proves?: ((proof: string) => boolean) | undefined;
  /** Where two nodes may have several links: whether this one is dialled although there is another. Asked when it is greeted. [N-72] */
  instead?: (() => boolean) | undefined;
  /** Called once when it has ended. */
  onEnd?: ((link: Link) => void) | undefined;
  /** Milliseconds of silence after which the other side is asked for a sign of life, and once more until it is given up. */
  keepAliveMs?: number;
};

/** Requests of the other side under way at once; past it, the stream is not read. [L-25] */
const MOST_IN_FLIGHT = 64;
/** Own requests that wait for an answer. */
const MOST_WAITING = 4096;
/** Bytes that may wait for a slow reader; past it the link is cut. [L-26] */
const MOST_BUFFERED_BYTES = 16 * 1024 * 1024;
const HELLO_MS = 10_000;
const KEEP_ALIVE_MS = 15_000;
/** Milliseconds between two looks whether a sign of life came that was asked for now. */
const PROBE_LOOK_MS = 50;
/** A close code is this plus the fault's exit code; 1000 is a goodbye. [L-27] */
const CLOSE_BASE = 4000;
/** A frame of a channel begins with a digit, as no message does. [L-62] */
const isDigit = (code: number): boolean => code >= 48 && code <= 57;

/** [L-23] */
const cancel = notice('cancel', { params: z.object({ id: z.number().int() }) });

type Asked = Extract<Incoming, { kind: 'request' }>;

/** Bytes of a message's frame; undefined where that holds others, too. */
type Bytes = number | undefined;

type Waiting = { accept(result: unknown, bytes: Bytes): void; refuse(fault: Fault): void };

type Settling = { resolve(): void; reject(fault: Fault): void };

/** Nothing is ever put into these. */
const NONE_WAIT = new Map<number, Waiting>();
const NONE_RUN = new Map<number, Call>();

export class Link implements Beating {
  readonly peer: string;
  readonly dialled: boolean;
  /** The link that this one is a channel of. */
  readonly carrier: Link | undefined;
  readonly address: string;
  readonly rung: Rung;
  /** Unix milliseconds at which the link was made. */
  readonly since: number;
  /** Settles when hello is done; rejects with the fault that prevented it. */
  readonly ready: Promise<void>;
  /** Settles when the link has ended; never rejects. */
  readonly closed: Promise<Ending>;
  /** Round-trip time of the last sign of life asked for, in milliseconds. */
  rttMs: number | null = null;
  receivedBytes = 0;
  /** As the side that dialled said it, where both know what it is for: then both see the same. [N-72] */
  way: LinkWay | undefined;
  /** Another link has taken its place: nothing new is to be begun on it. */
  retiring = false;
  /** Takes the frames of channels; without it, one is malformed. */
  onChannel: ((text: string) => void) | undefined;

  readonly #stream: MessageStream;
  readonly #router: Router;
  readonly #self: HelloInfo;
  readonly #refuses: ((info: HelloInfo) => boolean) | undefined;
  readonly #proves: ((proof: string) => boolean) | undefined;
  readonly #instead: (() => boolean) | undefined;
  readonly #clock: Clock;
  readonly #log: Log;
  /** Those that hold nothing are the one of all links: most are idle. */
  #waiting: Map<number, Waiting> = NONE_WAIT;
  #running: Map<number, Call> = NONE_RUN;
  /** Made when somebody asks for its signal: on most links nobody does. */
  #ended: AbortController | undefined;
  /** Until it has settled. */
  #ready: Settling | undefined;
  readonly #close: (ending: Ending) => void;
  readonly #onEnd: ((link: Link) => void) | undefined;
  #remote: HelloInfo | undefined;
  #ending: Ending | undefined;
  #nextId = 1;
  readonly #backlog: { asked: Asked; bytes: Bytes }[] = [];
  #heard = true;
  #heardAt = performance.now();
  #pingedAt = 0;
  /** When the first ping went out after which nothing at all was heard; 0: none. */
  #askedAt = 0;
  #holds = 0;
  readonly #keepAliveMs: number;
  #stopBeating: () => void = () => {};

  constructor(options: LinkOptions) {
    this.peer = options.peer;
    this.dialled = options.dialled;
    this.carrier = options.carrier;
    this.address = options.stream.address;
    this.rung = options.stream.rung;
    this.since = options.clock.now();
    this.#stream = options.stream;
    this.#router = options.router;
    this.#self = options.self;
    this.#refuses = options.refuses;
    this.#proves = options.proves;
    this.#instead = options.instead;
    this.#onEnd = options.onEnd;
    this.#clock = options.clock;
    this.#log = options.log;
    const { promise, ...settling } = Promise.withResolvers<void>();
    this.ready = promise;
    this.#ready = settling;
    const closed = Promise.withResolvers<Ending>();
    this.closed = closed.promise;
    this.#close = closed.resolve;
    this.ready.catch(() => {}); // whoever waits for it hears of it; nobody has to wait
    this.#keepAliveMs = options.keepAliveMs ?? KEEP_ALIVE_MS;
  }

  /** What the other side said in hello; throws before that. */
  get remote(): HelloInfo {
    if (!this.#remote) throw new Fault('wrong_state', 'the link has not been greeted yet');
    return this.#remote;
  }

  /** The account that the other side hosts and that vouches for it; null for a tracker. */
  get account(): Binding | null {
    return this.#remote?.account ?? null;
  }

  get sentBytes(): number {
    return this.#stream.sentBytes;
  }

  /** The account that this side speaks for here. */
  get own(): Binding | null {
    return this.#self.account;
  }

  get open(): boolean {
    return this.#remote !== undefined && this.#ending === undefined;
  }

  /** IP of this machine that it goes out from, where that is known. */
  get localIp(): string | undefined {
    return this.#stream.localIp ?? this.carrier?.localIp;
  }

  /** Own requests that wait for an answer, and those of the other side that are being answered. */
  get underWay(): number {
    return this.#waiting.size + this.#running.size + this.#backlog.length;
  }

  /** Bytes that wait for the other side to read. */
  get unsentBytes(): number {
    return this.#stream.bufferedBytes;
  }

  /** Aborts when the link ends. */
  get signal(): AbortSignal {
    this.#ended ??= new AbortController();
    if (this.#ending) this.#ended.abort(this.#closedFault());
    return this.#ended.signal;
  }

  /** Starts reading and greets; settles as `ready` does. */
  start(): Promise<void> {
    this.#stream.start(new Link.#Ears(this));
    this.#limitHello();
    if (this.dialled) this.#greet();
    return this.ready;
  }

  /** What its stream tells. A class, for an idle link is to keep as little as can be. */
  static readonly #Ears = class {
    readonly #link: Link;

    constructor(link: Link) {
      this.#link = link;
    }

    frame(said: string | Buffer): void {
      this.#link.#take(said);
    }

    pong(): void {
      this.#link.#takePong();
    }

    close(code: number, reason: string): void {
      this.#link.#finish(endingOf(code, reason));
    }
  };

  #takePong(): void {
    this.#hear();
    if (this.#pingedAt > 0) this.rttMs = Math.max(0, performance.now() - this.#pingedAt);
    this.#pingedAt = 0;
  }

  #limitHello(): void {
    const timer = setTimeout(() => this.#fail(new Fault('timeout', `no hello within ${HELLO_MS} ms`)), HELLO_MS);
    timer.unref();
    const done = (): void => clearTimeout(timer);
    this.ready.then(done, done);
  }

  /** Meets the other side in the very moment that its answer is read: its next frame may follow in the same packet. */
  #greet(): void {
    const id = this.#nextId++;
    const way = this.#instead && { rung: this.rung, instead: this.#instead() };
    const text = encodeRequest(id, hello.name, way ? { ...this.#self, way } : this.#self);
    const asked = performance.now();
    this.#wait(id, {
      accept: (result) => {
        this.#waitNoMore(id);
        this.#trace('asked', hello.name, Buffer.byteLength(text), asked);
        const parsed = hello.result.safeParse(result);
        if (!parsed.success) throw new Fault('malformed', 'greeting: the answer to hello is not of its shape');
        if (parsed.data.way) this.way = way;
        this.#meet(parsed.data);
      },
      refuse: (fault) => {
        this.#waitNoMore(id);
        this.#fail(fault);
      },
    });
    this.#send(text);
  }

  #wait(id: number, answer: Waiting): void {
    if (this.#waiting === NONE_WAIT) this.#waiting = new Map();
    this.#waiting.set(id, answer);
  }

  #waitNoMore(id: number): void {
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#waiting = NONE_WAIT;
  }

  #meet(info: HelloInfo): void {
    checkHello(info, this.peer, this.#clock.now());
    this.#remote = keptOf(info, this.peer);
    this.#stream.share(Math.min(info.batch ?? 1, MOST_BATCH));
    if (!this.carrier) this.#stopBeating = keepBeating(this, this.#keepAliveMs);
    this.#ready?.resolve();
    this.#ready = undefined;
    this.#ping();
  }

  /** Sends a request and gives its answer. Throws the other side's fault, `timeout`, `link_closed` or `cancelled`. */
  async request<P, R>(
    spec: Method<P, R>,
    params: P,
    options: { signal?: AbortSignal | undefined; timeoutMs?: number } = {},
  ): Promise<R> {
    if (!this.open) throw this.#closedFault();
    using limit = deadline(options.timeoutMs ?? spec.timeoutMs, `calling "${spec.name}"`, options.signal);
    return await this.#ask(spec, params, limit);
  }

  #ask<P, R>(spec: Method<P, R>, params: P, signal: AbortSignal | undefined): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      if (this.#ending) return reject(this.#closedFault());
      if (signal?.aborted) return reject(reasonOf(signal));
      if (this.#waiting.size >= MOST_WAITING) {
        return reject(new Fault('queue_full', `calling "${spec.name}": ${MOST_WAITING} requests wait already`));
      }
      const id = this.#nextId++;
      const text = encodeRequest(id, spec.name, params);
      const asked = performance.now();
      const abort = (): void => {
        this.#waitNoMore(id);
        this.#send(encodeNotice(cancel.name, { id }));
        reject(signal ? reasonOf(signal) : new Fault('cancelled', 'the request was cancelled'));
      };
      const done = (): void => {
        this.#waitNoMore(id);
        signal?.removeEventListener('abort', abort);
        this.#trace('asked', spec.name, Buffer.byteLength(text), asked);
      };
      this.#wait(id, {
        accept: (result, bytes) => {
          done();
          const size = bytesOf(result, bytes, spec.answerBytes);
          if (size > spec.answerBytes) {
            const what = `calling "${spec.name}": the answer has ${size} bytes`;
            return reject(new Fault('too_large', `${what}, at most ${spec.answerBytes} are taken`));
          }
          const parsed = spec.result.safeParse(result);
          if (parsed.success) return resolve(parsed.data);
          reject(new Fault('malformed', `calling "${spec.name}": the answer is not of its shape`));
        },
        refuse: (fault) => {
          done();
          reject(fault);
        },
      });
      signal?.addEventListener('abort', abort, { once: true });
      this.#send(text);
    });
  }

  /** Sends a notice; on a link that has ended it goes nowhere, as on any cut cable. */
  notify<P>(spec: Notice<P>, params: P): void {
    this.#send(encodeNotice(spec.name, params));
  }

  /** Sends a notice that was encoded before, for many links at once. */
  notifyEncoded(text: string): void {
    this.#send(text);
  }

  /** Sends a frame of a channel. */
  sendFrame(text: string): void {
    this.#send(text);
  }

  /** Reads no more until each who holds it has released it. */
  hold(): void {
    this.#holds += 1;
    if (this.#holds === 1) this.#stream.pause();
  }

  release(): void {
    this.#holds -= 1;
    if (this.#holds === 0) this.#stream.resume();
  }

  /** Ends the link with a goodbye or a fault that the other side is told. */
  close(fault?: Fault): void {
    if (fault) this.#fail(fault);
    else this.#end({ code: 'normal', reason: 'goodbye' });
  }

  #send(text: string): void {
    if (this.#ending) return;
    this.#stream.send(text);
    this.#checkUnsent();
  }

  #checkUnsent(): void {
    if (this.#stream.bufferedBytes > MOST_BUFFERED_BYTES) {
      this.#fail(new Fault('queue_full', `the other side does not read: over ${MOST_BUFFERED_BYTES} bytes wait`));
    }
  }

  #take(said: string | Buffer): void {
    if (this.#ending) return;
    this.#hear();
    const bytes = Buffer.byteLength(said);
    this.receivedBytes += bytes;
    try {
      if (typeof said !== 'string' && this.#answerByHeart(said)) return;
      const text = typeof said === 'string' ? said : said.toString();
      if (this.onChannel && isDigit(text.charCodeAt(0))) return this.onChannel(text);
      const frame = parseFrame(text, bytes, (this.#self.batch ?? 1) > 1);
      if (!Array.isArray(frame)) return this.#takeOne(frame, bytes);
      if (!this.#remote) throw new Fault('wrong_state', 'taking several messages: hello comes first, alone');
      for (const one of frame) if (!this.#ending) this.#takeOne(one, undefined);
    } catch (error) {
      this.#fail(toFault(error, 'reading a frame'));
    }
  }

  /** Whether all of the frame was answered. What programmers watch goes the long way, where each request is named. */
  #answerByHeart(frame: Buffer): boolean {
    if (!this.#remote || this.#running.size > 0 || this.#log.isLevelEnabled('debug')) return false;
    const done = this.#router.answerByHeart(frame, this, {
      takesSeveral: (this.#self.batch ?? 1) > 1,
      answers: () => this.#stream.answering?.(),
      rest: (id, method, params) => {
        if (!this.#ending) this.#answer({ kind: 'request', id, method, params }, undefined);
      },
    });
    if (done) this.#checkUnsent();
    return done;
  }

  #takeOne(one: Incoming, bytes: Bytes): void {
    switch (one.kind) {
      case 'request':
        return this.#answer(one, bytes);
      case 'notice':
        return this.#notice(one.method, one.params, bytes);
      case 'result':
        return this.#waiting.get(one.id)?.accept(one.result, bytes); // none waits for an answer that came too late
      case 'error':
        return this.#waiting.get(one.id)?.refuse(one.fault);
    }
  }

  #notice(name: string, params: unknown, bytes: Bytes): void {
    if (name === cancel.name) {
      const parsed = cancel.params.safeParse(params);
      if (parsed.success) this.#running.get(parsed.data.id)?.abort(); // and is counted below, as every notice
    }
    if (!this.#remote) throw new Fault('wrong_state', `taking "${name}": hello comes first`); // [L-11]
    this.#router
      .take(name, params, bytes, new Call(this))
      .catch((error: unknown) => this.#fail(toFault(error, `taking "${name}"`)));
  }

  #answer(asked: Asked, bytes: Bytes): void {
    if (asked.method === hello.name) return this.#answerHello(asked.id, asked.params);
    if (!this.#remote) throw new Fault('wrong_state', `calling "${asked.method}": hello comes first`);
    if (this.#running.size < MOST_IN_FLIGHT) return this.#run(asked, bytes);
    // What was read already waits here; pausing the stream bounds it to one read of the socket.
    this.#backlog.push({ asked, bytes });
    if (this.#backlog.length === 1) this.hold();
  }

  /** Answers in this very turn where nothing has to be waited for: promises cost a lookup more than all that it looks at. */
  #run({ id, method, params }: Asked, bytes: Bytes): void {
    if (this.#running.has(id)) throw new Fault('malformed', `calling "${method}": request ${id} is under way already`);
    const since = performance.now();
    const call = new Call(this);
    let result: unknown;
    try {
      result = this.#router.answer(method, params, bytes, call);
    } catch (error) {
      result = Promise.reject(error); // a refusal is no hot path
    }
    if (!(result instanceof Promise)) {
      this.#send(encodeResult(id, result));
      return this.#trace('answered', method, bytes, since);
    }
    if (this.#running === NONE_RUN) this.#running = new Map();
    this.#running.set(id, call);
    result
      .then(
        (value: unknown) => encodeResult(id, value),
        (error: unknown) => encodeError(id, this.#refusal(method, error)),
      )
      .then((text) => {
        this.#running.delete(id);
        if (this.#running.size === 0) this.#running = NONE_RUN;
        this.#send(text);
        this.#trace('answered', method, bytes, since);
        this.#catchUp();
      })
      .catch((error: unknown) => this.#fail(toFault(error, `answering "${method}"`)));
  }

  /** Starts what waits, as far as there is room; reads on when all of it is under way. */
  #catchUp(): void {
    while (this.#running.size < MOST_IN_FLIGHT && !this.#ending) {
      const next = this.#backlog.shift();
      if (!next) return;
      this.#run(next.asked, next.bytes);
      if (this.#backlog.length === 0) this.release();
    }
  }

  /** The other side, as logs name it. */
  get #who(): string {
    return this.peer.slice(0, 8);
  }

  /** For programmers, and for whoever wants to watch the protocol at work: names and sizes, never contents. */
  #trace(wire: 'asked' | 'answered', method: string, bytes: Bytes, since: number): void {
    if (!this.#log.isLevelEnabled('debug')) return;
    this.#log.debug({ peer: this.#who, wire, method, bytes, ms: performance.now() - since }, 'a request was answered');
  }

  /** What the asker is told [L-21]; a defect is for this side's log alone. */
  #refusal(name: string, error: unknown): Fault {
    const fault = toFault(error);
    if (fault.code !== 'internal') return fault;
    this.#log.error({ peer: this.#who, err: error, method: name }, 'a request failed by a defect');
    return new Fault('internal', `calling "${name}" failed here`);
  }

  #answerHello(id: number, params: unknown): void {
    if (this.dialled || this.#remote) throw new Fault('malformed', 'hello is said once, by the side that dialled');
    const parsed = hello.params.safeParse(params);
    if (!parsed.success) throw new Fault('malformed', 'greeting: hello is not of its shape');
    this.#checkProof(parsed.data.proof);
    checkHello(parsed.data, this.peer, this.#clock.now());
    if (this.#refuses?.(parsed.data)) return this.#vanish();
    const { way } = parsed.data;
    this.way = way;
    this.#send(encodeResult(id, way ? { ...this.#self, way } : this.#self));
    this.#meet(parsed.data);
  }

  /** [L-43] */
  #checkProof(proof: string | undefined): void {
    if (!this.#proves) {
      if (proof === undefined) return;
      throw new Fault('malformed', 'greeting: a proof in hello has no place on a link whose keys TLS has proved');
    }
    if (proof === undefined) throw new Fault('unauthenticated', 'greeting: hello carries no proof of the node’s key');
    if (!this.#proves(proof)) throw new Fault('bad_signature', 'greeting: the proof in hello is not of this challenge');
  }

  #hear(): void {
    this.#heard = true;
    this.#heardAt = performance.now();
    this.#askedAt = 0;
  }

  #ping(): void {
    this.#pingedAt = performance.now();
    this.#askedAt ||= this.#pingedAt;
    this.#stream.ping();
  }

  /**
   * Asks for a sign of life where nothing was heard for `quietMs`, besides the link's own keeping alive. Gives the milliseconds
   * for which the other side has answered nothing although it was asked: 0 while all is well. [L-29]
   */
  unansweredMs(quietMs: number): number {
    if (!this.open || this.#holds > 0) return 0;
    if (this.#askedAt > 0) return performance.now() - this.#askedAt;
    if (performance.now() - this.#heardAt >= quietMs) this.#ping();
    return 0;
  }

  /**
   * Asks for a sign of life now, whatever was asked before: the way to the other side may have changed. Where none comes within
   * `patienceMs`, or four round trips if those are longer, the link is ended. Gives whether it stands. [N-76]
   */
  async probe(patienceMs: number): Promise<boolean> {
    if (this.carrier) return await this.carrier.probe(patienceMs);
    const began = performance.now();
    const until = began + Math.max(patienceMs, 4 * (this.rttMs ?? 0));
    if (this.open) this.#ping();
    while (this.open && this.#holds === 0 && this.#heardAt <= began) {
      if (performance.now() >= until) this.#fail(new Fault('timeout', 'the other side gives no sign of life'));
      else await sleep(PROBE_LOOK_MS);
    }
    return this.open;
  }

  /** [L-28] */
  beat(): void {
    if (this.#holds > 0) return; // the stream is paused: a sign of life could not be heard
    if (!this.#heard && this.#pingedAt > 0)
      return this.#fail(new Fault('timeout', 'the other side gives no sign of life'));
    this.#heard = false;
    this.#ping();
  }

  #fail(fault: Fault): void {
    if (this.#ending) return;
    this.#log.debug({ peer: this.#who, code: fault.code, reason: fault.message }, 'closing the link');
    this.#end({ code: fault.code, reason: fault.message });
  }

  #end(ending: Ending): void {
    if (this.#ending) return;
    const code = ending.code === 'normal' ? 1000 : CLOSE_BASE + FAULTS[ending.code].exit;
    this.#stream.close(code, clip(ending.reason));
    this.#finish(ending);
  }

  #vanish(): void {
    this.#stream.cut();
    this.#finish({ code: 'link_closed', reason: 'this side is not there for the other' });
  }

  #finish(ending: Ending): void {
    if (this.#ending) return;
    this.#ending = ending;
    this.#stopBeating();
    const fault = this.#closedFault();
    this.#ready?.reject(fault);
    this.#ready = undefined;
    for (const waiting of [...this.#waiting.values()]) waiting.refuse(fault);
    this.#ended?.abort(fault);
    this.#close(ending);
    this.#onEnd?.(this);
  }

  #closedFault(): Fault {
    const ending = this.#ending;
    if (!ending) return new Fault('wrong_state', 'the link has not been greeted yet');
    // A refusal in hello is what the asker wants to know; later, what counts is that the link is gone.
    const code = ending.code === 'normal' || this.#remote ? 'link_closed' : ending.code;
    return new Fault(code, `the link ended: ${ending.reason}`);
  }
}

/** One request of the other side. Its signal is made when somebody wants it: most are answered without. */
class Call implements Context {
  readonly link: Link;
  #own: AbortController | undefined;
  #signal: AbortSignal | undefined;
  #cancelled = false;

  constructor(link: Link) {
    this.link = link;
  }

  get signal(): AbortSignal {
    this.#own ??= new AbortController();
    if (this.#cancelled) this.#own.abort();
    this.#signal ??= AbortSignal.any([this.#own.signal, this.link.signal]);
    return this.#signal;
  }

  abort(): void {
    this.#cancelled = true;
    this.#own?.abort();
  }
}

const codeByClose = new Map<number, FaultCode>(
  (Object.keys(FAULTS) as FaultCode[]).map((code) => [CLOSE_BASE + FAULTS[code].exit, code]), // keys of the table are its codes
);

function endingOf(code: number, reason: string): Ending {
  if (code === 1000 || code === 1001) return { code: 'normal', reason: reason || 'goodbye' };
  return { code: codeByClose.get(code) ?? 'link_closed', reason: reason || 'the connection was cut' };
}

/** At most 123 bytes of UTF-8 (RFC 6455, section 5.5). */
function clip(reason: string): string {
  const bytes = Buffer.from(reason);
  return bytes.length <= 123
    ? reason
    : `${bytes
        .subarray(0, 119)
        .toString()
        .replace(/\uFFFD+$/, '')}…`;
}
