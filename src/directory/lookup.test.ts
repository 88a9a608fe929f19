/** A lookup that is answered by heart says what the long way says, to everybody. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Fault, toFault } from '../base/fault.ts';
import { silentLog } from '../base/log.ts';
import { Store } from '../base/sqlite.ts';
import { Answers } from '../link/answers.ts';
import type { Link } from '../link/link.ts';
import { BATCH_BYTES, encodeError, encodeResult, parseFrame } from '../link/message.ts';
import { type Overseer, Router } from '../link/router.ts';
import { DialBack } from './dialback.ts';
import { find } from './messages.ts';
import { DirectoryServer } from './server.ts';
import { DirectoryTable } from './table.ts';
import { Guest, HandClock } from './testing.ts';

const clock = new HandClock();
const table = new DirectoryTable({ store: new Store(':memory:'), clock });
const dialBack = new DialBack({ check: async () => false, clock });
const server = new DirectoryServer({ table, dialBack, zones: ['lab'], clock, log: silentLog(), readsPerMinute: 1e9 });

/** Hears of what is admitted and how it ended. */
class Watch implements Overseer {
  left = 1e9;
  readonly endings: string[] = [];

  admit(link: Link): void {
    if (!this.admitAll(link, 1)) throw new Fault('too_many', 'enough');
  }

  admitAll(_link: Link, many: number): boolean {
    if (this.left < many) return false;
    this.left -= many;
    return true;
  }

  ended(method: string, outcome: string, many = 1): void {
    for (let n = 0; n < many; n++) this.endings.push(`${method} ${outcome}`);
  }
}

/** The tracker's table of methods, and the same without what is answered by heart. */
function tables(): { quick: Router; long: Router; watch: Watch } {
  const watch = new Watch();
  const [quick, long] = [new Router({ overseer: watch }), new Router()];
  server.attach(quick);
  long.quick = () => long;
  server.attach(long);
  return { quick, long, watch };
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

/** What is said to one request by the long way, as it would stand in a frame. */
function askLong(router: Router, link: Link, id: number, name: string, params: unknown): unknown {
  try {
    const answer = router.answer(name, params, 100, { link, signal: new AbortController().signal });
    return JSON.parse(encodeResult(id, answer));
  } catch (error) {
    return JSON.parse(encodeError(id, toFault(error)));
  }
}

/** The messages of a WebSocket's frame that is not masked. */
function messagesOf(frame: Buffer, bytes: number): unknown[] {
  expect(frame[0]).toBe(0x81);
  const short = frame[1] ?? 0;
  const [size, head] =
    short < 126 ? [short, 2] : short === 126 ? [frame.readUInt16BE(2), 4] : [Number(frame.readBigUInt64BE(2)), 10];
  expect([frame.length, bytes]).toEqual([head + size, size]);
  expect(size).toBeLessThanOrEqual(BATCH_BYTES);
  const said: unknown = JSON.parse(frame.subarray(head).toString());
  expect(Array.isArray(said) && said.length < 2).toBe(false);
  return Array.isArray(said) ? said : [said];
}

/** What is answered to a frame by heart and, in between, the long way; undefined where none of it is. */
function askQuickly(router: Router, link: Link, text: string, most = 1024): unknown[] | undefined {
  const answers = new Answers();
  const said: unknown[] = [];
  const outlet = {
    most,
    sendFrame: (frame: Buffer, bytes: number, done: () => void) => {
      said.push(...messagesOf(frame, bytes));
      done();
    },
  };
  const done = router.answerByHeart(Buffer.from(text), link, {
    takesSeveral: true,
    answers: () => {
      answers.begin(outlet);
      return answers;
    },
    rest: (id, name, params) => {
      answers.close();
      said.push(askLong(router, link, id, name, params));
    },
  });
  answers.close();
  expect(done || said.length === 0).toBe(true);
  return done ? said : undefined;
}

const handle = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('alice@lab', 'bob@lab', 'robert@lab', 'carol@lab', 'nobody@lab') },
  fc.constantFrom(
    'ALICE@lab',
    'alice',
    '__proto__',
    '',
    'alice@lab ',
    'alice\\u0040lab',
    'ålice@lab',
    'alice"',
    'x'.repeat(300),
  ),
  fc.string(),
);
const request = fc.record({
  jsonrpc: fc.constant('2.0'),
  id: fc.oneof({ weight: 60, arbitrary: fc.nat() }, fc.constantFrom(0, 2 ** 53 - 1, 2 ** 53, -1, 1.5, 1e21, '1', null)),
  method: fc.oneof(
    { weight: 60, arbitrary: fc.constant(find.name) },
    fc.constantFrom('directory.list', 'directory.fin'),
  ),
  params: fc.oneof(
    { weight: 60, arbitrary: fc.record({ handle }) },
    fc.record({ handle, account: fc.constantFrom(alice, bob) }),
    fc.record({ account: fc.constantFrom(alice, bob, carol, 'nobody') }),
    fc.jsonValue(),
  ),
});
/** One request or several, mostly as programs write them, and with a character more, less or changed. */
const frame = fc
  .tuple(
    fc.oneof(request, fc.array(request, { maxLength: 12 })),
    fc.option(fc.tuple(fc.nat(), fc.constantFrom('', '0', ' ', '"', ',', '[', ']', '{', '}', 'x', '\u007f', 'é')), {
      freq: 1,
    }),
    fc.boolean(),
  )
  .map(([said, change, keeps]) => {
    const text = JSON.stringify(said);
    if (!change) return text;
    const at = change[0] % (text.length + 1);
    return `${text.slice(0, at)}${change[1]}${text.slice(keeps ? at : at + 1)}`;
  });

