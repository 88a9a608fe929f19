/** Calls an operation by its name in the catalogue, for whoever serves all of them alike. */
import type { Client } from './contract.ts';

type Call = (input: unknown, options: { signal: AbortSignal }) => Promise<unknown>;

/** What the operation answers. That `input` fits is for its own schema to say. Throws its fault. */
export async function callByName(
  client: Client,
  [noun, verb]: readonly [noun: string, verb: string],
  input: unknown,
  options: { signal: AbortSignal },
): Promise<unknown> {
  // The catalogue's names are the client's own.
  const call = (client as unknown as Record<string, Record<string, Call>>)[noun]?.[verb];
  if (!call) throw new Error(`${noun}.${verb}: no operation of the client`);
  return await call(input, options);
}
