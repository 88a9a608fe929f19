/** What an operation says about itself beside its schemas: the source of routes, help, command lines and docs. */
import { oc } from '@orpc/contract';
import { z } from 'zod';
import { FAULTS, type FaultCode } from '../base/fault.ts';
import { problemType } from './failure.ts';

/** How one input field is written on a command line, where it is not written as itself. */
type Form =
  /** A path, relative to the caller's folder; sent as an absolute one, since the agent has another. */
  | 'path'
  /** One path or more, each for a call of its own; `-` is a file of what standard input says. */
  | 'paths'
  /** Any number of words, joined by a space; a lone `-` reads standard input. */
  | 'text'
  /** Values with commas between. */
  | 'list'
  /** A number of bytes with an optional unit (`10MB`, `1GiB`), or `none` for null. */
  | 'bytes'
  /** A value as JSON. */
  | 'json'
  /** A time of this machine's clock, such as `18:30` or `2026-03-01 18:30`. */
  | 'time'
  /** Needs of a job, with commas between; `space:10GB` in any unit. */
  | 'needs'
  /** A time such as `90s`, `10m` or `1h`, sent as seconds. */
  | 'seconds';

/** How an operation looks on a command line. Everything here is data: the CLI has no code for a single command. */
type CommandShape = {
  /** The words that name it, e.g. `['people', 'find']`. */
  words: readonly string[];
  /** Its textbook name, which the CLI keeps as an alias. */
  textbook?: string;
  /** It is meant where only the words before the last one are given: `netapp conversations`. */
  isDefault?: boolean;
  /** Input fields that are never written on a command line, but taken from these environment variables. */
  secrets?: Readonly<Record<string, string>>;
  /** Input fields given by position, in order; all others are flags. */
  positionals?: readonly string[];
  forms?: Readonly<Record<string, Form>>;
  /** Words that fill two fields: the first one goes to `choice` if it is one of its values, the others to `text`. */
  phrase?: { choice: string; text: string };
  /**
   * `progress`: a stream of snapshots of one thing, until a final state; the CLI shows how far it is. `line`: one line is
   * enough. `bars`: a stream of snapshots of many things; a bar for each on a terminal, JSON elsewhere. `raw`: a stream of `{ line }`, each printed as it is. `json`: for programs; NDJSON also where nobody asked for it. Default: one value in full, a table for a list, a line for each value of a stream.
   */
  shows?: 'progress' | 'bars' | 'line' | 'raw' | 'json';
  /** The field of the answer that people are also shown as a QR code: always, or where a flag `--qr` asks for it. */
  qr?: { field: string; flag?: boolean };
  /** The field of the answer that is an address, which the CLI opens in a browser where there is a desktop. */
  opens?: string;
  /** For an operation that answers before its work is done: the CLI follows the id by operation `by` while `state` is one of `during`; `--detach` turns that off. */
  settles?: { by: readonly [string, string]; during: readonly string[] };
};

/** What makes an operation one that can be asked for as a job. Whatever it does, it does once for one `key`. */
export type JobShape = {
  /** The input field that says whom it concerns: jobs are bounded and put in order for each. */
  peer?: string;
  /** For one peer it is done in the order in which it was asked for. */
  ordered?: boolean;
  /** The command line waits for it as for a job, which can be left behind. */
  long?: boolean;
  /** It may be left for an agent that is not running: nobody waits for what it answers. */
  spool?: boolean;
  /** The operation that undoes what it has begun, by the id of its answer, where it is cancelled. */
  cancelledBy?: readonly [string, string];
};

export type OperationMeta = {
  job?: JobShape;
  /** The codes that this operation can give, beyond those that every one can (`FAULTS_OF_ALL`). */
  faults: readonly FaultCode[];
  /** A command line that works. */
  example: string;
  /** A scope that it shares with other operations, beside those of its own name. */
  scope?: `${string}:${string}`;
  command: CommandShape;
};

/** Codes that any operation can give at any door. */
export const FAULTS_OF_ALL = [
  'internal',
  'invalid_argument',
  'unauthenticated',
  'forbidden',
  'timeout',
  'link_closed',
  'cancelled',
  'too_large',
  'agent_down',
] as const satisfies readonly FaultCode[];

/** Codes that an operation can give, and those that its jobs can. */
export function faultsOf({ faults, job }: OperationMeta): FaultCode[] {
  return [
    ...new Set<FaultCode>([...faults, ...(job ? (['queue_full', 'key_reused'] as const) : []), ...FAULTS_OF_ALL]),
  ];
}

type OperationRoute = {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH';
  path: `/v1/${string}`;
  /** One line, without a full stop. */
  summary: string;
  description?: string;
  tag: string;
};

/** Starts the contract of an operation; `.input()` and `.output()` follow. */
export function operation({ tag, ...route }: OperationRoute, meta: OperationMeta) {
  const describe = <S extends Spec>(spec: S): S => {
    const described = describeFaults(spec, faultsOf(meta));
    return meta.job ? describeJob(described) : described;
  };
  return oc.$meta<OperationMeta>(meta).route({ ...route, tags: [tag], spec: describe });
}

type Spec = { responses?: Record<string, unknown>; parameters?: unknown[] };

