/** A running node's keys for programs and browsers, and its webhooks, as the operations need them. */
import type { Backend } from '../api/backend.ts';
import type { Fault } from '../base/fault.ts';
import type { Node } from '../node/node.ts';
import type { Pass } from '../node/passes.ts';
import type { WebhookInfo } from '../node/webhooks.ts';

type Wait = { signal?: AbortSignal | undefined };
type Resolve = (patterns: readonly string[], wait: Wait) => Promise<string[]>;

export function doorsOf(
  { doorkeeper, webhooks }: Node,
  resolved: Resolve,
): Pick<Backend, 'webhooks' | 'tokens' | 'sessions' | 'access'> {
  return {
    webhooks: {
      async create(url, match, wait) {
        const { secret, ...made } = webhooks.create(url, await resolved(match, wait));
        return { ...webhookView(made), secret };
      },
      list: async () => webhooks.list().map(webhookView),
      show: async (id) => webhookView(webhooks.show(id)),
      remove: async (id) => webhookView(await webhooks.remove(id)),
      async test(id, wait) {
        const { error, ...tested } = await webhooks.test(id, wait);
        return { ...tested, error: reason(error) };
      },
      dead: async (id) =>
        webhooks.dead(id).map(({ letter, cursor, type, at, attempts, code, message }) => ({
          letter,
          cursor,
          type,
          at: time(at),
          attempts,
          error: { code, message },
        })),
      async replay(id, options) {
        const { error, ...replayed } = await webhooks.replay(id, options);
        return { ...replayed, error: reason(error) };
      },
    },
    tokens: {
      async create(options) {
        const { token, ...made } = doorkeeper.createToken(options);
        return { ...tokenView(made), token };
      },
      list: async () => doorkeeper.tokens().map(tokenView),
      revoke: async (id) => tokenView(doorkeeper.revoke(id)),
    },
    sessions: {
      async open({ origin, ...options }) {
        const { code, until } = doorkeeper.issue(options);
        // Behind #, so that no server and no log sees it; the page there changes it for the cookie.
        return { url: `${origin}/open#${code}`, expires: time(until) };
      },
      list: async () => doorkeeper.sessions().map(sessionView),
      end: async (id) => sessionView(doorkeeper.endSession(id)),
    },
    access: doorkeeper,
  };
}

const time = (ms: number): string => new Date(ms).toISOString();

const reason = (fault: Fault | null) => fault && { code: fault.code, message: fault.message };

const isOver = ({ expires }: Pass): boolean => expires <= Date.now();

function tokenView(pass: Pass) {
  const { id, name, scopes, at, expires, usedAt, ended } = pass;
  const state = ended ? ('revoked' as const) : isOver(pass) ? ('expired' as const) : ('valid' as const);
  return {
    id,
    name,
    scopes: [...scopes],
    at: time(at),
    expires: time(expires),
    usedAt: usedAt === null ? null : time(usedAt),
    state,
  };
}

function sessionView(pass: Pass) {
  const { id, scopes, at, expires, usedAt, ended } = pass;
  const state = ended ? ('ended' as const) : isOver(pass) ? ('expired' as const) : ('open' as const);
  return {
    id,
    scopes: [...scopes],
    at: time(at),
    expires: time(expires),
    usedAt: usedAt === null ? null : time(usedAt),
    state,
  };
}

function webhookView({ failingSince, error, at, match, ...rest }: WebhookInfo) {
  return {
    ...rest,
    match: [...match],
    at: time(at),
    failingSince: failingSince === null ? null : time(failingSince),
    error: reason(error),
  };
}
