/** Delivery over real connections, and under whatever happens to links and processes. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { silentLog } from '../base/log.ts';
import { createIdentity } from '../link/certificate.ts';
import { dialLink } from '../link/dial.ts';
import { Listener } from '../link/listen.ts';
import { type Person, World } from './fixture.ts';
import type { State } from './message.ts';

test('over TLS: three accounts talk, each pair in its own conversation', async () => {
  await using world = new World();
  const listeners: Listener[] = [];
  const addresses = new Map<string, { address: string; node: string }>();
  const people: Person[] = [];
  for (const name of ['alice', 'bob', 'carol']) {
    const identity = await createIdentity();
    const person = await world.person(name, { node: identity.key, boot: false });
    person.dial = async (account, { signal }) => {
      const { address, node } = addresses.get(account) ?? expect.fail('an unknown account');
      const { router } = person;
      const common = { identity, router, self: () => person.hello, clock: systemClock, log: silentLog() };
      const link = await dialLink({ ...common, address, expect: node, signal });
      person.hold(link);
      return link;
    };
    person.boot();
    const listener = new Listener({
      host: '127.0.0.1',
      port: 0,
      identity,
      router: person.router,
      self: () => person.hello,
      clock: systemClock,
      log: silentLog(),
      onLink: (link) => person.hold(link),
    });
    await listener.start();
    addresses.set(person.id, { address: `127.0.0.1:${listener.port}`, node: identity.id });
    listeners.push(listener);
    people.push(person);
  }
  for (const from of people) {
    for (const to of people) {
      if (from !== to) for (let n = 0; n < 5; n++) from.chat.say(to.id, { text: `${n}` });
    }
  }
  for (const person of people) {
    await person.seen('message.delivered', 10);
    await person.seen('message.received', 10);
  }
  for (const person of people) {
    for (const other of people) if (person !== other) expect(person.texts(other)).toEqual(other.texts(person));
    expect(person.chat.list({ limit: 1000 })).toHaveLength(20);
  }
  for (const listener of listeners) await listener[Symbol.asyncDispose]();
});

const rank: Record<State, number> = { queued: 0, held: 1, delivered: 2, read: 3, failed: 4, received: 0 };

/** Settles after everything that is under way in memory had a turn. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('whatever happens, no state goes back, and in the end everything is there once, in one order [C-16]', async () => {
  const what = fc.constantFrom('say', 'say', 'cut', 'link', 'read', 'restart', 'away', 'back', 'turn', 'turn', 'turn');
  const steps = fc.array(fc.record({ what, who: fc.boolean() }), { minLength: 5, maxLength: 40 });
  const property = fc.asyncProperty(steps, async (plan) => {
    await using world = new World();
    const people = [await world.person('a'), await world.person('b')] as const;
    const best = new Map<string, number>();
    const check = (): void => {
      for (const person of people) {
        for (const { id, state, author } of person.chat.list({ limit: 1000 })) {
          if (author !== person.id) continue;
          expect(rank[state]).toBeGreaterThanOrEqual(best.get(id) ?? 0);
          best.set(id, rank[state]);
        }
      }
    };
    for (const { what, who } of plan) {
      const [me, other] = who ? people : ([people[1], people[0]] as const);
      world.now += 7;
      if (what === 'say') me.chat.say(other.id, { text: `${best.size}` });
      if (what === 'cut') me.cut();
      if (what === 'link' && me.online && other.online) await me.link(other).catch(() => {}); // cut while greeting
      const newest = me.chat.list({ limit: 1 })[0];
      if (what === 'read' && newest) me.chat.markRead(newest.id);
      if (what === 'restart') await me.restart();
      if (what === 'away') me.online = false;
      if (what === 'back') me.online = true;
      if (what === 'turn') await turn();
      check();
    }
    const [a, b] = people;
    for (const person of people) person.online = true;
    await a.link(b);
    await Promise.all(people.map((person) => person.until(() => person.chat.waiting() === 0)));
    check();
    expect(a.texts(b)).toHaveLength(plan.filter((step) => step.what === 'say').length);
    expect(a.chat.list({ limit: 1000 }).map(({ id }) => id)).toEqual(b.chat.list({ limit: 1000 }).map(({ id }) => id));
    for (const person of people) {
      const received = person.events.filter(({ type }) => type === 'message.received').map(({ message }) => message.id);
      expect(new Set(received).size).toBe(received.length);
    }
  });
  await fc.assert(property, { numRuns: 25 });
});
