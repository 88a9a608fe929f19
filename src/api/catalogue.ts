/** The operations as a list, for whoever shows all of them: the command line, and tests. */
import { type AnySchema, getEventIteratorSchemaDetails } from '@orpc/contract';
import { z } from 'zod';
import { contract } from './contract.ts';
import type { OperationMeta } from './operation.ts';

export type Operation = {
  /** Noun and verb, e.g. `people.find`: its name at every door. */
  name: string;
  path: readonly [noun: string, verb: string];
  method: string;
  httpPath: string;
  summary: string;
  description: string | undefined;
  meta: OperationMeta;
  input: z.ZodObject | undefined;
  /** What it answers, or what each event of its stream is. */
  output: AnySchema | undefined;
  stream: boolean;
};

export const operationList: readonly Operation[] = Object.entries(contract).flatMap(([noun, procedures]) =>
  Object.entries(procedures).map(([verb, procedure]) => {
    const { route, meta, inputSchema, outputSchema } = procedure['~orpc'];
    const events = getEventIteratorSchemaDetails(outputSchema);
    return {
      name: `${noun}.${verb}`,
      path: [noun, verb] as const,
      method: route.method ?? '',
      httpPath: route.path ?? '',
      summary: route.summary ?? '',
      description: route.description,
      meta,
      input: inputSchema instanceof z.ZodObject ? inputSchema : undefined,
      output: events ? events.yields : outputSchema,
      stream: events !== undefined,
    };
  }),
);
