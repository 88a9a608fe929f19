/** A running node as what the operations need. */
import type { Backend } from '../api/backend.ts';
import type { FileInfo, Finding, Person, Status, Zone } from '../api/shapes.ts';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Node } from '../node/node.ts';
import { takeRestored } from '../node/restored.ts';
import { readPassphrase } from '../node/sealed.ts';
import { administrationOf } from './administration.ts';
import { doorsOf } from './doors.ts';
import { fileControlOf } from './files.ts';
import { JobStore } from './job-store.ts';
import { Jobs } from './jobs.ts';
import { worldOf } from './needs.ts';
import { networkOf } from './network.ts';
import { talkOf } from './talk.ts';

type Wait = { signal?: AbortSignal | undefined };

const timeOf = (at: number | null): string | null => (at === null ? null : new Date(at).toISOString());

const zoneView = ({ until, seen, ...rest }: Awaited<ReturnType<Node['zones']['revoke']>>): Zone => ({
  ...rest,
  until: timeOf(until),
  seen: timeOf(seen),
});

/** `invite`: the one to give to others, where it differs from the one by which the node itself finds its tracker. */
/** How others find this node and get to it. */
function reachView({ mapping, neighbours }: Node): Status['reach'] {
  const { error, until, ...rest } = mapping?.state ?? MAPPING_OFF;
  const { networks, found, refused } = neighbours.state ?? { networks: [], found: 0, refused: null };
  return {
    mapping: { ...rest, until: timeOf(until), error: error?.message ?? null, code: error?.code ?? null },
    lan: { on: refused !== null, networks, found, refused },
  };
}

const MAPPING_OFF = {
  state: 'off',
  by: null,
  outside: null,
  isPublic: null,
  until: null,
  gateway: null,
  error: null,
} as const;

