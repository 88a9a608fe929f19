/** The commands that are processes of their own. What they need is loaded when they run. */
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { handleInput, naming, targetInput } from '../api/operation.ts';
import type { Log } from '../base/log.ts';
import type { Verified } from '../chat/export.ts';
import { type ProcessCommand, processCommand } from '../cli/process-command.ts';
import type { Shell } from '../cli/shell.ts';
import { parseSpan } from '../cli/units.ts';
import type { RunTrackerOptions } from '../tracker/main.ts';
import type { DoorOptions } from './im.ts';
import { doorFlags, imCommands } from './im-commands.ts';
import { pathCommands } from './path-commands.ts';
import { port } from './port.ts';

const mailbox = z.boolean().optional().meta({
  negatable: true,
  description: 'hold sealed messages at the tracker for people who are away; up remembers it; default: it does',
});

const parentFlag = z
  .array(z.string())
  .default([])
  .describe(
    'invite link of the tracker of the zone above, which delegates a zone to this tracker; may stand several times',
  );
const dnsFlag = z
  .array(z.string())
  .default([])
  .describe('DNS server to ask for zones out in the world, IP or IP:port; none: ask none; default: the machine’s');

const onOff = z.enum(['on', 'off'], 'expected on or off').transform((word) => word === 'on');
const lanFlag = onOff
  .optional()
  .describe('find nodes and trackers on this network, and be found there: on or off; default: on');
const portMappingFlag = onOff
  .optional()
  .describe('ask the router to let others in from outside: on or off; default: on');

const upFlags = z.object({
  name: z.string().optional().describe('my name, such as alice; default: the one of the home, else the login name'),
  host: z.string().optional().describe('IP to listen at, for the node and a tracker inside; default: all'),
  port: port.optional().describe('port that others reach this node at; 0: any; default: 33357'),
  join: z.string().optional().describe('invite link of the tracker to join; remembered'),
  tracker: z
    .array(z.string())
    .default([])
    .describe(
      'invite link, peerid@host:port, host:port or wss://host/path of a tracker; 2:INVITE for one that is used while those of tier 1 do not answer; may stand several times; remembered',
    ),
  trackerCa: z
    .string()
    .optional()
    .describe(
      'PEM file of the authority that signed for the proxy before a tracker, where it is not a public one; remembered',
    )
    .register(naming, { of: 'path' }),
  zone: z.string().optional().describe('zone that the tracker inside serves; default: lab'),
  trackerPort: port.optional().describe('port of the tracker inside; 0: any; default: 22236'),
  parent: parentFlag,
  dns: dnsFlag,
  mailbox,
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
  lan: lanFlag,
  portMapping: portMappingFlag,
  httpPort: port.optional().describe('serve the agent’s HTTP API on this loopback port too; 0: any'),
  open: z.boolean().optional().meta({
    negatable: true,
    description: 'open the page in a browser; default: on a desktop, where up runs in a terminal',
  }),
  sharedMemory: z
    .string()
    .optional()
    .describe('serve programs that map this file, too: they write commands into it; see docs/shared-memory.md')
    .register(naming, { of: 'path' }),
  size: z
    .string()
    .regex(/^\d{1,8}$/, 'expected a number of bytes from 100 to 16777216')
    .transform(Number)
    .optional()
    .describe('bytes of the shared memory where it is made now, 100 to 16777216; default: 4096'),
});

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
    'not_invited',
    'wrong_key',
    'corrupt',
    'unreadable',
    'unwritable',
    'disk_full',
  ],
  input: upFlags,
  async run(input, shell) {
    const { up } = await import('./up.ts');
    return up(input, shell);
  },
});

const configShow = processCommand({
  name: 'config show',
  summary: 'Show every setting as the next start would have it',
  description:
    'Flags win over the environment, that over config.json in the home, that over defaults. Takes the flags of up, to show what they would do.',
  example: 'netapp config show --origin',
  faults: ['corrupt', 'unreadable'],
  input: upFlags
    .omit({ open: true, sharedMemory: true, size: true })
    .extend({ origin: z.boolean().optional().describe('say where each comes from') }),
  async run({ origin, ...options }, shell) {
    const { showConfig } = await import('./config.ts');
    return showConfig(options, { origin: origin === true }, shell);
  },
});

