/** Scopes of tokens, as the table of operations has them. */
import { Fault } from '../base/fault.ts';
import { nearest } from '../base/nearest.ts';
import type { Caller, Scope } from './caller.ts';
import { demand, may } from './caller.ts';
import { type Operation, operationList } from './catalogue.ts';

const named = (operation: Operation) => ({ name: operation.name, scope: operation.meta.scope });

const nouns = [...new Set(operationList.map(({ path: [noun] }) => `${noun}:*`))];
const verbs = operationList.flatMap(({ path, meta }) => [path.join(':'), ...(meta.scope ? [meta.scope] : [])]);

/** Every scope that there is, `*` the first. */
const allScopes: readonly Scope[] = ['*', ...nouns, ...new Set(verbs)];

const byName = new Map(operationList.map((operation) => [operation.name, named(operation)]));

/** Throws `forbidden` where the caller may not do the operation of this path. */
export function permit(caller: Caller | undefined, path: readonly string[]): void {
  const name = path.join('.');
  demand(caller, byName.get(name) ?? { name });
}

/**
 * Throws `invalid_argument` for a scope that there is not, and `forbidden` for one that says more than the caller's own: nobody
 * makes a key that opens more than theirs.
 */
export function checkScopes(scopes: readonly Scope[], caller: Caller | undefined): void {
  for (const scope of scopes) {
    if (!allScopes.includes(scope)) {
      const near = nearest(scope, allScopes);
      const meant = near === undefined ? '' : `; did you mean "${near}"?`;
      throw new Fault(
        'invalid_argument',
        `making a token for "${scope}": there is no such scope${meant} An operation's scope is noun:verb`,
        { data: { field: 'scope' } },
      );
    }
    if (caller === undefined || caller.scopes.includes('*')) continue;
    const covered = operationList.filter((operation) => may({ name: '', scopes: [scope] }, named(operation)));
    if (covered.every((operation) => may(caller, named(operation)))) continue;
    throw new Fault('forbidden', `making a token for "${scope}" with ${caller.name}: it says more than your own does`);
  }
}
