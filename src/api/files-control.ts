/** Files beside sending and taking: order, pace, room on the disk, links for other programs, and what is kept. */
import { isAbsolute } from 'node:path';
import { eventIterator } from '@orpc/contract';
import { z } from 'zod';
import { flagInput, handleInput, idInput, operation } from './operation.ts';
import {
  file,
  fileCertificate,
  fileCheck,
  fileGarbage,
  fileLimits,
  fileLink,
  fileQuota,
  givenLink,
  person,
  priority,
} from './shapes.ts';

const tag = 'files';

const one = z.object({ id: idInput });

const folder = z
  .string()
  .max(4_096, 'expected at most 4096 characters')
  .refine((path) => isAbsolute(path) && !path.includes('\0'), 'expected an absolute path on the agent’s machine');

/** Slower, and a holder could take the receiver for dead. */
const rate = z
  .number('expected bytes a second such as 1MB, or none')
  .int('expected whole bytes')
  .min(32_000, 'expected at least 32kB a second, or none')
  .nullable();

const bytes = z
  .number('expected a number of bytes such as 10GB, or none')
  .int('expected whole bytes')
  .nonnegative('expected 0 bytes or more')
  .nullable();

export const pause = operation(
  {
    method: 'POST',
    path: '/v1/files/{id}/pause',
    summary: 'Let a transfer rest until it is resumed',
    description: 'Also across restarts. What is here stays here; of a file that I send, nothing is served meanwhile.',
    tag,
  },
  {
    faults: ['unknown_id', 'wrong_state'],
    example: 'netapp files pause 7f3k',
    command: { words: ['files', 'pause'], positionals: ['id'] },
  },
)
  .input(one)
  .output(file);

export const resume = operation(
  { method: 'POST', path: '/v1/files/{id}/resume', summary: 'Go on with a paused transfer', tag },
  {
    faults: ['unknown_id', 'wrong_state'],
    example: 'netapp files resume 7f3k',
    command: { words: ['files', 'resume'], positionals: ['id'] },
  },
)
  .input(one)
  .output(file);

export const prioritize = operation(
  {
    method: 'PUT',
    path: '/v1/files/{id}/priority',
    summary: 'Say how urgent a file is that I fetch',
    description: 'What is more urgent goes first, and takes the place of what is less so.',
    tag,
  },
  {
    faults: ['unknown_id', 'wrong_state'],
    example: 'netapp files priority 7f3k high',
    command: { words: ['files', 'priority'], positionals: ['id', 'priority'] },
  },
)
  .input(one.extend({ priority: priority.describe('high, normal or low') }))
  .output(file);

export const limit = operation(
  { method: 'PUT', path: '/v1/files/{id}/limit', summary: 'Bound how fast one transfer moves', tag },
  {
    faults: ['unknown_id', 'wrong_state'],
    example: 'netapp files limit 7f3k 2MB',
    command: { words: ['files', 'limit'], positionals: ['id', 'rate'], forms: { rate: 'bytes' } },
  },
)
  .input(one.extend({ rate: rate.describe('bytes a second, from 32kB; none: no bound') }))
  .output(file);

export const limits = operation(
  {
    method: 'PATCH',
    path: '/v1/files/limits',
    summary: 'Show or set how fast and how many files move in all',
    description: 'What is not named stays as it is; it holds at once, and across restarts.',
    tag,
  },
  {
    faults: ['disk_full'],
    example: 'netapp files limits --up 5MB --down none --at-once 4',
    command: { words: ['files', 'limits'], forms: { up: 'bytes', down: 'bytes' } },
  },
)
  .input(
    z.object({
      up: rate.optional().describe('bytes a second that are served in all; none: no bound'),
      down: rate.optional().describe('bytes a second that are fetched in all; none: no bound'),
      atOnce: z.coerce
        .number<number>('expected a number from 1 to 16')
        .int('expected a number from 1 to 16')
        .min(1, 'expected a number from 1 to 16')
        .max(16, 'expected a number from 1 to 16')
        .optional()
        .describe('files that are fetched at once, from 1 to 16'),
    }),
  )
  .output(fileLimits);

export const quota = operation(
  {
    method: 'PATCH',
    path: '/v1/files/quota',
    summary: 'Show or set how many bytes of files I keep, in all or of somebody',
    description:
      'Counts what still lies where it was received, what is on its way, and what was spooled to be sent. Past it nothing more is accepted.',
    tag,
  },
  {
    faults: ['unknown_handle', 'unknown_zone', 'tracker_down', 'key_changed', 'disk_full'],
    example: 'netapp files quota bob --bytes 10GB',
    command: { words: ['files', 'quota'], positionals: ['handle'], forms: { bytes: 'bytes' } },
  },
)
  .input(
    z.object({
      handle: handleInput.optional().describe('of whom; without it, of all'),
      bytes: bytes.optional().describe('most bytes; none: no bound'),
    }),
  )
  .output(fileQuota);

