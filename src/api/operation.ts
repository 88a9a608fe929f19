/** What an operation says about itself beside its schemas: the source of routes, help, command lines and docs. */
import { oc } from '@orpc/contract';
import { z } from 'zod';
import { FAULTS, type FaultCode } from '../base/fault.ts';

/** How one input field is written on a command line, where it is not written as itself. */
type Form =
  /** A path, relative to the caller's folder; sent as an absolute one, since the agent has another. */
  | 'path'
  /** Any number of words, joined by a space; a lone `-` reads standard input. */
  | 'text'
  /** Values with commas between. */
  | 'list'
  /** A number of bytes with an optional unit (`10MB`, `1GiB`), or `none` for null. */
  | 'bytes'
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
  /** For an operation that answers before its work is done: the CLI follows the id by operation `by` while `state` is one of `during`; `--detach` turns that off. */
  settles?: { by: readonly [string, string]; during: readonly string[] };
};

export type OperationMeta = {
  /** The codes that this operation can give, beyond those that every one can (`FAULTS_OF_ALL`). */
  faults: readonly FaultCode[];
  /** A command line that works. */
  example: string;
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
  const faults = [...meta.faults, ...FAULTS_OF_ALL];
  return oc.$meta<OperationMeta>(meta).route({ ...route, tags: [tag], spec: (spec) => describeFaults(spec, faults) });
}

type Spec = { responses?: Record<string, unknown> };

/** The error answers of an operation in OpenAPI: one per HTTP status, with the codes that it can carry. */
function describeFaults<S extends Spec>(spec: S, codes: readonly FaultCode[]): S {
  const byStatus = Map.groupBy(codes, (code) => String(FAULTS[code].http));
  const responses: Record<string, unknown> = { ...spec.responses };
  for (const [status, group] of byStatus) {
    responses[status] = {
      description: group.map((code) => `\`${code}\`: ${FAULTS[code].means}`).join('\n\n'),
      content: {
        'application/json': {
          schema: {
            type: 'object',
            properties: {
              code: { type: 'string', enum: group },
              message: { type: 'string' },
              data: { type: 'object', description: 'machine-readable particulars' },
            },
            required: ['code', 'message'],
          },
        },
      },
    };
  }
  return { ...spec, responses };
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
