/** `netapp up`: this machine's node and agent, and a tracker inside where none is configured, until told to end. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { resolve } from 'node:path';
import { Agent } from '../agent/agent.ts';
import { backendOf } from '../agent/backend.ts';
import { Spool } from '../agent/spool.ts';
import type { Backend } from '../api/backend.ts';
import { deadline } from '../base/async.ts';
import { systemClock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { createLog, type Log } from '../base/log.ts';
import { hasDesktop, openInBrowser } from '../cli/browser.ts';
import type { Shell } from '../cli/shell.ts';
import { type ChosenTracker, type Invite, parseInvite } from '../directory/invite.ts';
import { formatAddress, isProxied } from '../link/address.ts';
import { loadOrCreateKey } from '../link/identity.ts';
import { createHome, type HomeConfig, homePaths, readConfig, writeConfig } from '../node/home.ts';
import { Node } from '../node/node.ts';
import { Tracker } from '../tracker/tracker.ts';
import { behindProxyOf } from './behind-proxy.ts';
import { readCa, readTracker } from './invited.ts';
import { offeredTracker, tellOfTrackers } from './offer.ts';
import { ofTracker, onHangup } from './reload.ts';
import { dnsOf, type Settings, settle } from './settings.ts';
import { readVersion } from './version.ts';

export type UpOptions = {
  name?: string | undefined;
  host?: string | undefined;
  port?: number | undefined;
  join?: string | undefined;
  tracker: string[];
  /** A path, relative to the shell's folder. */
  trackerCa?: string | undefined;
  parent: string[];
  dns: string[];
  zone?: string | undefined;
  trackerPort?: number | undefined;
  mailbox?: boolean | undefined;
  httpPort?: number | undefined;
  /** Opens the page in a browser; undefined: where somebody sits who could look at it. */
  open?: boolean | undefined;
  /** A path, relative to the shell's folder. */
  sharedMemory?: string | undefined;
  /** Bytes of the shared memory. */
  size?: number | undefined;
  lan?: boolean | undefined;
  portMapping?: boolean | undefined;
  presence?: 'zone' | 'contacts' | undefined;
  awayAfter?: number | null | undefined;
};

/** Milliseconds that `up` waits for a tracker's first word before it says that it goes on trying. */
const FIRST_WORD_MS = 3000;