const tracker = processCommand({
  name: 'tracker',
  summary: 'Run a tracker, which introduces people to each other',
  description:
    'Prints its address, peer id and invite link. Its data stands in the folder tracker of the home. SIGHUP reads the configuration again; SIGTERM sends its nodes elsewhere first, a second one ends it at once.',
  example: 'netapp tracker --zone lab',
  faults: [
    'port_taken',
    'agent_running',
    'corrupt',
    'unreadable',
    'unwritable',
    'disk_full',
    'tracker_down',
    'unauthenticated',
    'wrong_key',
  ],
  input: z.object({
    host: z
      .string()
      .optional()
      .describe('address to listen at and to print; default: all, and the default interface’s'),
    port: port.optional().describe('default: 22236; 0: any'),
    zone: z
      .array(z.string())
      .default([])
      .describe('zone that it serves; may stand several times, the first is that of its invite; default: lab'),
    parent: parentFlag,
    primary: z
      .array(z.string())
      .default([])
      .describe('invite link of the tracker that has the zone’s key: this one serves the zone too'),
    dns: dnsFlag,
    mailbox,
    engine: z
      .string()
      .optional()
      .describe(
        'where it keeps what it knows: embedded, or nats://HOST[,HOST] to be one of a cluster; default: embedded',
      ),
    admin: z
      .array(z.string().regex(/^[a-z2-7]{52}$/, 'expected an account id, 52 characters, as "netapp status" shows it'))
      .default([])
      .describe('account id of somebody who administers the zone; may stand several times; default: nobody'),
    behindProxy: z
      .string()
      .optional()
      .describe('port, or IP:PORT, at which it takes plain HTTP from a proxy that ends TLS; default: it takes none'),
    publicUrl: z
      .array(z.string())
      .default([])
      .describe('wss://host/path at which that proxy answers; goes into the invite; may stand several times'),
    trustedProxy: z
      .array(z.string())
      .default([])
      .describe('IP or net of such a proxy; may stand several times; default: this machine'),
    forwardedHeader: z
      .enum(['x-forwarded-for', 'forwarded'], 'expected x-forwarded-for or forwarded')
      .optional()
      .describe('header in which the proxy says who its client is; default: x-forwarded-for'),
    policy: z
      .enum(['open', 'invite', 'closed'], 'expected open, invite or closed')
      .optional()
      .describe(
        'whom the zone takes in, whatever its admins say: open, invite or closed; default: they say, else open',
      ),
    limit: z
      .array(z.string())
      .default([])
      .describe('a limit such as connectionsPerAddress=100; may stand several times; see docs/operations.md'),
    relay: z
      .enum(['off', 'zones', 'on'], 'expected off, zones or on')
      .optional()
      .describe(
        'pass bytes on between nodes that reach each other in no other way: off, zones (both are of its zones) or on (one of them is); default: zones',
      ),
    relayLimit: z
      .array(z.string())
      .default([])
      .describe('a limit of that such as bytesPerDay=1000000000; may stand several times; see docs/operations.md'),
    metrics: z
      .string()
      .optional()
      .describe('PORT or HOST:PORT for health, readiness and metrics by plain HTTP; default: at its own port alone'),
    elsewhere: z
      .array(z.string())
      .default([])
      .describe('host:port of another machine at which a tracker with its key answers; may stand several times'),
    lan: lanFlag,
    drain: z
      .string()
      .transform((written, context): number | null => {
        const ms = parseSpan(written);
        if (ms !== undefined) return ms;
        context.addIssue('expected 1s to 24h such as 30s or 2m, or off');
        return z.NEVER;
      })
      .optional()
      .describe('how long its nodes have, at most, to go elsewhere where it ends by SIGTERM, or off; default: 30s'),
    ...doorFlags,
    imPort: doorFlags.imPort.describe(
      'serve clients of the classic IM protocol on this port, too, such as 6666; 0: any',
    ),
  }),
  async run(input, shell) {
    const [
      { runTracker },
      { createLog },
      { homePaths, readConfig },
      { dnsOf, givenToTracker, settle },
      { onHangup, ofTracker },
      { behindProxyOf },
      { parseInvite },
    ] = await Promise.all([
      import('../tracker/main.ts'),
      import('../base/log.ts'),
      import('../node/home.ts'),
      import('./settings.ts'),
      import('./reload.ts'),
      import('./behind-proxy.ts'),
      import('../directory/invite.ts'),
    ]);
    const { home, signal, stdout, stderr, json, env } = shell;
    const { imPort, imHost, imTls, imKey, imCert, imPlain, imPerAddress, imRate, ...ofTrackerAlone } = input;
    const door = { imPort, imHost, imTls, imKey, imCert, imPlain, imPerAddress, imRate };
    const given = givenToTracker(ofTrackerAlone);
    const read = async () => settle(given, env, await readConfig(home)).settings;
    const settings = await read();
    const { zone, mailbox, engine, host, trackerPort: port, metrics, elsewhere, drainMs, lan } = settings;
    const log = createLog({ name: 'netapp', level: settings.log });
    await runTracker({
      ...ofTracker(settings),
      behindProxy: behindProxyOf(settings),
      ...{ zone, mailbox, engine, host, port, metrics, elsewhere, drainMs, lan },
      zones: settings.zones,
      parents: settings.parents.map(parseInvite),
      primaries: settings.primaries.map(parseInvite),
      dns: dnsOf(settings.dns),
      onUp: (tracker) => onHangup({ settings, read, apply: (next) => tracker.reload(ofTracker(next)), log }),
      home: homePaths(home).tracker,
      signal,
      stdout,
      stderr,
      json,
      log,
      beside: door.imPort === undefined ? undefined : await besideTracker(door, shell, settings.host, log),
    });
    return 0;
  },
});

