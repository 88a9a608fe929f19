/** What an end answers to: a table of methods and notices, each with its shape, its size and its precondition. */
import type { z } from 'zod';
import { Fault, type FaultCode, toFault } from '../base/fault.ts';
import type { Link } from './link.ts';
import type { Method, Notice } from './message.ts';

/** Throws a `Fault` where the link may not use the method. */
export type Precondition = (link: Link) => void;

type Context = { link: Link; signal: AbortSignal };

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

  /** Answers `method` with what `run` gives; a `Fault` it throws becomes the error. */
  handle<P, R>(
    spec: Method<P, R>,
    run: (params: P, context: Context) => R | Promise<R>,
    options: { needs?: Precondition } = {},
  ): this {
    return this.#add(this.#requests, spec, options.needs, (params, context) => run(params as P, context)); // parsed below
  }

  /** Takes `notice`; what `run` throws closes the link. */
  on<P>(
    spec: Notice<P>,
    run: (params: P, context: Context) => void | Promise<void>,
    options: { needs?: Precondition } = {},
  ): this {
    return this.#add(this.#notices, spec, options.needs, (params, context) => run(params as P, context)); // parsed below
  }

  #add(
    table: Map<string, Row>,
    spec: { name: string; params: z.ZodType; maxBytes: number },
    needs: Precondition | undefined,
    run: Row['run'],
  ): this {
    if (table.has(spec.name)) throw new Error(`"${spec.name}" is already in the table`);
    table.set(spec.name, { params: spec.params, maxBytes: spec.maxBytes, needs, run });
    return this;
  }

  /** The answer to a request. Throws the fault that refuses it. */
  async answer(name: string, params: unknown, bytes: number, context: Context): Promise<unknown> {
    const row = this.#requests.get(name);
    try {
      this.#overseer?.admit(context.link);
      if (!row) throw new Fault('unknown_operation', `calling "${name}": there is no such method here`);
      const admitted = this.#admit?.(context.link);
      if (admitted) await admitted;
      const result = await row.run(admit(row, name, params, bytes, context.link), context);
      const settled = this.#settled();
      if (settled) await settled;
      this.#overseer?.ended(name, 'ok');
      return result;
    } catch (error) {
      this.#overseer?.ended(row ? name : 'unknown', toFault(error).code);
      throw error;
    }
  }

  /** Takes a notice; one that is not in the table is skipped, so that versions can differ. [L-24] */
  async take(name: string, params: unknown, bytes: number, context: Context): Promise<void> {
    this.#overseer?.admit(context.link);
    const row = this.#notices.get(name);
    if (row) await row.run(admit(row, name, params, bytes, context.link), context);
  }
}

function admit(row: Row, name: string, params: unknown, bytes: number, link: Link): unknown {
  if (bytes > row.maxBytes) {
    throw new Fault('too_large', `calling "${name}": ${bytes} bytes, at most ${row.maxBytes} are taken`);
  }
  row.needs?.(link);
  const parsed = row.params.safeParse(params);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const where = issue?.path.length ? `params.${issue.path.join('.')}` : 'params';
  throw new Fault('invalid_argument', `calling "${name}": ${where}: ${issue?.message ?? 'not of its shape'}`);
}