/** Answers with the exit code once it has ended cleanly; throws a `Fault` where it cannot run. */
export async function up(options: UpOptions, shell: Shell): Promise<number> {
  const version = await readVersion();
  await createHome(shell.home);
  const trackerCa = options.trackerCa === undefined ? undefined : resolve(shell.cwd, options.trackerCa);
  const [told, kept] = [givenBy({ ...options, trackerCa }), await readConfig(shell.home)];
  const first = settle(told, shell.env, kept).settings;
  const log = createLog({ name: 'netapp', level: first.log });
  const wanted = await offeredTracker({ given: told, kept, settings: first, shell, log });
  const given = wanted === undefined ? told : { ...told, trackers: [wanted] };
  const { settings } = settle(given, shell.env, kept);

  await using opened = new AsyncDisposableStack();
  const inside = settings.trackers.length
    ? undefined
    : opened.use(await startTracker(settings, settings.host, shell.home, log));
  const ca = settings.trackerCa === undefined ? undefined : await readCa(settings.trackerCa);
  const trackers: ChosenTracker[] = inside
    ? [ownInvite(inside, settings.host)]
    : await Promise.all(settings.trackers.map((text) => readTracker(text, { zone: settings.zone, ca }, shell)));
  const [best] = [...trackers].sort((a, b) => (a.tier ?? 1) - (b.tier ?? 1));
  const handle = `${settings.name}@${best?.zone ?? settings.zone}`;
  const here = { inside };
  const node = opened.use(
    await Node.start({
      home: shell.home,
      handle,
      host: settings.host,
      port: settings.port,
      trackers,
      inside: inside && {
        peer: parseInvite(inside.invite).peer,
        end: async () => {
          here.inside = undefined;
          await inside[Symbol.asyncDispose]();
        },
      },
      lan: settings.lan,
      portMapping: settings.portMapping,
      alsoHere: () => (here.inside ? [here.inside.advert] : []),
      trackerCa: ca,
      presence: settings.presence,
      awayAfterMs: settings.awayAfterMs,
      webhookTargets: settings.webhookTargets,
      dns: dnsOf(settings.dns),
      software: `netapp/${version}`,
      clock: systemClock,
      log,
    }),
  );
  const opens = options.open ?? hasDesktop(shell);
  const httpPort = settings.httpPort ?? (opens ? await portForPage() : undefined);
  const backend = backendOf(node, {
    version,
    clock: systemClock,
    log,
    invite: () => (node.trackers.hasInside ? inside?.invite : undefined),
    examine: async (agent, { signal = shell.signal }) => {
      const { examineAgent } = await import('../doctor/doctor.ts');
      return await examineAgent({
        home: shell.home,
        agentPath: shell.agentPath,
        version,
        agent,
        config: await readConfig(shell.home).catch(() => ({})),
        signal,
      });
    },
  });
  const agent = opened.use(
    new Agent({
      backend,
      socketPath: shell.agentPath,
      tokenPath: homePaths(shell.home).token,
      http: httpPort === undefined ? undefined : { port: httpPort },
      sharedMemory:
        options.sharedMemory === undefined
          ? undefined
          : { path: resolve(shell.cwd, options.sharedMemory), size: options.size },
      log,
    }),
  );
  await agent.start();
  const spool = opened.use(
    new Spool({
      home: shell.home,
      jobs: backend.jobs,
      settled: node.settled,
      log,
      emit: (type, data) => node.events.emit(type, data),
    }),
  );
  await spool.start();
  const read = async () => settle(given, shell.env, await readConfig(shell.home)).settings;
  const apply = (next: Settings): void => {
    if (node.trackers.hasInside) inside?.reload(ofTrackerInside(next, node.account));
  };
  opened.use(onHangup({ settings, read, apply, log }));
  if (inside) opened.defer(tellOfTrackers(node, shell));
  const refused = await firstWord(node, shell.signal);
  await writeConfig(
    shell.home,
    remembered(given, kept, { ...settings, name: nameOf(node.handle) }, node.trackers.kept),
  );
  await say(shell, { node, agent, invite: (await backend.status()).invite, refused });
  if (opens && agent.origin !== undefined) await openPage(backend, agent.origin, shell);
  if (!shell.signal.aborted) await once(shell.signal, 'abort');
  return 0;
}

/** Where the page is if nobody says so: a browser knows its drafts and its consent to notifications by the port, too. */
const PAGE_PORT = 33_380;

/** Another home of this machine may have it: then any. */
async function portForPage(): Promise<number> {
  const server = createServer().listen(PAGE_PORT, '127.0.0.1');
  try {
    await once(server, 'listening');
    return PAGE_PORT;
  } catch {
    return 0;
  } finally {
    server.close();
  }
}

/** A session in a browser lasts so long, as with `netapp open`. */
const SESSION_MS = 12 * 3_600_000;

async function openPage({ sessions }: Backend, origin: string, shell: Shell): Promise<void> {
  const { url } = await sessions.open({ origin, scopes: ['*'], ttlMs: SESSION_MS });
  if (await openInBrowser(url, shell))
    await shell.notes.line('The page is open in your browser; "netapp open" opens it again.');
  else await shell.notes.line('The page: run "netapp open", and follow the link.');
}

/** The flags of `up` as the settings that they are. */
export function givenBy(options: UpOptions): HomeConfig {
  const {
    join,
    tracker,
    parent,
    dns,
    awayAfter,
    open: _open,
    sharedMemory: _sharedMemory,
    size: _size,
    ...rest
  } = options;
  const trackers = [...(join === undefined ? [] : [join]), ...tracker];
  return {
    ...rest,
    trackers: trackers.length > 0 ? trackers : undefined,
    parents: parent.length > 0 ? parent : undefined,
    dns: dns.length > 0 ? dns : undefined,
    awayAfterMs: awayAfter,
  };
}

