/** Whatever order texts come in, twice or late, each process decides the same. */
import { expect, test } from 'vitest';
import { silentLog } from '../base/log.ts';
import type { Logged, SharedLog } from '../base/shared-log.ts';
import { Store } from '../base/sqlite.ts';
import { Key } from '../link/identity.ts';
import { Admins } from './admin.ts';
import { encodeInvitation } from './invitation.ts';
import { Joining } from './joining.ts';
import { SharedHandles } from './shared-handles.ts';
import { DirectoryTable } from './table.ts';
import { HandClock } from './testing.ts';

const clock = new HandClock();
const key = Key.generate();

/** A log in memory, in which texts stand in the order in which they were let in. */
class TestLog {
  readonly texts: Logged[] = [];
  /** What waits to be let in, where it is held back. */
  readonly held: { key: string; text: string }[] = [];
  isHeld = false;
  readonly #readers: ((logged: Logged) => void)[] = [];

  write(name: string, text: string | null): void {
    const logged = { key: name, text, at: this.texts.length + 1 };
    this.texts.push(logged);
    for (const read of this.#readers) read(logged);
  }

  end(): SharedLog {
    return {
      append: async (name, text) => {
        if (this.isHeld) this.held.push({ key: name, text: text ?? '' });
        else this.write(name, text);
      },
      follow: async (_from, apply) => {
        for (const logged of this.texts) apply(logged);
        this.#readers.push(apply);
      },
    };
  }
}

/** One process: what it says of all handles is what it would answer. */
async function join(log: TestLog) {
  const store = new Store(':memory:');
  const table = new DirectoryTable({ store, clock, epoch: 1 });
  const joining = new Joining({ store, clock, key, admins: new Admins([]) });
  const handles = new SharedHandles({ table, joining, handles: log.end(), clock, log: silentLog() });
  await handles.start();
  const shown = () => ({ handles: table.handles('lab', '', 100), policy: joining.policyOf('lab') });
  return { handles, table, joining, shown };
}

const code = (asked: Promise<unknown>): Promise<string> =>
  asked.then(
    () => 'ok',
    (error) => error.code,
  );

test('a text that comes twice, or late, after what it was meant for, has no effect [K-11]', async () => {
  const log = new TestLog();
  const [one, two] = [await join(log), await join(log)];
  const [alice, bob] = [Key.generate().id, Key.generate().id];
  await one.handles.claim('a@lab', alice, undefined);
  await two.handles.revoke('a@lab');
  await one.handles.free('a@lab');
  const late = log.texts.map((logged) => ({ ...logged }));
  await two.handles.claim('a@lab', bob, undefined);
  const before = one.shown();
  expect(before.handles).toMatchObject([{ handle: 'a@lab', account: bob, state: 'bound' }]);
  for (const { key: name, text } of late) log.write(name, text);
  expect(one.shown()).toEqual(before);
  expect(two.shown()).toEqual(before);
  expect((await join(log)).shown()).toEqual(before);
});

test('of what is asked at two processes at once the first in the order counts, and the other is told what is so [K-11]', async () => {
  const log = new TestLog();
  const [one, two] = [await join(log), await join(log)];
  const alice = Key.generate().id;
  await one.handles.claim('a@lab', alice, undefined);
  const raced = await Promise.all([
    code(one.handles.rename('a@lab', 'b@lab')),
    code(two.handles.rename('a@lab', 'c@lab')),
    code(two.handles.claim('b@lab', Key.generate().id, undefined)),
  ]);
  expect(raced.filter((answer) => answer === 'ok').length).toBeGreaterThan(0);
  expect(one.shown()).toEqual(two.shown());
  expect((await join(log)).shown()).toEqual(one.shown());
  expect(one.shown().handles.filter(({ account, state }) => account === alice && state === 'bound')).toHaveLength(1);
});

test('uses of an invitation are counted in the order, whatever each process saw when it was asked [K-12]', async () => {
  const log = new TestLog();
  const [one, two] = [await join(log), await join(log)];
  await one.handles.setPolicy('lab', 'invite');
  const token = encodeInvitation(one.joining.invite('lab', { uses: 2, ttlMs: 60_000 }));
  // All were asked before any of it was in the order.
  log.isHeld = true;
  const asked = Array.from({ length: 6 }, (_, n) =>
    code((n % 2 ? one : two).handles.claim(`n${n}@lab`, Key.generate().id, token)),
  );
  log.isHeld = false;
  for (const { key: name, text } of log.held) log.write(name, text);
  const answers = await Promise.all(asked);
  expect(answers.filter((answer) => answer === 'ok')).toHaveLength(2);
  expect(answers.filter((answer) => answer === 'not_invited')).toHaveLength(4);
  for (const each of [one, two, await join(log)]) {
    expect(each.shown().handles.map(({ handle }) => handle)).toEqual(['n0@lab', 'n1@lab']);
  }
  // A policy that came first is the one that counts.
  log.isHeld = true;
  log.held.length = 0;
  await one.handles.setPolicy('lab', 'open').catch(() => {});
  log.isHeld = false;
  expect(one.shown().policy).toBe('invite');
  await two.handles.setPolicy('lab', 'closed');
  for (const { key: name, text } of log.held) log.write(name, text);
  expect([one.shown().policy, two.shown().policy]).toEqual(['closed', 'closed']);
});

test('a claim of a process that knew no policies is one, and what is of no form is left out [K-4]', async () => {
  const log = new TestLog();
  const account = Key.generate().id;
  log.write('cluster', '{"peer":"x","born":1}');
  log.write('a/lab', account);
  log.write('a/lab', Key.generate().id);
  for (const text of ['{', '{"act":"burn"}', '[]', 'x', '{"act":"claim","id":"x","after":0,"at":1}'])
    log.write('b/lab', text);
  log.write('policy.lab', '{"act":"policy","id":"x","after":0,"at":1,"policy":"nobody"}');
  const one = await join(log);
  expect(one.shown()).toMatchObject({ handles: [{ handle: 'a@lab', account, state: 'bound' }], policy: 'open' });
});
