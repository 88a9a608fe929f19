/** The commands that are processes of their own. What they need is loaded when they run. */
import { z } from 'zod';
import { type ProcessCommand, processCommand } from '../cli/process-command.ts';
import { parseBytes } from '../cli/units.ts';

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
    port: port.optional().describe('port that others reach this node at; 0: any; default: 33357'),
    join: z.string().optional().describe('invite link of the tracker to join'),
    tracker: z.array(z.string()).default([]).describe('peerid@host:port of a tracker; may stand several times'),
    zone: z.string().optional().describe('zone that the tracker inside serves; default: lab'),
    autoAccept: z.string().optional().describe('take files from everybody up to this size, such as 10MB'),
    httpPort: port.optional().describe('serve the agent’s HTTP API on this loopback port too; 0: any'),
  }),
  async run({ autoAccept, ...input }, shell) {
    const [{ up }, { Agent }] = await Promise.all([import('../node/up.ts'), import('../agent/agent.ts')]);
    const bytes = autoAccept === undefined ? undefined : parseBytes(autoAccept);
    return up({ ...input, autoAccept: bytes }, { ...shell, createAgent: (options) => new Agent(options) });
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
    const { runTracker } = await import('../tracker/main.ts');
    return runTracker(input, shell);
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
    const { demo } = await import('../node/demo.ts');
    return demo(input, shell);
  },
});

export const processCommands: readonly ProcessCommand[] = [up, tracker, demo];
