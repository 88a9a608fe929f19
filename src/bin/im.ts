/** `netapp im`: the door for clients of the classic IM protocol, beside any tracker. */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { systemClock } from '../base/clock.ts';
import { Fault, toFault } from '../base/fault.ts';
import { createLog, type Log } from '../base/log.ts';
import { Store } from '../base/sqlite.ts';
import type { Shell } from '../cli/shell.ts';
import type { ChosenTracker } from '../directory/invite.ts';
import { createDoorHome, doorPaths, openDoor } from '../im/door.ts';
import { type Gateway, IM_PORT } from '../im/gateway.ts';
import { LIMITS } from '../im/limits.ts';
import { Records } from '../im/records.ts';
import { loadIdentity } from '../link/certificate.ts';
import { homePaths, readConfig } from '../node/home.ts';
import { startHostingNode } from './hosting-node.ts';
import { readCa, readTracker } from './invited.ts';
import { settle } from './settings.ts';
import { readVersion } from './version.ts';

/** Where clients are served, and how. */
export type DoorOptions = {
  imPort?: number | undefined;
  imHost?: string | undefined;
  imTls?: boolean | undefined;
  imKey?: string | undefined;
  imCert?: string | undefined;
  imPlain?: boolean | undefined;
  imPerAddress?: number | undefined;
  imRate?: number | undefined;
};

export type ImOptions = DoorOptions & {
  join?: string | undefined;
  host?: string | undefined;
  port?: number | undefined;
};

/** Answers with the exit code once it has ended cleanly; throws a `Fault` where it cannot run. */
export async function im(options: ImOptions, shell: Shell): Promise<number> {
  const { join, host, port, ...door } = options;
  const kept = await readConfig(shell.home);
  const { settings } = settle({ host, trackers: join === undefined ? undefined : [join] }, shell.env, kept);
  const log = createLog({ name: 'netapp', level: settings.log });
  const ca = settings.trackerCa === undefined ? undefined : await readCa(settings.trackerCa);
  const { zone } = settings;
  const trackers = await Promise.all(settings.trackers.map((text) => readTracker(text, { zone, ca }, shell)));
  if (trackers.length === 0) {
    throw new Fault(
      'wrong_state',
      'opening the door for IM clients: it needs a tracker; name one with --join INVITE, or run "netapp tracker --im-port 6666"',
    );
  }
  await using opened = await openImDoor(door, { shell, trackers, trackerCa: ca, host: settings.host, port, log });
  await say(shell, opened.gateway, trackers);
  if (!shell.signal.aborted) await once(shell.signal, 'abort');
  return 0;
}

/** Opens the door for clients of the trackers' zone, on the home's folder for it. */
export async function openImDoor(
  options: DoorOptions,
  {
    shell,
    trackers,
    trackerCa,
    host,
    port,
    log,
    identity,
  }: {
    shell: Shell;
    trackers: readonly ChosenTracker[];
    /** PEM of an authority that signed for the proxy of a tracker. */
    trackerCa?: string | undefined;
    /** Where nodes reach the hosting one. */
    host: string | undefined;
    port?: number | undefined;
    log: Log;
    /** Key file whose certificate `--im-tls` shows; default: one of the gateway's own. */
    identity?: string;
  },
): Promise<{ gateway: Gateway } & AsyncDisposable> {
  const { imHost = '127.0.0.1', imPort = IM_PORT, imPerAddress, imRate } = options;
  const home = homePaths(shell.home).im;
  await createDoorHome(home);
  const tls = await tlsOf(options, shell.cwd, identity ?? doorPaths(home).tlsKey);
  checkHost(imHost, { tls: tls !== undefined, plain: options.imPlain === true });
  const version = await readVersion();
  const zone = trackers[0]?.zone ?? '';
  return await openDoor(home, {
    host: imHost,
    port: imPort,
    tls,
    limits: { perAddress: imPerAddress ?? LIMITS.perAddress, rate: imRate ?? LIMITS.rate },
    clock: systemClock,
    log: log.child({ room: 'im' }),
    startHosting: (folder) =>
      startHostingNode({
        home: folder,
        zone,
        host,
        port: port ?? 0,
        trackers,
        trackerCa,
        version,
        clock: systemClock,
        log: log.child({ room: 'hosting' }),
      }),
  });
}

async function tlsOf(
  { imTls, imKey, imCert }: DoorOptions,
  cwd: string,
  ownKey: string,
): Promise<{ key: string; cert: string } | undefined> {
  if ((imKey === undefined) !== (imCert === undefined)) {
    throw new Fault('invalid_argument', 'serving TLS: --im-key and --im-cert are given together');
  }
  if (imKey !== undefined && imCert !== undefined) {
    const [key, cert] = await Promise.all([readText(resolve(cwd, imKey)), readText(resolve(cwd, imCert))]);
    return { key, cert };
  }
  if (!imTls) return undefined;
  const { key, cert } = await loadIdentity(ownKey);
  return { key: key.pem, cert };
}

async function readText(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch((error: unknown) => {
    throw toFault(error, `reading "${path}"`, 'unreadable');
  });
}

/** Beyond this machine names, passwords and texts could be read and forged on the way. [P-40] */
function checkHost(host: string, { tls, plain }: { tls: boolean; plain: boolean }): void {
  const isLoopback = host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
  if (isLoopback || tls || plain) return;
  throw new Fault(
    'invalid_argument',
    `serving IM clients at "${host}": beyond this machine anybody on the way could read and forge what they say; add --im-tls, or --im-plain if that is meant`,
  );
}

async function say(shell: Shell, gateway: Gateway, trackers: readonly ChosenTracker[]): Promise<void> {
  const { address, port } = gateway;
  const zone = trackers[0]?.zone ?? '';
  if (shell.json) {
    shell.stdout.write(`${JSON.stringify({ im: address, imPort: port, zone })}\n`);
    return;
  }
  shell.stdout.write(`IM clients of ${zone} are served at ${address}\n`);
  await shell.notes.line(`Try: netapp im chat NAME --im-port ${port}`);
  await shell.notes.line('Ctrl-C ends it.');
}

/** The first line of a file, else of the environment's variable; undefined where neither is there. Throws `unreadable`. */
export async function passwordFrom(file: string | undefined, shell: Shell): Promise<string | undefined> {
  if (file === undefined) return shell.env.NETAPP_IM_PASSWORD || undefined;
  const path = resolve(shell.cwd, file);
  const [first = ''] = (await readText(path)).split(/\r?\n/);
  return first;
}

/** What is kept of users, also while the gateway runs. */
export async function withRecords<T>(home: string, work: (records: Records) => T | Promise<T>): Promise<T> {
  const folder = homePaths(home).im;
  await createDoorHome(folder);
  using store = new Store(doorPaths(folder).store);
  return await work(new Records(store, systemClock));
}
