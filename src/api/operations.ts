/** The operations, carried out by whoever stands behind the agent. */
import { withEventMeta } from '@orpc/client';
import { createRouterClient, implement } from '@orpc/server';
import type { z } from 'zod';
import { reasonOf } from '../base/async.ts';
import { Fault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { spanMs } from '../base/span.ts';
import type { Backend } from './backend.ts';
import type { Caller } from './caller.ts';
import { operationList } from './catalogue.ts';
import { type Client, contract } from './contract.ts';
import { errorOf, faultOf } from './failure.ts';
import type { followedMessage } from './messages.ts';
import { checkScopes, permit } from './scopes.ts';
import { type AgentEvent, message } from './shapes.ts';
import { guarded, isStream } from './stream.ts';
import { ended, followed } from './waiting.ts';

export type OperationContext = {
  backend: Backend;
  log: Log;
  /** Aborts when the agent closes, and with it the signal of whoever asks: streams end with `link_closed`. */
  closing?: AbortSignal | undefined;
  /** Throws `too_many` where one more open stream is too many for its door. */
  admitStream?: (() => void) | undefined;
  /** Who asks; undefined where the door itself admits its owner alone: no limits. */
  caller?: Caller | undefined;
  /** Origin of the agent's HTTP door, if it has one. */
  origin?: (() => string | undefined) | undefined;
  /** Makes a received file's address at the origin for previews; undefined where no browser can come. */
  preview?:
    | ((file: { path: string; name: string }) => { url: string; type: string; until: number } | undefined)
    | undefined;
  /** It is a job that asks: whatever is done is done once for this key, and nobody is there for it. */
  key?: string | undefined;
};

/** Followers read by themselves, also while nobody is there. */
const unattended = new Set(
  operationList.filter(({ stream, method }) => stream && method === 'GET').map(({ name }) => name),
);

const base = implement(contract).$context<OperationContext>();

/** Whatever is thrown leaves as a coded fault; a defect is logged here and told nobody. */
const coded = base.middleware(async ({ context, next, path, signal: asked }) => {
  const { closing, log, caller } = context;
  const given: AbortSignal = asked ?? closing ?? new AbortController().signal;
  const signal: AbortSignal = caller?.signal ? AbortSignal.any([given, caller.signal]) : given;
  const failure = (error: unknown): Error => {
    if (closing?.aborted) return errorOf(new Fault('link_closed', 'the agent is closing'));
    if (asked?.aborted) return errorOf(new Fault('cancelled', 'it was cancelled'));
    if (caller?.signal?.aborted) return errorOf(reasonOf(caller.signal));
    const fault = faultOf(error);
    if (fault) return errorOf(fault);
    log.error({ err: error, operation: path.join('.') }, 'an operation failed by a defect');
    return errorOf(new Fault('internal', `${path.join('.')}: a defect in NetApp; the agent’s log says more`));
  };
  try {
    permit(caller, path);
    if (context.key === undefined && !unattended.has(path.join('.'))) context.backend.used();
    const result = await next({ context: { signal } });
    // A job's answer is heard through another operation, which waits.
    const settled = context.key === undefined ? context.backend.settled() : undefined;
    if (settled) await settled;
    if (!isStream(result.output)) return result;
    context.admitStream?.();
    return { ...result, output: guarded(result.output, { signal, fault: failure }) };
  } catch (error) {
    throw failure(error);
  }
});

const os = base.use(coded);

export const operations = os.router({
  status: {
    show: os.status.show.handler(({ context }) => context.backend.status()),
    invite: os.status.invite.handler(({ context }) => context.backend.invite()),
    check: os.status.check.handler(({ context: { backend, signal } }) => backend.check({ signal })),
  },
  people: {
    announce: os.people.announce.handler(({ context: { backend, signal } }) => backend.people.announce({ signal })),
    list: os.people.list.handler(({ context: { backend, signal } }) => backend.people.list({ signal })),
    find: os.people.find.handler(({ context: { backend, signal }, input }) =>
      backend.people.find(input.handle, { mode: input.mode, trace: input.trace, signal }),
    ),
    status: os.people.status.handler(({ context: { backend, signal }, input }) => {
      if (input.status === 'online' && /^offline$/i.test(input.text.trim())) {
        throw new Fault(
          'invalid_argument',
          'saying "offline": that is what others see when your node has gone; say "away", or end the node',
        );
      }
      return backend.people.setStatus(input.status, input.text, { signal });
    }),
    set: os.people.set.handler(({ context: { backend, signal }, input }) =>
      backend.people.setAutoAccept(input.handle, input.autoAccept, { signal }),
    ),
    verify: os.people.verify.handler(({ context: { backend, signal }, input: { handle, confirm } }) =>
      backend.people.verify(handle, { confirm, signal }),
    ),
    acceptKey: os.people.acceptKey.handler(({ context: { backend, signal }, input: { handle, key } }) =>
      backend.people.acceptKey(handle, key, { signal }),
    ),
    block: os.people.block.handler(({ context: { backend, signal }, input }) =>
      backend.people.block(input.handle, { signal }),
    ),
    unblock: os.people.unblock.handler(({ context: { backend, signal }, input }) =>
      backend.people.unblock(input.handle, { signal }),
    ),
  },
  messages: {
    say: os.messages.say.handler(({ context: { backend, signal, key }, input }) =>
      backend.messages.say(input.handle, input.text, { signal, key }),
    ),
    list: os.messages.list.handler(({ context: { backend }, input: { handle, ...page } }) =>
      backend.messages.list(handle, page),
    ),
    show: os.messages.show.handler(({ context: { backend }, input: { id, history } }) =>
      backend.messages.show(id, { history }),
    ),
    reply: os.messages.reply.handler(({ context: { backend, key }, input: { id, text } }) =>
      backend.messages.reply(id, text, { key }),
    ),
    edit: os.messages.edit.handler(({ context: { backend, key }, input: { id, text } }) =>
      backend.messages.edit(id, text, { key }),
    ),
    delete: os.messages.delete.handler(({ context: { backend, key }, input }) =>
      backend.messages.remove(input.id, { key }),
    ),
    react: os.messages.react.handler(({ context: { backend, key }, input: { id, emoji, off } }) =>
      backend.messages.react(id, emoji, { off, key }),
    ),
    read: os.messages.read.handler(({ context: { backend, signal }, input }) =>
      backend.messages.read(input.target, { signal }),
    ),
    typing: os.messages.typing.handler(({ context: { backend, signal }, input: { target, off } }) =>
      backend.messages.typing(target, { off, signal }),
    ),
    search: os.messages.search.handler(({ context: { backend, signal }, input }) =>
      backend.messages.search(input, { signal }),
    ),
    follow: os.messages.follow.handler(async ({ context: { backend, signal }, input, lastEventId }) => {
      const from = input.from ?? cursorOf(lastEventId) ?? backend.events.last();
      return messagesIn(await backend.events.follow({ signal, from, match: ['message.*'] }), backend);
    }),
  },
  rooms: {
    create: os.rooms.create.handler(({ context: { backend, signal, key }, input: { name, members, history } }) =>
      backend.rooms.create(name, { members, history, signal, key }),
    ),
    list: os.rooms.list.handler(({ context: { backend } }) => backend.rooms.list()),
    show: os.rooms.show.handler(({ context: { backend }, input }) => backend.rooms.show(input.room)),
    invite: os.rooms.invite.handler(({ context: { backend, signal, key }, input: { room, handle, role } }) =>
      backend.rooms.invite(room, handle, role, { signal, key }),
    ),
    join: os.rooms.join.handler(({ context: { backend, key }, input }) => backend.rooms.join(input.room, { key })),
    decline: os.rooms.decline.handler(({ context: { backend, key }, input }) =>
      backend.rooms.decline(input.room, { key }),
    ),
    leave: os.rooms.leave.handler(({ context: { backend, key }, input }) => backend.rooms.leave(input.room, { key })),
    remove: os.rooms.remove.handler(({ context: { backend, signal, key }, input: { room, handle } }) =>
      backend.rooms.remove(room, handle, { signal, key }),
    ),
    role: os.rooms.role.handler(({ context: { backend, signal, key }, input: { room, handle, role } }) =>
      backend.rooms.role(room, handle, role, { signal, key }),
    ),
    close: os.rooms.close.handler(({ context: { backend, key }, input }) => backend.rooms.close(input.room, { key })),
  },
  conversations: {
    list: os.conversations.list.handler(({ context: { backend } }) => backend.conversations.list()),
    export: os.conversations.export.handler(({ context: { backend, signal }, input: { target, format } }) =>
      passed(backend.conversations.export(target, { format, signal })),
    ),
  },
  files: {
    send: os.files.send.handler(({ context: { backend, signal, key }, input }) =>
      backend.files.send(input.handle, input.path, { name: input.name, signal, key }),
    ),
    preview: os.files.preview.handler(async ({ context: { backend, preview }, input }) => {
      const { name, path, state, direction, folder } = await backend.files.show(input.id);
      const isHere = path !== '' && folder === undefined && (direction === 'out' || state === 'done');
      if (!isHere) throw new Fault('wrong_state', `showing "${name}": it is not a file that is whole on this machine`);
      const shown = preview?.({ path, name });
      if (!shown) {
        throw new Fault('wrong_state', `showing "${name}": no browser can come here; start with netapp up --http-port`);
      }
      return { ...shown, until: new Date(shown.until).toISOString() };
    }),
    stage: os.files.stage.handler(({ context: { backend }, input }) => backend.files.stage(input)),
    list: os.files.list.handler(({ context: { backend } }) => backend.files.list()),
    show: os.files.show.handler(({ context: { backend }, input }) => backend.files.show(input.id)),
    accept: os.files.accept.handler(({ context: { backend }, input: { id, ...options } }) =>
      backend.files.accept(id, options),
    ),
    get: os.files.get.handler(async ({ context: { backend, signal }, input: { id, ...options } }) => {
      const { state } = await backend.files.show(id);
      const under = state === 'accepted' || state === 'fetching' || state === 'done';
      if (!under) await backend.files.accept(id, options);
      return passed(backend.files.follow(id, { signal }));
    }),
    decline: os.files.decline.handler(({ context: { backend }, input }) => backend.files.decline(input.id)),
    cancel: os.files.cancel.handler(({ context: { backend }, input }) => backend.files.cancel(input.id)),
    follow: os.files.follow.handler(async ({ context: { backend, signal }, input }) => {
      await backend.files.show(input.id); // An unknown id is an answer, not the first event of a stream.
      return passed(backend.files.follow(input.id, { signal }));
    }),
    watch: os.files.watch.handler(({ context: { backend, signal }, input: { untilIdle = false } }) =>
      passed(backend.files.watch({ untilIdle, signal })),
    ),
    pause: os.files.pause.handler(({ context: { backend }, input }) => backend.files.pause(input.id)),
    resume: os.files.resume.handler(({ context: { backend }, input }) => backend.files.resume(input.id)),
    priority: os.files.priority.handler(({ context: { backend }, input: { id, priority } }) =>
      backend.files.priority(id, priority),
    ),
    limit: os.files.limit.handler(({ context: { backend }, input: { id, rate } }) => backend.files.limit(id, rate)),
    limits: os.files.limits.handler(({ context: { backend }, input }) => backend.files.limits(input)),
    autoAccept: os.files.autoAccept.handler(({ context: { backend, signal }, input: { handle, upTo = null, into } }) =>
      backend.files.autoAccept(handle, { upTo, into, signal }),
    ),
    quota: os.files.quota.handler(({ context: { backend, signal }, input }) =>
      backend.files.quota({ ...input, signal }),
    ),
    link: os.files.link.handler(({ context: { backend }, input: { id, ttl } }) =>
      backend.files.link(id, { ttlMs: ttl * 1000 }),
    ),
    links: os.files.links.handler(({ context: { backend } }) => backend.files.links()),
    revoke: os.files.revoke.handler(({ context: { backend }, input }) => backend.files.revoke(input.link)),
    certificate: os.files.certificate.handler(({ context: { backend, signal }, input }) =>
      backend.files.certificate(input.id, { signal }),
    ),
    verify: os.files.verify.handler(async ({ context: { backend, signal }, input: { id, refetch = false } }) => {
      if (id !== undefined) await backend.files.show(id);
      return passed(backend.files.verify({ id, refetch, signal }));
    }),
    gc: os.files.gc.handler(({ context: { backend }, input: { dryRun = false } }) => backend.files.gc({ dryRun })),
  },
  jobs: {
    create: os.jobs.create.handler(({ context: { backend, caller }, input }) => {
      permit(caller, input.operation.split('.')); // A job is carried out without asking again.
      return backend.jobs.create(input);
    }),
    list: os.jobs.list.handler(({ context: { backend }, input }) => backend.jobs.list(input)),
    show: os.jobs.show.handler(({ context: { backend, signal }, input: { id, wait } }) =>
      ended(backend.jobs, id, { ms: wait * 1000, signal }),
    ),
    wait: os.jobs.wait.handler(({ context: { backend, signal }, input: { id, timeout } }) =>
      followed(backend.jobs, id, { seconds: timeout, signal }),
    ),
    cancel: os.jobs.cancel.handler(({ context: { backend }, input }) => backend.jobs.cancel(input.id)),
    retry: os.jobs.retry.handler(({ context: { backend, caller }, input }) => {
      permit(caller, backend.jobs.show(input.id).operation.split('.'));
      return backend.jobs.retry(input.id);
    }),
  },
  trackers: {
    join: os.trackers.join.handler(({ context: { backend, signal }, input: { invite, name, instead } }) =>
      backend.trackers.join(invite, { name, instead, signal }),
    ),
    leave: os.trackers.leave.handler(({ context: { backend }, input }) => backend.trackers.leave(input.peer)),
  },
  zones: {
    delegate: os.zones.delegate.handler(({ context: { backend, signal }, input: { zone, to } }) =>
      backend.zones.delegate(zone, to, { signal }),
    ),
    list: os.zones.list.handler(({ context: { backend, signal } }) => backend.zones.list({ signal })),
    revoke: os.zones.revoke.handler(({ context: { backend, signal }, input: { zone, peer } }) =>
      backend.zones.revoke(zone, { peer, signal }),
    ),
    acceptKey: os.zones.acceptKey.handler(({ context: { backend }, input: { zone, key } }) =>
      backend.zones.acceptKey(zone, key),
    ),
    policy: os.zones.policy.handler(({ context: { backend, signal }, input: { zone, policy } }) =>
      backend.administration.policy(zone, policy, { signal }),
    ),
    invite: os.zones.invite.handler(({ context: { backend, signal }, input: { zone, uses, ttl } }) =>
      backend.administration.invite(zone, { uses, ttlMs: spanMs(ttl) ?? 0, signal }),
    ),
    uninvite: os.zones.uninvite.handler(({ context: { backend, signal }, input: { invite } }) =>
      backend.administration.uninvite(invite, { signal }),
    ),
  },
  handles: {
    list: os.handles.list.handler(({ context: { backend, signal }, input }) =>
      backend.administration.handles(input.zone, { signal }),
    ),
    revoke: os.handles.revoke.handler(({ context: { backend, signal }, input }) =>
      backend.administration.revoke(input.handle, { signal }),
    ),
    rename: os.handles.rename.handler(({ context: { backend, signal }, input: { handle, to } }) =>
      backend.administration.rename(handle, to, { signal }),
    ),
    free: os.handles.free.handler(({ context: { backend, signal }, input }) =>
      backend.administration.free(input.handle, { signal }),
    ),
  },
  links: {
    list: os.links.list.handler(({ context: { backend } }) => backend.links.list()),
    connect: os.links.connect.handler(({ context: { backend, signal }, input }) =>
      backend.links.connect(input.target, { signal }),
    ),
  },
  network: {
    check: os.network.check.handler(({ context: { backend, signal } }) => backend.network.check({ signal })),
    peer: os.network.peer.handler(({ context: { backend, signal }, input }) =>
      backend.network.peer(input.handle, { signal }),
    ),
    lan: os.network.lan.handler(({ context: { backend } }) => backend.network.lan()),
  },
  events: {
    follow: os.events.follow.handler(async ({ context: { backend, signal }, input, lastEventId }) => {
      const from = input.from ?? cursorOf(lastEventId) ?? backend.events.last();
      return numbered(await backend.events.follow({ signal, from, match: input.match }));
    }),
    last: os.events.last.handler(({ context: { backend } }) => ({ last: backend.events.last() })),
  },
  webhooks: {
    create: os.webhooks.create.handler(({ context: { backend, signal, caller }, input: { url, match } }) => {
      permit(caller, ['events', 'follow']); // It is a way to follow them.
      return backend.webhooks.create(url, match ?? [], { signal });
    }),
    list: os.webhooks.list.handler(({ context: { backend } }) => backend.webhooks.list()),
    show: os.webhooks.show.handler(({ context: { backend }, input }) => backend.webhooks.show(input.id)),
    delete: os.webhooks.delete.handler(({ context: { backend }, input }) => backend.webhooks.remove(input.id)),
    test: os.webhooks.test.handler(({ context: { backend, signal }, input }) =>
      backend.webhooks.test(input.id, { signal }),
    ),
    dead: os.webhooks.dead.handler(({ context: { backend }, input }) => backend.webhooks.dead(input.id)),
    replay: os.webhooks.replay.handler(({ context: { backend, signal }, input: { id, letter } }) =>
      backend.webhooks.replay(id, { letter, signal }),
    ),
  },
  tokens: {
    create: os.tokens.create.handler(({ context: { backend, caller }, input: { scope, ttl, name } }) => {
      checkScopes(scope, caller);
      return backend.tokens.create({ scopes: scope, ttlMs: spanMs(ttl) ?? 0, name });
    }),
    list: os.tokens.list.handler(({ context: { backend } }) => backend.tokens.list()),
    revoke: os.tokens.revoke.handler(({ context: { backend }, input }) => backend.tokens.revoke(input.id)),
  },
  sessions: {
    open: os.sessions.open.handler(({ context: { backend, caller, origin }, input }) => {
      const at = origin?.();
      if (at === undefined) {
        throw new Fault(
          'wrong_state',
          'opening the agent in a browser: it has no HTTP door; start it with "netapp up --http-port 0"',
        );
      }
      const scopes = caller?.scopes ?? ['*'];
      return backend.sessions.open({ origin: at, scopes, ttlMs: spanMs(input.ttl) ?? 0 });
    }),
    list: os.sessions.list.handler(({ context: { backend } }) => backend.sessions.list()),
    end: os.sessions.end.handler(({ context: { backend }, input }) => backend.sessions.end(input.id)),
  },
  backup: {
    create: os.backup.create.handler(({ context: { backend }, input }) => once(() => backend.backup(input))),
  },
});

/** One answer as a stream: its door keeps the connection alive, however long the answer takes. */
async function* once<T>(answer: () => Promise<T>): AsyncGenerator<T, void, void> {
  yield await answer();
}

/** The operations in this process, without a door between: the same faults, the same checks. */
export function localClient(context: OperationContext): Client {
  return createRouterClient(operations, {
    context,
    interceptors: [
      async ({ next }) => {
        const fault = (error: unknown) => faultOf(error) ?? new Fault('internal', String(error));
        try {
          const output = await next();
          return isStream(output) ? guarded(output, { fault }) : output;
        } catch (error) {
          throw fault(error);
        }
      },
    ],
  });
}

function cursorOf(lastEventId: string | undefined): number | undefined {
  return lastEventId !== undefined && /^\d{1,15}$/.test(lastEventId) ? Number(lastEventId) : undefined;
}

async function* passed<T>(source: AsyncIterable<T>): AsyncGenerator<T, void, void> {
  yield* source;
}

async function* numbered(source: AsyncIterable<AgentEvent>): AsyncGenerator<AgentEvent, void, void> {
  for await (const event of source) yield withEventMeta(event, { id: String(event.cursor) });
}

/** An event of type `message.*` carries the message, or at least its id. */
async function* messagesIn(
  source: AsyncIterable<AgentEvent>,
  backend: Backend,
): AsyncGenerator<z.infer<typeof followedMessage>, void, void> {
  for await (const { cursor, data } of source) {
    const carried = message.safeParse(data);
    if (!carried.success && typeof data.id !== 'string') continue;
    const found = carried.success ? carried.data : await backend.messages.show(String(data.id));
    yield withEventMeta({ ...found, cursor }, { id: String(cursor) });
  }
}
