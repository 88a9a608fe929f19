/** What an end answers to: a table of methods and notices, each with its shape, its size and its precondition. */
import type { z } from 'zod';
import { Fault, type FaultCode, toFault } from '../base/fault.ts';
import type { Answers, Around } from './answers.ts';
import type { Link } from './link.ts';
import { BATCH_BYTES, bytesOf, type Encoded, type Method, type Notice } from './message.ts';
import { PlainRequests, plainMiddle } from './plain.ts';

/** Throws a `Fault` where the link may not use the method. */
export type Precondition = (link: Link) => void;

export type Context = { readonly link: Link; readonly signal: AbortSignal };

/**
 * Answers what it knows by heart, from the bytes of a request whose only param is a plain text; all else, also what is wrong
 * with it, `run` answers. It must say what `run` would. `Asker`: who asks, looked at once for all requests of a frame.
 */
export type Quick<Asker, Found> = {
  readonly param: string;
  askerOf(link: Link): Asker;
  /** What an answer is made of; undefined for all else. */
  find(bytes: Uint8Array, from: number, to: number, asker: Asker): Found | undefined;
  /** Counts so many as asked for, all or none: false where `run` would refuse one of them. */
  take(many: number, asker: Asker): boolean;
  giveBack(many: number, asker: Asker): void;
  /** The result in JSON: what is around, and two texts of ASCII in it. */
  readonly around: Around;
  bodyOf(found: Found): string;
  tailOf(found: Found, asker: Asker): string;
};

/** Hears of each request and notice before it is looked at, and of how each request ended. */
export type Overseer = {
  /** Throws the fault that refuses a request, or that ends the link of a notice. */
  admit(link: Link): void;
  /** So many requests at once, all or none; false where `admit` would refuse one of them. */
  admitAll(link: Link, many: number): boolean;
  /** `method` is one of the table's, or `unknown`. */
  ended(method: string, outcome: FaultCode | 'ok', many?: number): void;
};

type Row = {
  params: z.ZodType;
  maxBytes: number;
  needs: Precondition | undefined;
  unmet: boolean;
  run(params: unknown, context: Context): unknown;
};

/** The other side must host an account that vouches for its node. */
export const needsAccount: Precondition = (link) => {
  if (!link.account) throw new Fault('unauthenticated', 'this needs an account: say which in hello');
};

/** What is read of a frame is answered before another is read. */
const requests = new PlainRequests();

const textOf = (bytes: Uint8Array, from: number, to: number): string =>
  Buffer.from(bytes.subarray(from, to)).toString('latin1');

/** One node's or tracker's table; all its links share it. */
export class Router {
  readonly #requests = new Map<string, Row>();
  readonly #notices = new Map<string, Row>();
  readonly #quick: { name: string; middle: Uint8Array; quick: Quick<unknown, unknown> }[] = [];
  readonly #admit: ((link: Link) => Promise<void> | undefined) | undefined;
  readonly #settled: () => Promise<void> | undefined;
  readonly #overseer: Overseer | undefined;

  /**
   * `admit`: what must be done before a link's requests are looked at; `settled`: what must be done before an
   * answer may rest on what was written here. Both undefined where nothing is left to do.
   */
  constructor(
    options: {
      admit?: (link: Link) => Promise<void> | undefined;
      settled?: () => Promise<void> | undefined;
      overseer?: Overseer;
    } = {},
  ) {
    this.#overseer = options.overseer;
    this.#admit = options.admit;
    this.#settled = options.settled ?? (() => undefined);
  }

  /**
   * Answers `method` with what `run` gives; a `Fault` it throws becomes the error. `unmet`: also before what `admit` waits for.
   */
  handle<P, R>(
    spec: Method<P, R>,
    run: (params: P, context: Context) => R | Encoded | Promise<R>,
    options: { needs?: Precondition; unmet?: boolean } = {},
  ): this {
    return this.#add(this.#requests, spec, options, (params, context) => run(params as P, context)); // parsed below
  }

  /** Answers by heart what it can of a method that is in the table. */
  quick<Asker, Found>(spec: { name: string }, quick: Quick<Asker, Found>): this {
    const row = this.#requests.get(spec.name);
    // Who needs something, or may say less than any frame holds, is looked at one by one.
    if (!row || row.needs || row.maxBytes < BATCH_BYTES) throw new Error(`"${spec.name}" cannot be answered by heart`);
    this.#quick.push({ name: spec.name, middle: plainMiddle(spec.name, quick.param), quick });
    return this;
  }

