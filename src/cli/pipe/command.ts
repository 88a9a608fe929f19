/** `netapp pipe`, as the command line knows it. */
import { z } from 'zod';
import { operationList } from '../../api/catalogue.ts';
import * as contract from '../../api/events.ts';
import { inputOf, lineSchema } from '../fields.ts';
import { processCommand } from '../process-command.ts';

const followed = operationList.find(({ name }) => name === 'events.follow');
if (!followed) throw new Error('there is no operation "events.follow" to feed a pipe from');
const events = followed;

/** What a program most likely wants to hear of. */
const MATCH = 'message.received';

export const pipeCommand = processCommand({
  name: 'pipe',
  summary: 'Join a program to the agent: events in, actions out, as NDJSON',
  description: `The program writes actions, one JSON object a line: {"op":"messages.say","input":{"handle":"bob","text":"hi"},"id":1}. "op" is any operation, "id" comes back with its answer. It reads lines with a "type": those of events as "netapp events" shows them; "answer" with the action's "id", "op" and "answer"; "error" with "error": {"code", "message"} instead; of an operation with many answers "next" for each, then "end". Actions are done in their order.\n\nWith --run, the program is started by the shell and told of ${MATCH} unless --match says otherwise; the exit code is the program's. Without it, actions come from standard input and lines go to standard output, events only where --from or --match asks for them; the exit code is that of the last action that failed. Both end when the actions end.`,
  example: "netapp pipe --run 'python3 bot.py'",
  faults: [...events.meta.faults, 'link_closed', 'agent_down'],
  input: lineSchema(events).extend({
    run: z.string().min(1, 'expected a command').optional().describe('the program to join, as a command for the shell'),
  }),
  async run({ run, ...written }, shell) {
    const wanted = run !== undefined || Object.values(written).some((value) => value !== undefined);
    const { match = run === undefined ? undefined : MATCH, ...rest } = written;
    const { input } = await inputOf(events, { ...rest, ...(match !== undefined && { match }) }, shell);
    const { pipe } = await import('./pipe.ts');
    const schema = contract.follow['~orpc'].inputSchema;
    return pipe({ run: z.string().optional().parse(run), follow: wanted ? schema?.parse(input) : undefined }, shell);
  },
});
