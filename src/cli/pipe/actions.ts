/** Does what lines of JSON ask for, and answers each. */

import { z } from 'zod';
import { callByName } from '../../api/call.ts';
import { operationList } from '../../api/catalogue.ts';
import type { Client } from '../../api/client.ts';
import { invalidArgument } from '../../api/failure.ts';
import { isStream } from '../../api/stream.ts';
import { Fault, type FaultCode, toFault } from '../../base/fault.ts';

/** Answers that are streams go on beside later actions; more at once would be a defect of whoever asks. */
const MOST_STREAMS = 32;

const action = z.object({
  op: z.string('expected the name of an operation, such as messages.say').max(100),
  input: z.record(z.string(), z.unknown(), 'expected an object').optional(),
  id: z.union([z.string().max(200), z.number()], 'expected a text or a number').nullish(),
});

type Asked = { id: string | number | null; op: string | null };

export class Actions {
  readonly #client: Client;
  readonly #answer: (line: Record<string, unknown>) => Promise<void>;
  readonly #signal: AbortSignal;
  readonly #streams = new Set<Promise<void>>();
  /** Of the last action that failed. */
  failed: FaultCode | undefined;

  /** `answer` waits while its reader is slow, and so do the actions. */
  constructor(options: {
    client: Client;
    answer: (line: Record<string, unknown>) => Promise<void>;
    signal: AbortSignal;
  }) {
    this.#client = options.client;
    this.#answer = options.answer;
    this.#signal = options.signal;
  }

  /** Settles when it is answered, or when its stream has begun. `undefined`: a line that was too long to be kept. */
  async do(line: string | undefined): Promise<void> {
    const asked: Asked = { id: null, op: null };
    try {
      const { op, input, id } = read(line, asked);
      Object.assign(asked, { id: id ?? null, op });
      const operation = operationList.find(({ name }) => name === op);
      if (!operation) {
        throw new Fault('unknown_operation', `doing "${op}": there is no such operation; see "netapp pipe --help"`);
      }
      if (operation.stream && this.#streams.size >= MOST_STREAMS) {
        throw new Fault('too_many', `doing "${op}": ${MOST_STREAMS} streams are open already`);
      }
      const value = await callByName(this.#client, operation.path, input ?? {}, { signal: this.#signal });
      if (!isStream(value)) return await this.#answer({ type: 'answer', ...asked, answer: value ?? null });
      const stream = this.#pass(value, asked).finally(() => this.#streams.delete(stream));
      this.#streams.add(stream);
    } catch (error) {
      await this.#fail(asked, error);
    }
  }

  async #pass(values: AsyncIterable<unknown>, asked: Asked): Promise<void> {
    try {
      for await (const value of values) await this.#answer({ type: 'next', ...asked, answer: value });
      await this.#answer({ type: 'end', ...asked });
    } catch (error) {
      if (!this.#signal.aborted) await this.#fail(asked, error);
    }
  }

  async #fail(asked: Asked, error: unknown): Promise<void> {
    const fault = toFault(error);
    // That the whole pipe ends is no failure of an action.
    if (this.#signal.aborted) throw fault;
    this.failed = fault.code;
    await this.#answer({ type: 'error', ...asked, error: fault.toJSON() });
  }

  /** Settles when every open stream has ended. */
  async settled(): Promise<void> {
    await Promise.all(this.#streams);
  }
}

/** What can be read of a line that is wrong goes to `asked`, so that its answer can name it. */
function read(line: string | undefined, asked: Asked): z.output<typeof action> {
  if (line === undefined) throw new Fault('too_large', 'reading an action: the line is too long');
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new Fault('malformed', `reading the action "${line.slice(0, 80)}": it is not JSON`);
  }
  const parsed = action.safeParse(value);
  if (parsed.success) return parsed.data;
  for (const name of ['id', 'op'] as const) {
    const part = action.shape[name].safeParse(
      typeof value === 'object' && value ? Reflect.get(value, name) : undefined,
    );
    if (part.success) Object.assign(asked, { [name]: part.data ?? null });
  }
  throw invalidArgument(parsed.error.issues);
}