export const autoAccept = operation(
  {
    method: 'PUT',
    path: '/v1/people/{handle}/auto-accept',
    summary: 'Take somebody’s files unasked, up to a size, into a folder',
    tag,
  },
  {
    faults: ['unknown_handle', 'unknown_zone', 'tracker_down', 'key_changed', 'disk_full'],
    example: 'netapp files auto-accept bob --up-to 100MB --into ~/from-bob',
    command: {
      words: ['files', 'auto-accept'],
      positionals: ['handle'],
      forms: { upTo: 'bytes', into: 'path' },
    },
  },
)
  .input(
    z
      .object({
        handle: handleInput,
        upTo: bytes.unwrap().optional().describe('take files up to this size'),
        into: folder.optional().describe('folder to write them to; default: the home’s downloads'),
        off: flagInput.optional().describe('ask me about each file again'),
      })
      .refine(({ upTo, off }) => (upTo === undefined) === (off === true), {
        message: 'expected --up-to with a size, or --off',
        path: ['upTo'],
      }),
  )
  .output(person);

export const link = operation(
  {
    method: 'POST',
    path: '/v1/files/{id}/link',
    summary: 'Make a link by which curl or any other program may fetch a file that I send',
    description:
      'Whoever has the link has the file, until it ends or is revoked; keep it secret. The node’s certificate is its own: `pin` is for curl --pinnedpubkey. Of a folder it leads to the manifest, and to each file by its number there.',
    tag,
  },
  {
    faults: ['unknown_id', 'wrong_state', 'too_many', 'disk_full'],
    example: 'netapp files link 7f3k --ttl 1h',
    command: { words: ['files', 'link'], positionals: ['id'], forms: { ttl: 'seconds' } },
  },
)
  .input(
    one.extend({
      ttl: z
        .number('expected a time such as 10m or 1h')
        .int('expected whole seconds')
        .min(1, 'expected at least 1s')
        .max(86_400, 'expected at most 24h')
        .default(3600)
        .describe('seconds that it holds'),
    }),
  )
  .output(fileLink);

export const links = operation(
  { method: 'GET', path: '/v1/files/links', summary: 'List the links to files that hold', tag },
  { faults: [], example: 'netapp files links', command: { words: ['files', 'links'] } },
).output(z.array(givenLink));

export const revoke = operation(
  {
    method: 'POST',
    path: '/v1/files/links/{link}/revoke',
    summary: 'End a link to a file now',
    description: 'Also for who fetches by it at this moment.',
    tag,
  },
  {
    faults: ['unknown_id'],
    example: 'netapp files revoke 4gqk2x',
    command: { words: ['files', 'revoke'], positionals: ['link'] },
  },
)
  .input(z.object({ link: idInput }))
  .output(givenLink);

export const certificate = operation(
  {
    method: 'GET',
    path: '/v1/files/certificate',
    summary: 'Show how curl or any other program fetches with my node’s certificate',
    description:
      'The key’s file stays where it is, readable by its user alone: whoever has it is this node. With the id of an offered file, also where to fetch it from.',
    tag,
  },
  {
    faults: ['unknown_id', 'wrong_state'],
    example: 'netapp files certificate 7f3k',
    command: { words: ['files', 'certificate'], positionals: ['id'] },
  },
)
  .input(z.object({ id: idInput.optional().describe('id of an offered file, as a list shows it') }))
  .output(fileCertificate);

export const gc = operation(
  {
    method: 'POST',
    path: '/v1/files/gc',
    summary: 'Remove what no file needs any more',
    description:
      'Parts and manifests of what has ended, spooled files that nothing offers, links that ended. Received files are yours and stay.',
    tag,
  },
  {
    faults: ['unwritable', 'disk_full'],
    example: 'netapp files gc --dry-run',
    command: { words: ['files', 'gc'] },
  },
)
  .input(z.object({ dryRun: flagInput.optional().describe('only say what it would remove') }))
  .output(z.array(fileGarbage));

export const verify = operation(
  {
    method: 'POST',
    path: '/v1/files/verify',
    summary: 'Read again what is said to be here, and compare it with its hashes',
    description:
      'All that was received or is offered, or one file. With --refetch, what is damaged or missing is fetched again as far as it is, and takes the place of the damaged file.',
    tag,
  },
  {
    faults: ['unknown_id', 'wrong_state'],
    example: 'netapp files verify --refetch',
    command: { words: ['files', 'verify'], positionals: ['id'] },
  },
)
  .input(
    z.object({
      id: idInput.optional().describe('one file alone, by its id as a list shows it'),
      refetch: flagInput.optional().describe('fetch again what is damaged or missing'),
    }),
  )
  .output(eventIterator(fileCheck));

export const watch = operation(
  {
    method: 'GET',
    path: '/v1/files/watch',
    summary: 'Watch all transfers move, each with its speed and where it comes from',
    description: 'A bar for each on a terminal; elsewhere a snapshot a line. Until it is interrupted.',
    tag,
  },
  {
    faults: [],
    example: 'netapp files watch',
    command: { words: ['files', 'watch'], shows: 'bars' },
  },
)
  .input(z.object({ untilIdle: flagInput.optional().describe('end when nothing is under way any more') }))
  .output(eventIterator(file));