/** The door for IM clients in the tracker's own process. */
async function besideTracker(
  door: DoorOptions,
  shell: Shell,
  host: string | undefined,
  log: Log,
): Promise<NonNullable<RunTrackerOptions['beside']>> {
  const [{ openImDoor }, { homePaths }] = await Promise.all([import('./im.ts'), import('../node/home.ts')]);
  return async (tracker) => {
    const invite = tracker.inviteBeside();
    // Over loopback, whatever network the machine is on, unless it listens elsewhere alone.
    const addresses = host === undefined ? [`127.0.0.1:${tracker.port}`] : invite.addresses;
    const identity = join(homePaths(shell.home).tracker, 'tracker.key');
    const opened = await openImDoor(door, { shell, trackers: [{ ...invite, addresses }], host, log, identity });
    const { address, port } = opened.gateway;
    return { says: { im: address, imPort: port }, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() };
  };
}

const demo = processCommand({
  name: 'demo',
  summary: 'Show the whole path: a tracker, two nodes, messages and a file',
  description: 'In separate processes and temporary homes. Exit code 0 only if all was checked.',
  example: 'netapp demo holiday.mp4',
  faults: ['unreadable', 'hash_mismatch', 'timeout'],
  input: z.object({
    file: z
      .string()
      .optional()
      .meta({ positional: true, description: 'what to send; default: 64 MiB made for it' })
      .register(naming, { of: 'path' }),
  }),
  async run(input, shell) {
    const { demo } = await import('./demo.ts');
    return demo(input, shell);
  },
});

const restore = processCommand({
  name: 'restore',
  summary: 'Make a home from a backup',
  description:
    'Everything is verified before anything is put in place; the home must be empty or not there. Let only one of two copies run: the other one’s messages would be refused. A passphrase is taken from NETAPP_PASSPHRASE or a file.',
  example: 'netapp restore /mnt/usb/netapp.backup --home ~/netapp',
  faults: ['agent_running', 'exists', 'unauthenticated', 'unreadable', 'unwritable', 'corrupt', 'disk_full'],
  input: z.object({
    file: z
      .string()
      .meta({ positional: true, description: 'what "netapp backup" made' })
      .register(naming, { of: 'path' }),
    passphraseFile: z
      .string()
      .optional()
      .describe('file whose first line is the passphrase')
      .register(naming, { of: 'path' }),
  }),
  async run({ file, passphraseFile }, shell) {
    const [{ restore }, { readPassphrase }] = await Promise.all([
      import('../node/restore.ts'),
      import('../node/sealed.ts'),
    ]);
    const done = await restore({
      file: resolve(shell.cwd, file),
      home: shell.home,
      passphrase: async () =>
        passphraseFile === undefined
          ? shell.env.NETAPP_PASSPHRASE || undefined
          : readPassphrase(resolve(shell.cwd, passphraseFile)),
      signal: shell.signal,
    });
    if (shell.json) await shell.out.line(JSON.stringify(done));
    else await shell.out.line(`restored ${done.handle}, as it was on ${done.at}, to ${done.home}`);
    return 0;
  },
});