/** What the next start is to know without being told again; where to listen and to be asked is of one start alone. */
function remembered(given: HomeConfig, kept: HomeConfig, { name, zone }: Settings, trackers: string[]): HomeConfig {
  const { host: _host, httpPort: _httpPort, ...told } = given;
  return { ...kept, ...defined(told), name, zone, trackers };
}

/** As the zone knows it: an admin may have renamed it. */
const nameOf = (handle: string): string => handle.slice(0, handle.indexOf('@'));

function defined(config: HomeConfig): HomeConfig {
  return Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined));
}

const ofTrackerInside = (config: Settings, account: string) => ({
  ...ofTracker(config),
  admins: [account, ...config.admins],
});

async function startTracker(config: Settings, host: string | undefined, home: string, log: Log): Promise<Tracker> {
  const tracker = new Tracker({
    home: homePaths(home).tracker,
    host,
    port: config.trackerPort,
    zone: config.zone,
    zones: config.zones,
    parents: config.parents.map(parseInvite),
    primaries: config.primaries.map(parseInvite),
    dns: dnsOf(config.dns),
    mailbox: config.mailbox,
    engine: config.engine,
    // Whoever runs it administers it.
    ...ofTrackerInside(config, (await loadOrCreateKey(homePaths(home).accountKey)).id),
    behindProxy: behindProxyOf(config),
    metrics: config.metrics,
    log: log.child({ room: 'tracker' }),
  });
  await tracker.start().catch((error: unknown) => {
    if (!(error instanceof Fault) || error.code !== 'port_taken') throw error;
    throw new Fault(
      'port_taken',
      `${error.message.split(';')[0]}; join the tracker that runs there with --join INVITE, or give the one inside another port with --tracker-port (0: any)`,
    );
  });
  return tracker;
}

/** The tracker inside as its own node dials it: over loopback, whatever network the machine is on. */
function ownInvite(tracker: Tracker, host: string | undefined): Invite {
  const { peer, zone, addresses } = parseInvite(tracker.invite);
  if (host === undefined) return { peer, zone, addresses: [`127.0.0.1:${tracker.port}`] };
  const direct = addresses.filter((address) => !isProxied(address));
  return { peer, zone, addresses: direct.length > 0 ? direct : [formatAddress({ host, port: tracker.port })] };
}

/** Waits for a tracker to take the record. Throws a refusal that will not mend by itself; gives why none answers yet. */
async function firstWord(node: Node, signal: AbortSignal): Promise<Fault | undefined> {
  using limit = deadline(FIRST_WORD_MS, 'announcing', signal);
  try {
    await node.directory.ready({ signal: limit });
    return undefined;
  } catch (error) {
    if (error instanceof Fault && error.code === 'revoked') return error; // what was said before is still here to be read
    if (signal.aborted || !limit.aborted) throw error;
    return (
      node.directory.states().find((state) => state.error)?.error ?? new Fault('timeout', 'no tracker answers yet')
    );
  }
}

async function say(
  shell: Shell,
  { node, agent, invite, refused }: { node: Node; agent: Agent; invite: string | null; refused: Fault | undefined },
): Promise<void> {
  const http = agent.httpPort === undefined ? null : `http://127.0.0.1:${agent.httpPort}`;
  const { handle, account, id, port, addresses } = node;
  if (shell.json) {
    const line = { handle, id: account, node: id, port, addresses, agent: shell.agentPath, http, invite };
    shell.stdout.write(`${JSON.stringify(line)}\n`);
  } else {
    const rows = [
      `${handle} is up`,
      ...addresses.map((address) => `  address  ${address}`),
      `  agent    ${shell.agentPath}`,
      ...(http ? [`  http     ${http}  (token in ${homePaths(shell.home).token})`] : []),
      ...(invite ? [`  invite   ${invite}`] : []),
    ];
    shell.stdout.write(`${rows.join('\n')}\n`);
  }
  if (refused) await shell.notes.line(`netapp: ${refused.message}${refused.retry ? '; it goes on trying' : ''}`);
  if (shell.json) return;
  if (invite) await shell.notes.line(`Others join with: netapp up --name NAME --join '${invite}'`);
  await shell.notes.line('Ctrl-C ends it.');
}