test('whatever is asked, by whomever: what is answered by heart says what the long way says', () => {
  const { quick, long, watch } = tables();
  const outcomes = new Set<string>();
  let byHeart = 0;
  fc.assert(
    fc.property(frame, fc.constantFrom(...askers), fc.constantFrom(1, 2, 1024), (text, link, most) => {
      watch.endings.length = 0;
      const before = watch.left;
      const answers = askQuickly(quick, link, text, most);
      if (!answers) {
        expect(watch.left).toBe(before);
        return;
      }
      byHeart += 1;
      const asked = [parseFrame(text, Buffer.byteLength(text), true)].flat();
      const wanted = asked.map((one) =>
        one.kind === 'request' ? askLong(long, link, one.id, one.method, one.params) : expect.fail('it is a request'),
      );
      expect(answers).toEqual(wanted);
      expect(before - watch.left).toBe(asked.length);
      const ended = wanted.map((one) => {
        const [, code = 'ok'] = /"data":\{"code":"(\w+)"/.exec(JSON.stringify(one)) ?? [];
        return `${find.name} ${code}`;
      });
      expect(watch.endings.toSorted()).toEqual(ended.toSorted());
      for (const one of ended) outcomes.add(one);
    }),
    { numRuns: 3000 },
  );
  expect(byHeart).toBeGreaterThan(100);
  expect([...outcomes].toSorted()).toEqual(
    ['ok', 'unknown_handle']
      .map((code) => `${find.name} ${code}`)
      .concat([`${find.name} invalid_argument`])
      .toSorted(),
  );
});

const asking = (handles: readonly string[]): string =>
  JSON.stringify(handles.map((name, id) => ({ jsonrpc: '2.0', id, method: find.name, params: { handle: name } })));

test('nothing of a frame is answered by heart where some of it would be refused for being too much [D-14] [A-43]', () => {
  const { quick, watch } = tables();
  const [link = expect.fail()] = askers;
  watch.left = 2;
  expect(askQuickly(quick, link, asking(['alice@lab', 'nobody@lab', 'alice@lab', 'alice@lab']))).toBeUndefined();
  expect([watch.left, watch.endings]).toEqual([2, []]);
  expect(askQuickly(quick, link, asking(['alice@lab', 'alice@lab']))).toHaveLength(2);
  expect([watch.left, watch.endings.length]).toEqual([0, 2]);

  const strict = new DirectoryServer({ table, dialBack, zones: ['lab'], clock, log: silentLog(), readsPerMinute: 3 });
  const router = new Router();
  strict.attach(router);
  const other = linkOf(undefined, '192.0.2.9:1');
  expect(askQuickly(router, other, asking(['alice@lab', 'alice@lab']))).toHaveLength(2);
  expect(askQuickly(router, other, asking(['alice@lab', 'alice@lab']))).toBeUndefined();
  expect(askQuickly(router, other, asking(['alice@lab']))).toHaveLength(1);
  expect(askQuickly(router, other, asking(['alice@lab']))).toBeUndefined();
});

test('more answers than a frame holds leave in several, each whole [L-35]', () => {
  const { quick } = tables();
  const [link = expect.fail()] = askers;
  const names = Array.from({ length: 500 }, () => 'alice@lab');
  const answers = askQuickly(quick, link, asking(names)) as { id: number }[];
  expect(answers.map(({ id }) => id)).toEqual(names.map((_, n) => n));
});