  /**
   * Answers what of a frame can be answered by heart, if all of it is of one such method; `rest` is called for each other request in
   * it, in its place. False where all of it is to go the long way.
   */
  answerByHeart(
    frame: Uint8Array,
    link: Link,
    options: {
      takesSeveral: boolean;
      /** Takes the next answer; undefined where none is taken so. */
      answers(): Answers | undefined;
      rest(id: number, name: string, params: unknown): void;
    },
  ): boolean {
    const plain = this.#quick.find(({ middle }) => requests.read(frame, middle, options.takesSeveral));
    if (!plain || this.#admit?.(link) || this.#settled() || !options.answers()) return false;
    const { name, quick } = plain;
    const asker = quick.askerOf(link);
    const { count, from, to, idFrom, idTo } = requests;
    const found: unknown[] = [];
    let known = 0;
    for (let n = 0; n < count; n++) {
      const one = quick.find(frame, from[n] ?? 0, to[n] ?? 0, asker);
      if (one !== undefined) known += 1;
      found.push(one);
    }
    if (known === 0 || !quick.take(known, asker)) return false;
    if (this.#overseer && !this.#overseer.admitAll(link, known)) {
      quick.giveBack(known, asker);
      return false;
    }
    this.#overseer?.ended(name, 'ok', known);
    for (let n = 0; n < count; n++) {
      const one = found[n];
      const [idAt, idEnd] = [idFrom[n] ?? 0, idTo[n] ?? 0];
      if (one !== undefined) {
        options.answers()?.add(frame, idAt, idEnd, quick.around, quick.bodyOf(one), quick.tailOf(one, asker));
      } else {
        const value = textOf(frame, from[n] ?? 0, to[n] ?? 0);
        options.rest(Number(textOf(frame, idAt, idEnd)), name, { [quick.param]: value });
      }
    }
    return true;
  }

  /** Takes `notice`; what `run` throws closes the link. */
  on<P>(
    spec: Notice<P>,
    run: (params: P, context: Context) => void | Promise<void>,
    options: { needs?: Precondition } = {},
  ): this {
    return this.#add(this.#notices, spec, options, (params, context) => run(params as P, context)); // parsed below
  }

  #add(
    table: Map<string, Row>,
    spec: { name: string; params: z.ZodType; maxBytes: number },
    { needs, unmet = false }: { needs?: Precondition; unmet?: boolean },
    run: Row['run'],
  ): this {
    if (table.has(spec.name)) throw new Error(`"${spec.name}" is already in the table`);
    table.set(spec.name, { params: spec.params, maxBytes: spec.maxBytes, needs, unmet, run });
    return this;
  }

  /**
   * The answer to a request, at once where nothing has to be waited for. Throws, or rejects with, the fault that refuses it.
   * `bytes`: of its frame; undefined where that holds others, too.
   */
  answer(name: string, params: unknown, bytes: number | undefined, context: Context): unknown {
    const row = this.#requests.get(name);
    const overseer = this.#overseer;
    if (!overseer) return this.#reply(row, name, params, bytes, context);
    const counted = row ? name : 'unknown';
    const refused = (error: unknown): never => {
      overseer.ended(counted, toFault(error).code);
      throw error;
    };
    let result: unknown;
    try {
      overseer.admit(context.link);
      result = this.#reply(row, name, params, bytes, context);
    } catch (error) {
      return refused(error);
    }
    if (!(result instanceof Promise)) {
      overseer.ended(counted, 'ok');
      return result;
    }
    return result.then((value: unknown) => {
      overseer.ended(counted, 'ok');
      return value;
    }, refused);
  }

  #reply(row: Row | undefined, name: string, params: unknown, bytes: number | undefined, context: Context): unknown {
    if (!row) throw new Fault('unknown_operation', `calling "${name}": there is no such method here`);
    const admitted = row.unmet ? undefined : this.#admit?.(context.link);
    if (admitted) return admitted.then(() => this.#perform(row, name, params, bytes, context));
    return this.#perform(row, name, params, bytes, context);
  }

  #perform(row: Row, name: string, params: unknown, bytes: number | undefined, context: Context): unknown {
    checkSize(row, name, params, bytes);
    row.needs?.(context.link);
    const result = row.run(parse(row, name, params), context);
    if (result instanceof Promise) return this.#whenSettled(result);
    const settled = this.#settled();
    return settled ? settled.then(() => result) : result;
  }

  async #whenSettled(result: Promise<unknown>): Promise<unknown> {
    const value = await result;
    const settled = this.#settled();
    if (settled) await settled;
    return value;
  }

  /** Takes a notice; one that is not in the table is skipped, so that versions can differ. [L-24] */
  async take(name: string, params: unknown, bytes: number | undefined, context: Context): Promise<void> {
    this.#overseer?.admit(context.link);
    const row = this.#notices.get(name);
    if (!row) return;
    checkSize(row, name, params, bytes);
    row.needs?.(context.link);
    await row.run(parse(row, name, params), context);
  }
}

/** [L-22] */
function checkSize(row: Row, name: string, params: unknown, bytes: number | undefined): void {
  const size = bytesOf(params, bytes, row.maxBytes);
  if (size <= row.maxBytes) return;
  throw new Fault('too_large', `calling "${name}": ${size} bytes, at most ${row.maxBytes} are taken`);
}

function parse(row: Row, name: string, params: unknown): unknown {
  const parsed = row.params.safeParse(params);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const where = issue?.path.length ? `params.${issue.path.join('.')}` : 'params';
  throw new Fault('invalid_argument', `calling "${name}": ${where}: ${issue?.message ?? 'not of its shape'}`);
}
