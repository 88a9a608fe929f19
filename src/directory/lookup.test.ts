/** A lookup that is answered by heart says what the long way says, to everybody. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Fault } from '../base/fault.ts';
import { silentLog } from '../base/log.ts';
import { Store } from '../base/sqlite.ts';
import type { Link } from '../link/link.ts';
import { Encoded } from '../link/message.ts';
import { Router } from '../link/router.ts';
import { DialBack } from './dialback.ts';
import { find } from './messages.ts';
import { DirectoryServer } from './server.ts';
import { DirectoryTable } from './table.ts';
import { Guest, HandClock } from './testing.ts';

const clock = new HandClock();
const table = new DirectoryTable({ store: new Store(':memory:'), clock });
const dialBack = new DialBack({ check: async () => false, clock });
const server = new DirectoryServer({ table, dialBack, zones: ['lab'], clock, log: silentLog(), readsPerMinute: 1e9 });

/** The tracker's table of methods, and the same without what is answered by heart. */
function tables(): { quick: Router; long: Router } {
  const [quick, long] = [new Router(), new Router()];
  server.attach(quick);
  const handle = long.handle.bind(long);
  long.handle = (spec, run, options = {}) => handle(spec, run, { ...(options.needs && { needs: options.needs }) });
  server.attach(long);
  return { quick, long };
}

const people = ['alice', 'bob', 'carol'].map((name) => new Guest(name, clock));
for (const [n, guest] of people.entries()) table.announce(guest.record(), `192.0.2.${n}`, guest, [`192.0.2.${n}:1`]);
const [alice, bob, carol] = people.map(({ account }) => account.id);
clock.pass(1);
table.announce(people[1]?.record({ handle: 'robert@lab' }) ?? expect.fail(), '192.0.2.1', {}, []); // was bob@lab
table.hide(carol ?? '', { from: [alice ?? ''], only: null });

/** As much of a link as a lookup looks at. */
const linkOf = (account: string | undefined, address: string): Link =>
  ({
    account: account === undefined ? null : { account },
    address,
    closed: new Promise(() => {}),
    open: true,
  }) as never;
const askers = [alice, bob, carol, undefined].flatMap((account) =>
  ['192.0.2.0:5', '127.0.0.1:5', '10.0.0.1:5', 'memory'].map((address) => linkOf(account, address)),
);

function ask(router: Router, link: Link, params: unknown): unknown {
  try {
    const answer = router.answer(find.name, params, 100, { link, signal: new AbortController().signal });
    return answer instanceof Encoded ? JSON.parse(answer.json) : answer;
  } catch (error) {
    return error instanceof Fault ? [error.code, error.message] : error;
  }
}

test('whatever is asked, by whomever: the same answer, the same fault', () => {
  const { quick, long } = tables();
  const handle = fc.oneof(
    fc.constantFrom('alice@lab', 'bob@lab', 'robert@lab', 'carol@lab', 'nobody@lab', 'ALICE@lab', 'alice', '__proto__'),
    fc.string(),
  );
  const params = fc.oneof(
    { weight: 4, arbitrary: fc.record({ handle }) },
    fc.record({ handle, account: fc.constantFrom(alice, bob) }),
    fc.record({ account: fc.constantFrom(alice, bob, carol, 'nobody') }),
    fc.record({ handle: fc.jsonValue() }),
    fc.jsonValue(),
    fc.constant(JSON.parse('{"handle":"alice@lab","__proto__":1}')),
    fc.constant([{ handle: 'alice@lab' }]),
  );
  const outcomes = new Set<unknown>();
  fc.assert(
    fc.property(params, fc.constantFrom(...askers), (said, link) => {
      const answer = ask(quick, link, said);
      outcomes.add(Array.isArray(answer) ? answer[0] : typeof answer);
      expect(answer).toEqual(ask(long, link, said));
    }),
    { numRuns: 2000 },
  );
  expect(outcomes).toEqual(new Set(['object', 'unknown_handle', 'invalid_argument']));
});
