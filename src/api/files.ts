/** Files: offered by one, fetched by the other, verified. */
import { isAbsolute } from 'node:path';
import { eventIterator } from '@orpc/contract';
import { z } from 'zod';
import { idInput, naming, operation, targetInput } from './operation.ts';
import { conflict, file } from './shapes.ts';

export * from './files-control.ts';
export * from './files-stage.ts';

const tag = 'files';

const absolutePath = z
  .string()
  .max(4_096, 'expected at most 4096 characters')
  .refine((path) => isAbsolute(path) && !path.includes('\0'), 'expected an absolute path on the agent’s machine');

const one = z.object({ id: idInput });
const oneTo = one.extend({
  to: absolutePath
    .optional()
    .describe('folder to write to; default: the home’s downloads')
    .register(naming, { of: 'folder' }),
  conflict: conflict
    .optional()
    .describe('where the name is taken: rename (the default) writes beside it, overwrite replaces it, skip declines'),
});

export const send = operation(
  {
    method: 'POST',
    path: '/v1/files',
    summary: 'Offer a file or a folder to somebody, or to a room',
    description:
      'Answers at once with an id in state `preparing`; hashing and offering go on by themselves. The textbook’s peer_transfer. A command line may name several paths, each offered on its own, and `-` for standard input, which is kept in the home until it has arrived.',
    tag,
  },
  {
    faults: [
      'unknown_handle',
      'unknown_zone',
      'key_changed',
      'peer_unreachable',
      'wrong_key',
      'wrong_state',
      'unreadable',
      'bad_name',
      'tracker_down',
      'disk_full',
      'queue_full',
    ],
    job: { peer: 'handle', long: true, spool: true, cancelledBy: ['files', 'cancel'] },
    example: 'netapp files send bob report.pdf',
    command: {
      words: ['files', 'send'],
      textbook: 'peer-transfer',
      positionals: ['handle', 'path'],
      forms: { path: 'paths' },
      settles: { by: ['files', 'follow'], during: ['preparing'] },
    },
  },
)
  .input(
    z.object({
      handle: targetInput,
      path: absolutePath.describe('file or folder to offer; on a command line also several, or - for standard input'),
      name: z
        .string()
        .min(1)
        .max(255, 'expected at most 255 characters')
        .optional()
        .describe('what it is called there; default: its own name'),
    }),
  )
  .output(file);

export const list = operation(
  { method: 'GET', path: '/v1/files', summary: 'List files that came or went', tag },
  { faults: [], example: 'netapp files list', command: { words: ['files', 'list'] } },
).output(z.array(file));

export const show = operation(
  { method: 'GET', path: '/v1/files/{id}', summary: 'Show one file and how far it is', tag },
  {
    faults: ['unknown_id'],
    example: 'netapp files show 7f3k',
    command: { words: ['files', 'show'], positionals: ['id'] },
  },
)
  .input(one)
  .output(file);

export const accept = operation(
  {
    method: 'POST',
    path: '/v1/files/{id}/accept',
    summary: 'Take an offered file; it is fetched in the background',
    tag,
  },
  {
    faults: ['unknown_id', 'wrong_state', 'unwritable', 'disk_full', 'exists'],
    example: 'netapp files accept 7f3k --to ~/Downloads',
    command: { words: ['files', 'accept'], positionals: ['id'], forms: { to: 'path' } },
  },
)
  .input(oneTo)
  .output(file);

export const get = operation(
  {
    method: 'POST',
    path: '/v1/files/{id}/get',
    summary: 'Take an offered file and wait until it is here',
    description: 'Snapshots of the file until it is `done`, `declined`, `cancelled` or `failed`.',
    tag,
  },
  {
    faults: [
      'unknown_id',
      'wrong_state',
      'unwritable',
      'disk_full',
      'exists',
      'peer_unreachable',
      'hash_mismatch',
      'changed',
      'bad_name',
      'too_many',
    ],
    job: { peer: 'id', long: true, cancelledBy: ['files', 'cancel'] },
    example: 'netapp files get 7f3k --to ~/Downloads',
    command: { words: ['files', 'get'], positionals: ['id'], forms: { to: 'path' }, shows: 'progress' },
  },
)
  .input(oneTo)
  .output(eventIterator(file));

export const decline = operation(
  { method: 'POST', path: '/v1/files/{id}/decline', summary: 'Refuse an offered file', tag },
  {
    faults: ['unknown_id', 'wrong_state'],
    example: 'netapp files decline 7f3k',
    command: { words: ['files', 'decline'], positionals: ['id'] },
  },
)
  .input(one)
  .output(file);

export const cancel = operation(
  { method: 'POST', path: '/v1/files/{id}/cancel', summary: 'Stop a transfer, or take back an offer', tag },
  {
    faults: ['unknown_id', 'wrong_state'],
    example: 'netapp files cancel 7f3k',
    command: { words: ['files', 'cancel'], positionals: ['id'] },
  },
)
  .input(one)
  .output(file);

export const follow = operation(
  {
    method: 'GET',
    path: '/v1/files/{id}/follow',
    summary: 'Follow a transfer to its end',
    description: 'The present state at once, then each change, until `done`, `declined`, `cancelled` or `failed`.',
    tag,
  },
  {
    faults: ['unknown_id', 'peer_unreachable', 'disk_full', 'unwritable', 'hash_mismatch', 'changed', 'too_many'],
    example: 'netapp files follow 7f3k',
    command: { words: ['files', 'follow'], positionals: ['id'], shows: 'progress' },
  },
)
  .input(one)
  .output(eventIterator(file));
