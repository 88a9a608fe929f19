/** A copy of everything that this node knows and is. */
import { isAbsolute } from 'node:path';
import { eventIterator } from '@orpc/contract';
import { z } from 'zod';
import { operation } from './operation.ts';
import { backupInfo } from './shapes.ts';

const absolutePath = z
  .string()
  .max(4_096, 'expected at most 4096 characters')
  .refine((path) => isAbsolute(path) && !path.includes('\0'), 'expected an absolute path on the agent’s machine');

export const create = operation(
  {
    method: 'POST',
    path: '/v1/backup',
    summary: 'Write everything of this home to one file, while it runs',
    description:
      'Messages, keys, settings and the tracker inside; not the downloads, and not the HTTP door’s token. Who has the file can act as you: keep it safe, or give a passphrase in NETAPP_PASSPHRASE or a file. "netapp restore" makes a home of it again.',
    tag: 'backup',
  },
  {
    faults: ['exists', 'unreadable', 'unwritable', 'disk_full', 'too_many'],
    example: 'netapp backup /mnt/usb/netapp.backup --passphrase-file ~/.netapp-passphrase',
    command: {
      words: ['backup'],
      positionals: ['file'],
      forms: { file: 'path', passphraseFile: 'path' },
      secrets: { passphrase: 'NETAPP_PASSPHRASE' },
      shows: 'line',
    },
  },
)
  .input(
    z.object({
      file: absolutePath.describe('file to make; it must not be there yet'),
      passphraseFile: absolutePath.optional().describe('file whose first line is the passphrase'),
      passphrase: z
        .string()
        .min(8, 'expected at least 8 characters')
        .max(1000, 'expected at most 1000 characters')
        .optional()
        .describe('encrypts the file; never on a command line'),
    }),
  )
  .output(eventIterator(backupInfo));
