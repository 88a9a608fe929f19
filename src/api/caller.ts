/** Who asks through a door, and what they may do. */
import { Fault } from '../base/fault.ts';

/** `noun:verb` as in the operation table, `noun:*`, a scope that several operations share, or `*` for all. */
export type Scope = string;

export type Caller = {
  /** What the caller showed, for people: a token's name, a session's id. */
  name: string;
  scopes: readonly Scope[];
  /** Aborts when what was shown is revoked or over; open streams end then. */
  signal?: AbortSignal | undefined;
};

/** What is admitted at a door with more than one key. */
export interface Access {
  /** Of the cookie by which a browser's session is known. */
  readonly cookie: string;
  /** Who shows this token; undefined if it is none. Throws `unauthenticated` for one whose time is over. */
  ofToken(token: string): Caller | undefined;
  ofCookie(value: string): Caller | undefined;
  /** The session that a one-time code opens. Throws `unauthenticated`. */
  redeem(code: string): { value: string; seconds: number };
}

type Name = { name: string; scope?: string | undefined };

/** All scopes that stand for an operation. */
function scopesOf({ name, scope }: Name): Scope[] {
  const [noun = ''] = name.split('.');
  return ['*', `${noun}:*`, name.replace('.', ':'), ...(scope === undefined ? [] : [scope])];
}

export function may(caller: Caller, operation: Name): boolean {
  return scopesOf(operation).some((scope) => caller.scopes.includes(scope));
}

/** Throws `forbidden` where the caller, if it is a limited one, may not do this. */
export function demand(caller: Caller | undefined, operation: Name): void {
  if (caller === undefined || may(caller, operation)) return;
  throw new Fault(
    'forbidden',
    `asking for "${operation.name}" with ${caller.name}: it has the scopes ${caller.scopes.join(', ')}; make a token with "${operation.name.replace('.', ':')}"`,
    { data: { needs: operation.name.replace('.', ':') } },
  );
}