const verifyExport = processCommand({
  name: 'conversations verify-export',
  summary: 'Verify what "conversations export" wrote',
  description: 'Every signature, every chain, the order, and that nothing is missing. Needs no agent and no network.',
  example: 'netapp conversations verify-export bob.ndjson',
  faults: ['unreadable', 'corrupt', 'bad_signature', 'forked', 'too_large'],
  input: z.object({
    file: z.string().meta({ positional: true, description: 'the NDJSON file' }).register(naming, { of: 'path' }),
  }),
  async run({ file }, shell) {
    const [{ verifyExport }, { linesOf }] = await Promise.all([
      import('../chat/export.ts'),
      import('../base/lines.ts'),
    ]);
    const done = await verifyExport(linesOf(resolve(shell.cwd, file)));
    if (shell.json) await shell.out.line(JSON.stringify(done));
    else await shell.out.line(verifiedLine(done));
    return 0;
  },
});

function verifiedLine({ entries, members, gaps }: Verified): string {
  const what = `${entries} entries of a conversation of ${members.length}, each signed`;
  if (gaps === 0) return `${what}, none missing`;
  return `${what}; at ${gaps} places earlier ones are missing: the room does not show newcomers all that was said`;
}

const doctor = processCommand({
  name: 'doctor',
  summary: 'Look whether all is well, and say what to do where it is not',
  description:
    'Program, home, disk, store, agent, port, networks, trackers with their keys and clocks, people. With a handle: that person, and every way to their node, tried now. The exit code is 0 where nobody has to act, else that of the first thing to do.',
  example: 'netapp doctor --json',
  faults: [
    'unsupported_version',
    'unreadable',
    'forbidden',
    'disk_full',
    'corrupt',
    'agent_running',
    'agent_down',
    'port_taken',
    'peer_unreachable',
    'tracker_down',
    'timeout',
    'wrong_key',
    'bad_invite',
    'clock_ahead',
    'key_changed',
    'unknown_handle',
    'unknown_zone',
    'wrong_state',
  ],
  input: z.object({
    handle: handleInput
      .optional()
      .meta({ positional: true, description: 'somebody whom to look at: name@zone, or a name in your own zone' })
      .register(naming, { of: 'person' }),
  }),
  async run({ handle }, shell) {
    const [{ doctor }, { readVersion }] = await Promise.all([import('../doctor/doctor.ts'), import('./version.ts')]);
    return doctor(shell, await readVersion(), handle);
  },
});

const chat = processCommand({
  name: 'chat',
  summary: 'Chat in the whole terminal: people, rooms, messages, files',
  description:
    'It needs a terminal and a running agent. ? shows the keys; a line that begins with / is any netapp command.',
  example: 'netapp chat bob',
  faults: ['wrong_state', 'agent_down', 'unknown_handle', 'unknown_zone', 'unknown_id', 'tracker_down', 'link_closed'],
  input: z.object({
    with: targetInput
      .optional()
      .meta({ positional: true, description: 'whom to talk to first: a handle, or a room as #name' }),
  }),
  async run(input, shell) {
    const { chat } = await import('../tui/chat.ts');
    return chat(input, shell);
  },
});

export const processCommands: readonly ProcessCommand[] = [
  up,
  chat,
  configShow,
  tracker,
  doctor,
  demo,
  restore,
  verifyExport,
  ...imCommands,
  ...pathCommands,
];
