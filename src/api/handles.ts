/** The names of a zone, for its admins: whose they are, and what becomes of them. */
import { z } from 'zod';
import { ofAdmins, zoneInput } from './joining.ts';
import { handleInput, operation } from './operation.ts';
import { freedHandle, handleInfo } from './shapes.ts';

const tag = 'handles';

export const list = operation(
  {
    method: 'GET',
    path: '/v1/handles',
    summary: 'List the names of a zone and whose they are',
    description: 'For its admins. Also those who are away, and names that were revoked or renamed.',
    tag,
  },
  { faults: ofAdmins, example: 'netapp handles list', command: { words: ['handles', 'list'] } },
)
  .input(z.object({ zone: zoneInput.optional().describe('the zone; default: my own') }))
  .output(z.array(handleInfo));

export const revoke = operation(
  {
    method: 'POST',
    path: '/v1/handles/{handle}/revoke',
    summary: 'Take a name from its owner; nobody else gets it',
    description:
      'For admins of its zone. Its owner leaves the list at once and is told why; mail for them is held no more. "handles free" gives the name to whoever takes it next.',
    tag,
  },
  {
    faults: [...ofAdmins, 'unknown_handle', 'disk_full'],
    example: 'netapp handles revoke mallory',
    command: { words: ['handles', 'revoke'], positionals: ['handle'] },
  },
)
  .input(z.object({ handle: handleInput }))
  .output(handleInfo);

export const rename = operation(
  {
    method: 'POST',
    path: '/v1/handles/{handle}/rename',
    summary: 'Give somebody another name; they stay who they are',
    description:
      'For admins of its zone. Their node takes the new name by itself as soon as it hears of it. Nobody else gets the old one.',
    tag,
  },
  {
    faults: [...ofAdmins, 'unknown_handle', 'name_taken', 'disk_full'],
    example: 'netapp handles rename alice alicia',
    command: { words: ['handles', 'rename'], positionals: ['handle', 'to'] },
  },
)
  .input(z.object({ handle: handleInput, to: handleInput.describe('the new name, in the same zone') }))
  .output(handleInfo);

export const free = operation(
  {
    method: 'POST',
    path: '/v1/handles/{handle}/free',
    summary: 'Let somebody else have a name that was revoked or renamed',
    description:
      'For admins of its zone. The next who announces it owns it. People who knew the former owner are asked before they write to another key.',
    tag,
  },
  {
    faults: [...ofAdmins, 'unknown_handle', 'disk_full'],
    example: 'netapp handles free mallory',
    command: { words: ['handles', 'free'], positionals: ['handle'] },
  },
)
  .input(z.object({ handle: handleInput }))
  .output(freedHandle);
