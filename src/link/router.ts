/** What an end answers to: a table of methods and notices, each with its shape, its size and its precondition. */
import type { z } from 'zod';
import { Fault, type FaultCode, toFault } from '../base/fault.ts';
import type { Link } from './link.ts';
import { bytesOf, type Encoded, type Method, type Notice } from './message.ts';

/** Throws a `Fault` where the link may not use the method. */
export type Precondition = (link: Link) => void;

export type Context = { readonly link: Link; readonly signal: AbortSignal };

/**
 * Answers what it knows by heart, from params that nobody has looked at yet; undefined for all else, also for what is wrong
 * with them: then `run` answers. It must say what `run` would.
 */
type Quick = (params: unknown, link: Link) => unknown;

/** Hears of each request and notice before it is looked at, and of how each request ended. */
export type Overseer = {
  /** Throws the fault that refuses a request, or that ends the link of a notice. */
  admit(link: Link): void;
  /** `method` is one of the table's, or `unknown`. */
  ended(method: string, outcome: FaultCode | 'ok'): void;
};

type Row = {
  params: z.ZodType;
  maxBytes: number;
  needs: Precondition | undefined;
  quick: Quick | undefined;
  unmet: boolean;
  run(params: unknown, context: Context): unknown;
};

/** The other side must host an account that vouches for its node. */
export const needsAccount: Precondition = (link) => {
  if (!link.account) throw new Fault('unauthenticated', 'this needs an account: say which in hello');
};

/** One node's or tracker's table; all its links share it. */
export class Router {
  readonly #requests = new Map<string, Row>();
  readonly #notices = new Map<string, Row>();
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
    options: { needs?: Precondition; quick?: Quick; unmet?: boolean } = {},
  ): this {
    return this.#add(this.#requests, spec, options, (params, context) => run(params as P, context)); // parsed below
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
    { needs, quick, unmet = false }: { needs?: Precondition; quick?: Quick; unmet?: boolean },
    run: Row['run'],
  ): this {
    if (table.has(spec.name)) throw new Error(`"${spec.name}" is already in the table`);
    table.set(spec.name, { params: spec.params, maxBytes: spec.maxBytes, needs, quick, unmet, run });
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
    const result = row.quick?.(params, context.link) ?? row.run(parse(row, name, params), context);
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
