/** The commands of the door for classic IM clients: processes of their own, since it needs no agent. */
import { z } from 'zod';
import { naming } from '../api/operation.ts';
import { Fault } from '../base/fault.ts';
import { type ProcessCommand, processCommand } from '../cli/process-command.ts';
import { port } from './port.ts';

const count = (what: string) =>
  z
    .string()
    .regex(/^\d{1,7}$/, 'expected a whole number')
    .transform(Number)
    .optional()
    .describe(what);

/** Where clients are served, and how: the same for `im` and `tracker`. */
export const doorFlags = {
  imPort: port.optional().describe('port for IM clients; 0: any; default: 6666'),
  imHost: z.string().optional().describe('IP to serve IM clients at; default: 127.0.0.1, this machine alone'),
  imTls: z.boolean().optional().describe('serve IM clients by TLS'),
  imKey: z.string().optional().describe('private key for TLS, as PEM').register(naming, { of: 'path' }),
  imCert: z.string().optional().describe('certificate for TLS, as PEM').register(naming, { of: 'path' }),
  imPlain: z
    .boolean()
    .optional()
    .describe('serve without TLS beyond this machine, too: anybody on the way reads and forges'),
  imPerAddress: count('connections of one address at once; 0: no bound; default: 256'),
  imRate: count('commands a second of one address, ten times as many at once; 0: no bound; default: 100'),
};

const username = z.string().meta({ positional: true, description: 'the name before the @' });
const passwordFile = z
  .string()
  .optional()
  .describe('file whose first line is the password; default: NETAPP_IM_PASSWORD, else one is made and shown')
  .register(naming, { of: 'path' });

const im = processCommand({
  name: 'im run',
  isDefault: true,
  summary: 'Open the door for clients of the classic IM protocol',
  description:
    'Beside any tracker; "netapp tracker --im-port 6666" opens it in the tracker’s own process. Each client gets an account that this gateway holds: what it says is not encrypted to the gateway. Its data stands in the folder im of the home.',
  example: "netapp im --join 'netapp://...'",
  faults: [
    'agent_running',
    'port_taken',
    'bad_invite',
    'wrong_state',
    'tracker_down',
    'wrong_key',
    'corrupt',
    'unreadable',
    'unwritable',
    'disk_full',
  ],
  input: z.object({
    join: z.string().optional().describe('invite link of the tracker whose zone is served; default: the home’s'),
    host: z.string().optional().describe('IP at which nodes reach the gateway; default: all'),
    port: port.optional().describe('port at which nodes reach the gateway; default: any'),
    ...doorFlags,
  }),
  async run(input, shell) {
    const { im } = await import('./im.ts');
    return im(input, shell);
  },
});

const list = processCommand({
  name: 'im list',
  summary: 'List the IM clients that are connected, with their addresses',
  example: 'netapp im list',
  faults: ['agent_down'],
  input: z.object({}),
  async run(_input, shell) {
    const [{ askClients }, { doorPaths }, { homePaths }] = await Promise.all([
      import('../im/control.ts'),
      import('../im/door.ts'),
      import('../node/home.ts'),
    ]);
    const clients = await askClients(doorPaths(homePaths(shell.home).im).control, shell.signal);
    if (shell.json) {
      for (const client of clients) await shell.out.line(JSON.stringify(client));
      return 0;
    }
    await shell.out.table(
      ['NAME', 'STATUS', 'ADDRESS', 'WRITES', 'SINCE'],
      clients.map(({ name, status, address, form, since }) => [name ?? '-', status ?? '-', address, form, since]),
    );
    return 0;
  },
});

const usersAdd = processCommand({
  name: 'im users add',
  summary: 'Set the password without which nobody comes in by this name',
  description:
    'Also a new one for a name that has one. Clients give it as third item of REGISTER, or as "name:password" in the place of the name. It holds at once, also at a gateway that runs.',
  example: 'netapp im users add bob --password-file secret.txt',
  faults: ['unreadable', 'unwritable', 'disk_full', 'corrupt'],
  input: z.object({ name: username, passwordFile }),
  async run({ name, passwordFile: file }, shell) {
    const [{ withRecords, passwordFrom }, { userName }] = await Promise.all([
      import('./im.ts'),
      import('../im/names.ts'),
    ]);
    const user = userName(name);
    const given = await passwordFrom(file, shell);
    const password = given ?? (await import('node:crypto')).randomBytes(9).toString('base64url');
    await withRecords(shell.home, (records) => records.setPassword(user, password));
    const made = given === undefined ? password : null;
    if (shell.json) await shell.out.line(JSON.stringify({ name: user, password: made }));
    else await shell.out.line(made === null ? `"${user}" has a password now` : `the password of "${user}" is ${made}`);
    return 0;
  },
});

const usersRemove = processCommand({
  name: 'im users remove',
  summary: 'Remove a password: anybody may come in by this name again',
  example: 'netapp im users remove bob',
  faults: ['unknown_handle', 'unwritable', 'disk_full', 'corrupt'],
  input: z.object({ name: username }),
  async run({ name }, shell) {
    const [{ withRecords }, { userName }] = await Promise.all([import('./im.ts'), import('../im/names.ts')]);
    const user = userName(name);
    await withRecords(shell.home, (records) => records.removeUser(user));
    await shell.out.line(shell.json ? JSON.stringify({ name: user }) : `"${user}" has no password any more`);
    return 0;
  },
});

const usersList = processCommand({
  name: 'im users list',
  summary: 'List the names that have a password',
  example: 'netapp im users list',
  faults: ['unwritable', 'corrupt'],
  input: z.object({}),
  async run(_input, shell) {
    const { withRecords } = await import('./im.ts');
    const users = await withRecords(shell.home, (records) => records.users());
    if (shell.json) for (const user of users) await shell.out.line(JSON.stringify(user));
    else
      await shell.out.table(
        ['NAME', 'SINCE'],
        users.map(({ name, since }) => [name, since]),
      );
    return 0;
  },
});

const chat = processCommand({
  name: 'im chat',
  summary: 'Chat as a client of the classic IM protocol, line by line',
  description: '/help shows what can be typed. A password is taken from a file or NETAPP_IM_PASSWORD.',
  example: 'netapp im chat bob --im-port 6666',
  faults: ['peer_unreachable', 'link_closed', 'malformed', 'unreadable'],
  input: z.object({
    name: username,
    imHost: z.string().optional().describe('host of the server; default: 127.0.0.1'),
    imPort: port.optional().describe('port of the server; default: 6666'),
    imTls: z.boolean().optional().describe('talk to it by TLS, whatever certificate it shows'),
    passwordFile: passwordFile.describe('file whose first line is the password; default: NETAPP_IM_PASSWORD'),
  }),
  async run({ name, imHost, imPort, imTls, passwordFile: file }, shell) {
    if (imPort === 0)
      throw new Fault('invalid_argument', 'connecting to port 0: name the port that the gateway printed');
    const [{ chat }, { IM_PORT }, { passwordFrom }] = await Promise.all([
      import('../im/chat.ts'),
      import('../im/gateway.ts'),
      import('./im.ts'),
    ]);
    await chat({
      name,
      host: imHost ?? '127.0.0.1',
      port: imPort ?? IM_PORT,
      tls: imTls === true,
      password: await passwordFrom(file, shell),
      stdin: shell.stdin,
      show: (line) => shell.out.line(line),
      note: (line) => shell.notes.line(line),
      json: shell.json,
      signal: shell.signal,
    });
    return 0;
  },
});

export const imCommands: readonly ProcessCommand[] = [im, list, usersAdd, usersRemove, usersList, chat];