export function backendOf(
  node: Node,
  options: {
    version: string;
    clock: Clock;
    log: Log;
    invite?: (() => string | undefined) | undefined;
    /** The doctor's findings about an agent that says this of itself; without it none. */
    examine?: (agent: Status, options: Wait) => Promise<Finding[]>;
  },
): Backend {
  const { directory, chat, files, peers, events, contacts } = node;
  const kept = new JobStore(node.store);
  const { account, target, resolved, ...talk } = talkOf(node, { kept, clock: options.clock });
  const fileId = (text: string): string => files.idOf(text);
  const find = async (handle: string, wait: Wait): Promise<Person> =>
    node.personView(await directory.find(handle, wait));
  const me = (): Person => node.personView(directory.me());
  const person = (id: string): Person => {
    const known = directory.get(id);
    if (known) return node.personView(known);
    // Blocked by their key alone: no tracker has said who it is.
    const nobody = {
      handle: id,
      account: id,
      node: '',
      text: '',
      addresses: [],
      lastSeen: 0,
      me: false,
      former: false,
      hosted: false,
    };
    return node.personView({ ...nobody, status: 'offline' });
  };

  async function* followFile(id: string, { signal }: Wait): AsyncGenerator<FileInfo> {
    for await (const transfer of files.follow(fileId(id), { signal })) yield node.fileView(transfer);
  }

  const followEvents: Backend['events']['follow'] = async ({ match, ...options }) =>
    events.follow({ ...options, match: match && (await resolved(match, options)) });

  const jobs = new Jobs(
    {
      jobs: kept,
      world: worldOf(node),
      clock: options.clock,
      log: options.log,
      emit: (type, data) => events.emit(type, data),
      restored: () => takeRestored(node.store),
    },
    () => backend,
  );

  const backend: Backend = {
    jobs,

    async status(): Promise<Status> {
      const { handle, id, node: peer, status, text } = me();
      const trackers = directory
        .states()
        .map(({ peer, address, zone, tier, state, used, why, rttMs, error, invite }) => ({
          peer,
          address,
          zone,
          tier,
          state,
          used,
          why,
          rttMs,
          error: error?.message ?? null,
          code: error?.code ?? null,
          invite,
        }));
      const moving = files
        .list()
        .filter(({ state }) => ['accepted', 'fetching', 'serving', 'preparing'].includes(state));
      return {
        handle,
        id,
        node: peer,
        status,
        text,
        home: node.home,
        addresses: node.addresses,
        version: options.version,
        since: new Date(node.since).toISOString(),
        trackers,
        links: peers.links.size,
        queue: { messages: chat.waiting(), files: moving.length },
        reach: reachView(node),
        invite: options.invite?.() ?? trackers[0]?.invite ?? null,
      };
    },

    check: async (wait) => (await options.examine?.(await backend.status(), wait)) ?? [],

    used: () => node.presence.used(),

    async invite() {
      const [tracker] = directory.states();
      if (!tracker) {
        throw new Fault('wrong_state', 'showing the invite: this node has no tracker; join one with its invite link');
      }
      return { invite: options.invite?.() ?? tracker.invite, zone: tracker.zone, tracker: tracker.peer };
    },
    settled: node.settled,

    trackers: {
      async join(invite, options) {
        await node.trackers.join(invite, options);
        return await backend.status();
      },
      async leave(peer) {
        await node.trackers.leave(peer);
        return await backend.status();
      },
    },

    people: {
      async announce(wait) {
        await directory.announceNow(wait);
        return me();
      },
      async list(wait) {
        const people = await directory.refresh(wait).catch((error: unknown) => {
          // What is known already is an answer while no tracker gives a newer one; its people show as offline.
          if (error instanceof Fault && (error.retry || error.code === 'unknown_handle')) return directory.list();
          throw error;
        });
        // Also who was blocked by the key alone.
        const strangers = node.marks.blocked().filter((id) => !directory.get(id));
        return [...people.map(node.personView), ...strangers.map(person)];
      },
      async find(handle, { mode, trace, ...wait }) {
        if (mode === undefined && !trace) {
          const found = await find(handle, wait);
          return { ...found, stale: false, trace: null, link: node.linkTo(found.id) };
        }
        const { person, stale, steps } = await directory.trace(handle, { mode, ...wait });
        const link = node.linkTo(person.account);
        return { ...node.personView(person), stale, trace: trace ? steps : null, link };
      },
      async setStatus(status, text, wait) {
        if (status === 'offline') {
          throw new Fault('invalid_argument', 'setting the status "offline": stop the agent to be offline');
        }
        await node.setStatus(status, text, wait);
        return me();
      },
      async setAutoAccept(handle, autoAccept, wait) {
        files.setAutoAccept(await account(handle, wait), autoAccept);
        return find(handle, wait);
      },
      async verify(handle, { confirm, signal }) {
        const id = await account(handle, { signal });
        const safety = contacts.safety(id);
        if (confirm !== undefined) contacts.confirm(id, confirm);
        const { handle: shown, verifiedAt, verifiedBy } = person(id);
        return { handle: shown, id, ...safety, verifiedAt, verifiedBy };
      },
      acceptKey: async (handle, key, wait) => node.personView(await contacts.accept(handle, key, wait)),
      block: async (handle, wait) => person(await contacts.block(handle, wait)),
      unblock: async (handle, wait) => person(await contacts.unblock(handle, wait)),
    },

    ...talk,

    async backup({ file, passphrase, passphraseFile }) {
      const words = passphraseFile === undefined ? passphrase : await readPassphrase(passphraseFile);
      const { at, ...made } = await node.backup(file, words);
      return { ...made, at: new Date(at).toISOString() };
    },

    files: {
      async send(handle, path, { name, ...wait }) {
        return node.fileView(await files.send(await target(handle, wait), path, { name, id: wait.key }));
      },
      list: async () => files.list().map(node.fileView),
      show: async (id) => node.fileView(files.show(fileId(id))),
      accept: async (id, options) => node.fileView(await files.accept(fileId(id), options)),
      decline: async (id) => node.fileView(files.decline(fileId(id))),
      cancel: async (id) => node.fileView(await files.cancel(fileId(id))),
      follow: followFile,
      ...fileControlOf(node, { account, find }),
    },

    zones: {
      delegate: async (zone, to, wait) => zoneView(await node.zones.delegate(zone, to, wait)),
      list: async (wait) => (await node.zones.list(wait)).map(zoneView),
      revoke: async (zone, wait) => zoneView(await node.zones.revoke(zone, wait)),
      acceptKey: async (zone, key) => node.zones.acceptKey(zone, key),
    },
    administration: administrationOf(node),

    links: {
      list: async () => node.links().map(node.linkView),
      async connect(target, wait) {
        const [, peer, address] = /^(?:([a-z2-7]{52})@)?(.+:\d+)$/.exec(target) ?? [];
        const link = address
          ? await peers.connect(address, peer, wait)
          : await peers.reach(await account(target, wait), wait);
        if (address) await node.neighbours.metBy(link, wait);
        return node.linkView(link);
      },
    },

    network: networkOf(node, account),

    events: { last: () => events.last, follow: followEvents },
    ...doorsOf(node, resolved),
  };
  return backend;
}
