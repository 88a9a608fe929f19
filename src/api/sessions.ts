/** Sessions of browsers: opened by a one-time link, known by a cookie that no page can read. */
import { z } from 'zod';
import { idInput, operation } from './operation.ts';
import { session, sessionLink } from './shapes.ts';
import { spanInput } from './tokens.ts';

const tag = 'sessions';

export const open = operation(
  {
    method: 'POST',
    path: '/v1/sessions',
    summary: 'Open this agent in the browser, by a link that works once',
    description:
      'The link is good for two minutes. The session that it opens may do what whoever asked for the link may. Without a desktop, open the link yourself. Needs an agent with an HTTP door: netapp up --http-port 0.',
    tag,
  },
  {
    faults: ['wrong_state', 'too_many', 'disk_full'],
    example: 'netapp open',
    command: { words: ['open'], opens: 'url' },
  },
)
  .input(z.object({ ttl: spanInput.default('12h').describe('how long the session lasts, such as 12h; default: 12h') }))
  .output(sessionLink);

export const list = operation(
  { method: 'GET', path: '/v1/sessions', summary: 'List the sessions of browsers that are open', tag },
  { faults: [], example: 'netapp sessions list', command: { words: ['sessions', 'list'] } },
).output(z.array(session));

export const end = operation(
  { method: 'POST', path: '/v1/sessions/{id}/end', summary: 'End the session of a browser at once', tag },
  {
    faults: ['unknown_id'],
    example: 'netapp sessions end p4k2m9xw',
    command: { words: ['sessions', 'end'], positionals: ['id'] },
  },
)
  .input(z.object({ id: idInput.describe('id of the session, as the list shows it') }))
  .output(session);