/** The error answers of an operation in OpenAPI: one per HTTP status, with the codes that it can carry. */
function describeFaults<S extends Spec>(spec: S, codes: readonly FaultCode[]): S {
  const byStatus = Map.groupBy(codes, (code) => String(FAULTS[code].http));
  const responses: Record<string, unknown> = { ...spec.responses };
  for (const [status, group] of byStatus) {
    responses[status] = {
      description: group.map((code) => `\`${code}\`: ${FAULTS[code].means}`).join('\n\n'),
      content: {
        'application/problem+json': {
          schema: {
            type: 'object',
            properties: {
              type: { type: 'string', enum: group.map(problemType) },
              title: { type: 'string', description: 'what the code means' },
              status: { type: 'integer', const: Number(status) },
              detail: { type: 'string', description: 'the same as `message`' },
              code: { type: 'string', enum: group },
              message: { type: 'string', description: 'for people' },
              data: { type: 'object', description: 'machine-readable particulars' },
            },
            required: ['type', 'title', 'status', 'detail', 'code', 'message'],
          },
        },
      },
    };
  }
  return { ...spec, responses };
}

/** The headers that make a job of a request, and the answer of one that is not waited for. */
function describeJob<S extends Spec>(spec: S): S {
  const header = (name: string, description: string) => ({
    in: 'header',
    name,
    description,
    schema: { type: 'string' },
  });
  const accepted = {
    description: 'it goes on as a job, where the request said "Prefer: respond-async"',
    headers: { location: { description: 'where the job is shown', schema: { type: 'string' } } },
    content: { 'application/json': { schema: { $ref: '#/components/schemas/Job' } } },
  };
  return {
    ...spec,
    parameters: [
      ...(spec.parameters ?? []),
      header(
        'Prefer',
        '"respond-async" answers 202 with a job; "respond-async, wait=10" waits so many seconds for its end',
      ),
      header('Idempotency-Key', 'the same request with the same key is one job with one answer'),
    ],
    responses: { ...spec.responses, 202: accepted },
  };
}

/** What stands in a field that names something there is: for doors that can offer what there is to choose from. */
type Naming =
  /** A handle, of somebody that a list shows. */
  | 'person'
  /** A room, by its name. */
  | 'room'
  /** A handle, or a room as `#name`. */
  | 'target'
  /** The id of one that the operation `list` of the same noun shows. */
  | 'id'
  /** A file on the caller's machine. */
  | 'path'
  /** A folder on the caller's machine. */
  | 'folder';

/** Beside the schemas rather than in them, so that no other door shows it. What is described anew keeps its entry. */
export const naming = z.registry<{ of: Naming }>();

// A dot segment would change the path of the URL that carries it; a slash or a space never stands in a name.
const segment = /^(?!\.{1,2}$)[^\s/\\]+$/u;

/** A handle as users write it: `bob` in the own zone, or `bob@lab`. At most 255 characters. */
export const handleInput = z
  .string()
  .max(255, 'expected at most 255 characters')
  .regex(segment, 'expected a handle such as "bob" or "bob@lab"')
  .describe('who: name@zone, or a name in your own zone')
  .register(naming, { of: 'person' });

/** A target as users write it: a handle, a room as `#name`, or a conversation's id. At most 255 characters. */
export const targetInput = z
  .string()
  .max(255, 'expected at most 255 characters')
  .regex(
    /^(?:#[^\r\n]+|(?!\.{1,2}$)[^\s/\\]+)$/u,
    'expected a handle such as "bob", a room such as "#team", or the id of a conversation',
  )
  .describe('where: a handle, a room as #name, or the id of a conversation')
  .register(naming, { of: 'target' });

/** True or false; as text where it stands in a URL. */
export const flagInput = z.boolean().or(z.stringbool({ truthy: ['true', '1'], falsy: ['false', '0'] }));

/** A room as its users name it. */
export const roomInput = z
  .string()
  .max(255, 'expected at most 255 characters')
  .regex(/^(?!\.{1,2}$)[^/\\\r\n]+$/u, 'expected the name of a room, or its id where a name has a slash')
  .describe('which room: its name, with or without #, or its id')
  .register(naming, { of: 'room' });

/** The id of a message or file, or the beginning of it. At most 255 characters. */
export const idInput = z
  .string()
  .max(255, 'expected at most 255 characters')
  .regex(segment, 'expected an id, as a list shows it')
  .describe('id, as a list shows it; at least 6 characters of its beginning')
  .register(naming, { of: 'id' });

/** An event's cursor in a URL or on a command line. */
export const cursorInput = z.coerce
  .number<number>('expected a cursor: a whole number, 0 or more')
  .int('expected a cursor: a whole number, 0 or more')
  .nonnegative('expected a cursor: a whole number, 0 or more');

const pattern = z
  .string()
  .max(200, 'expected at most 200 characters')
  .regex(
    /^(?:\*|[a-z][a-z._]*\*?|conversation:(?:#[^\r\n,]+|[^\s,/\\]+))$/u,
    'expected a type such as message.received, a prefix such as message.*, or conversation:ID',
  );

/** Which events: an event is wanted if it fits one of the patterns. In a URL the field may stand several times. */
export const matchInput = z
  .array(pattern)
  .max(32, 'expected at most 32 patterns')
  .or(pattern.transform((one) => [one]))
  .optional()
  .describe('only these: types such as file.done, prefixes such as message.*, or conversation:ID, with commas between');
