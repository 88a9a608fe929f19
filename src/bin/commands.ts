/** The commands that are processes of their own. What they need is loaded when they run. */
import { z } from 'zod';
import { type ProcessCommand, processCommand } from '../cli/process-command.ts';
import { parseSpan } from '../cli/units.ts';

/** 0 takes any free port. */
const port = z
  .string()
  .regex(/^\d{1,5}$/, 'expected a port from 0 to 65535')
  .transform(Number)
  .refine((number) => number <= 65_535, 'expected a port from 0 to 65535');

const up = processCommand({
  name: 'up',
  summary: 'Run this machine’s node and agent',
  description:
    'Without a tracker it also runs one inside, and prints an invite link for others. Ctrl-C ends it cleanly.',
  example: 'netapp up --name alice',
  faults: [
    'agent_running',
    'port_taken',
    'bad_invite',
    'name_taken',
    'wrong_key',
    'corrupt',
    'unreadable',
    'unwritable',
    'disk_full',
  ],
  input: z.object({
    name: z.string().optional().describe('my name, such as alice; default: the one of the home, else the login name'),
    host: z.string().optional().describe('IP to listen at, for the node and a tracker inside; default: all'),
    port: port.optional().describe('port that others reach this node at; 0: any; default: 33357'),
    join: z.string().optional().describe('invite link of the tracker to join; remembered'),
    tracker: z
      .array(z.string())
      .default([])
      .describe('invite link, peerid@host:port or host:port of a tracker; may stand several times; remembered'),
    zone: z.string().optional().describe('zone that the tracker inside serves; default: lab'),
    trackerPort: port.optional().describe('port of the tracker inside; 0: any; default: 22236'),
    presence: z
      .enum(['zone', 'contacts'], 'expected zone or contacts')
      .optional()
      .describe('who sees that I am here: everybody in the zone, or whom I have written to; remembered; default: zone'),
    awayAfter: z
      .string()
      .transform((written, context): number | null => {
        const ms = parseSpan(written);
        if (ms !== undefined) return ms;
        context.addIssue('expected 1s to 24h such as 90s, 10m or 2h, or off');
        return z.NEVER;
      })
      .optional()
      .describe('be away after so long without a use, such as 10m, or off; remembered; default: 10m'),
    httpPort: port.optional().describe('serve the agent’s HTTP API on this loopback port too; 0: any'),
  }),
  async run(input, shell) {
    const { up } = await import('./up.ts');
    return up(input, shell);
  },
});

const tracker = processCommand({
  name: 'tracker',
  summary: 'Run a tracker, which introduces people to each other',
  description: 'Prints its address, peer id and invite link. Its data stands in the folder tracker of the home.',
  example: 'netapp tracker --zone lab',
  faults: ['port_taken', 'corrupt', 'unreadable', 'unwritable', 'disk_full'],
  input: z.object({
    host: z
      .string()
      .optional()
      .describe('address to listen at and to print; default: all, and the default interface’s'),
    port: port.optional().describe('default: 22236; 0: any'),
    zone: z.string().optional().describe('zone that it serves; default: lab'),
  }),
  async run(input, shell) {
    const [{ runTracker }, { createLog }, { homePaths }] = await Promise.all([
      import('../tracker/main.ts'),
      import('../base/log.ts'),
      import('../node/home.ts'),
    ]);
    const { home, signal, stdout, stderr, json, env } = shell;
    const log = createLog({ name: 'netapp', level: env.NETAPP_LOG ?? 'warn' });
    await runTracker({ zone: 'lab', ...input, home: homePaths(home).tracker, signal, stdout, stderr, json, log });
    return 0;
  },
});

const demo = processCommand({
  name: 'demo',
  summary: 'Show the whole path: a tracker, two nodes, messages and a file',
  description: 'In separate processes and temporary homes. Exit code 0 only if all was checked.',
  example: 'netapp demo holiday.mp4',
  faults: ['unreadable', 'hash_mismatch', 'timeout'],
  input: z.object({
    file: z.string().optional().meta({ positional: true, description: 'what to send; default: 64 MiB made for it' }),
  }),
  async run(input, shell) {
    const { demo } = await import('./demo.ts');
    return demo(input, shell);
  },
});

export const processCommands: readonly ProcessCommand[] = [up, tracker, demo];
