import { afterEach, expect, test, vi } from 'vitest';
import { Fault } from '../base/fault.ts';
import { silentLog } from '../base/log.ts';
import { Store } from '../base/sqlite.ts';
import { Key } from '../link/identity.ts';
import type { Link } from '../link/link.ts';
import { pair } from '../link/pair.ts';
import { Router } from '../link/router.ts';
import { DirectoryClient, type DirectoryClientOptions, type PeopleChange } from './client.ts';
import * as messages from './messages.ts';
import { Guest, HandClock, helloOf, Lab } from './testing.ts';

const cleanup: AsyncDisposable[] = [];
afterEach(async () => {
  for (const thing of cleanup.splice(0)) await thing[Symbol.asyncDispose]();
});

/** A tracker that may be down, restarted, or another one in disguise. */
class Net {
  readonly clock = new HandClock();
  readonly key = Key.generate();
  router: Router | undefined;
  lab: Lab;
  readonly ends: Link[] = [];

  constructor() {
    this.lab = new Lab({ clock: this.clock });
    this.router = this.lab.router;
  }

  /** All links are cut; the tracker is back at once, on the same store. */
  restart(): void {
    this.lab.table.flush();
    this.clock.pass(1);
    this.lab = new Lab({ clock: this.clock, store: this.lab.store });
    this.router = this.lab.router;
    this.cut();
  }

  stop(): void {
    this.router = undefined;
    this.cut();
  }

  cut(): void {
    for (const end of this.ends.splice(0)) end.close();
  }

  get invite(): { peer: string; addresses: string[]; zone: string } {
    return { peer: this.key.id, addresses: ['192.0.2.2:1', '192.0.2.1:22236'], zone: 'lab' };
  }

  client(guest: Guest, over: Partial<DirectoryClientOptions> = {}): DirectoryClient {
    const router = new Router();
    const client = new DirectoryClient({
      trackers: [this.invite],
      dial: async (address) => {
        if (!this.router || address !== '192.0.2.1:22236')
          throw new Fault('peer_unreachable', `dialling "${address}": no`);
        const [near, far] = await pair(
          { router, self: guest.hello, id: guest.node.id },
          { router: this.router, self: helloOf('tracker'), id: this.key.id },
          this.clock,
        );
        this.ends.push(far);
        return near;
      },
      account: guest.account,
      handle: `${guest.name}@lab`,
      node: guest.node.id,
      addresses: () => [],
      store: new Store(':memory:'),
      clock: this.clock,
      log: silentLog(),
      ...over,
    }).attach(router);
    client.start();
    cleanup.push(client);
    return client;
  }
}

const until = (client: DirectoryClient, match: (change: PeopleChange) => boolean): Promise<PeopleChange> =>
  new Promise((resolve) => {
    const end = client.onChange((change) => {
      if (!match(change)) return;
      end();
      resolve(change);
    });
  });
const of = (type: PeopleChange['type'], handle: string) => (change: PeopleChange) =>
  change.type === type && ('person' in change ? change.person.handle : change.handle) === handle;

test('two nodes see each other come, change and go, without being asked', async () => {
  const net = new Net();
  const alice = net.client(new Guest('alice', net.clock));
  await alice.ready();
  const comes = until(alice, of('online', 'bob@lab'));
  const bobGuest = new Guest('bob', net.clock);
  const bob = net.client(bobGuest);
  await Promise.all([bob.ready(), comes]);
  expect(alice.list().map(({ handle, me, status }) => ({ handle, me, status }))).toEqual([
    { handle: 'alice@lab', me: true, status: 'online' },
    { handle: 'bob@lab', me: false, status: 'online' },
  ]);
  const changes = until(alice, of('changed', 'bob@lab'));
  net.clock.pass(1);
  await bob.setStatus('away', 'lunch');
  expect(await changes).toMatchObject({ person: { status: 'away', text: 'lunch', account: bobGuest.account.id } });
  const goes = until(alice, of('offline', 'bob@lab'));
  await bob[Symbol.asyncDispose](); // a goodbye: no grace
  await goes;
  expect(await alice.find('bob@lab')).toMatchObject({ status: 'offline', text: 'lunch' });
});

test('a person is found by handle in any case, by name in the own zone, and by account id', async () => {
  const net = new Net();
  const bob = new Guest('bob', net.clock);
  const [alice] = [net.client(new Guest('alice', net.clock)), net.client(bob)];
  await alice.ready();
  for (const who of ['bob@lab', ' Bob ', bob.account.id]) {
    expect(await alice.find(who)).toMatchObject({ handle: 'bob@lab', account: bob.account.id, node: bob.node.id });
  }
  expect(await alice.find('alice')).toMatchObject({ me: true });
  await expect(alice.find('nobody')).rejects.toMatchObject({ code: 'unknown_handle' });
  await expect(alice.find('no body')).rejects.toMatchObject({ code: 'invalid_argument' });
});

test('after a restart of the tracker a node announces, lists and watches again by itself', async () => {
  const net = new Net();
  const alice = net.client(new Guest('alice', net.clock));
  const bob = new Guest('bob', net.clock);
  net.client(bob);
  await alice.ready();
  await alice.find('bob');
  const gone: PeopleChange[] = [];
  alice.onChange((change) => gone.push(change));
  net.restart();
  await vi.waitFor(() => expect([...net.lab.table.since(undefined).rows]).toHaveLength(2));
  await vi.waitFor(() => expect(net.ends).toHaveLength(2));
  await vi.waitFor(() => expect(alice.states()[0]).toMatchObject({ state: 'up', announced: true }));
  expect(gone).toEqual([]); // a restart of the tracker is no news about people
  const carol = new Guest('carol', net.clock);
  const comes = until(alice, of('online', 'carol@lab'));
  net.client(carol);
  await comes;
});

test('a name that belongs to another key ends the wait with name_taken, and the rest still works', async () => {
  const net = new Net();
  await net.client(new Guest('alice', net.clock)).ready();
  const second = net.client(new Guest('alice', net.clock), { handle: 'alice@lab' });
  await expect(second.ready()).rejects.toMatchObject({ code: 'name_taken' });
  expect(second.states()).toMatchObject([{ announced: false, error: { code: 'name_taken' } }]);
});

test('a zone that the tracker does not serve ends the wait, too', async () => {
  const net = new Net();
  const lost = net.client(new Guest('alice', net.clock), { handle: 'alice@elsewhere' });
  await expect(lost.ready()).rejects.toMatchObject({ code: 'unknown_zone' });
});

test('another key for a known handle is key_changed, until the user trusts it [D-8]', async () => {
  const net = new Net();
  const alice = net.client(new Guest('alice', net.clock));
  const bob = new Guest('bob', net.clock);
  await net.client(bob).ready();
  await alice.find('bob');
  const told = until(alice, of('key_changed', 'bob@lab'));
  net.clock.pass(1);
  net.lab = new Lab({ clock: net.clock }); // its store was lost, or it lies
  net.router = net.lab.router;
  const mallory = new Guest('bob', net.clock);
  net.lab.table.announce(mallory.record(), '192.0.2.1', {}, []);
  net.cut();
  expect(await told).toMatchObject({ pinned: bob.account.id, shown: mallory.account.id });
  await expect(alice.find('bob')).rejects.toMatchObject({
    code: 'key_changed',
    message: expect.stringContaining(mallory.account.id),
  });
  expect(await alice.find(bob.account.id)).toMatchObject({ account: bob.account.id });
  alice.accept('bob', mallory.account.id);
  expect(await alice.find('bob')).toMatchObject({ account: mallory.account.id });
});

test('a tracker that lies about where somebody is is not believed [D-7]', async () => {
  const net = new Net();
  const bob = new Guest('bob', net.clock);
  const forged = { ...bob.record(), node: Key.generate().id, addresses: ['203.0.113.66:1'] };
  const entry = {
    record: forged,
    verified: ['203.0.113.66:1'],
    observed: null,
    near: false,
    online: true,
    lastSeen: 1,
  };
  const version = '1-1';
  net.router = new Router()
    .handle(messages.announce, () => ({ version, ttlMs: 90_000, observed: 'memory', checked: [], zones: ['lab'] }))
    .handle(messages.list, () => ({ version, full: true, entries: [entry], gone: [], next: null }))
    .handle(messages.watch, () => ({ version }))
    .handle(messages.goodbye, () => ({}))
    .handle(messages.find, () => ({ entry }));
  const alice = net.client(new Guest('alice', net.clock));
  await alice.ready();
  await expect(alice.find('bob')).rejects.toMatchObject({ code: 'unknown_handle' });
  expect(alice.list().filter(({ me }) => !me)).toEqual([]);
  expect(alice.addressesOf(bob.account.id)).toEqual([]);
});

test('with all trackers down, known people still answer, and others are tracker_down with what to do', async () => {
  const net = new Net();
  const store = new Store(':memory:');
  const guest = new Guest('alice', net.clock);
  const first = net.client(guest, { store });
  const bob = new Guest('bob', net.clock);
  await net.client(bob).ready();
  await first.ready();
  await first.find('bob');
  await first[Symbol.asyncDispose]();
  net.stop();
  const later = net.client(guest, { store });
  expect(await later.find('bob')).toMatchObject({ account: bob.account.id, status: 'offline' });
  await expect(later.find('carol')).rejects.toMatchObject({
    code: 'tracker_down',
    message: expect.stringContaining('192.0.2.2:1'),
  });
  await expect(later.refresh()).rejects.toMatchObject({ code: 'tracker_down' });
  await expect(later.ready({ signal: AbortSignal.abort(new Fault('timeout', 'enough')) })).rejects.toMatchObject({
    code: 'timeout',
  });
  await later.setStatus('busy', 'still here'); // told when the tracker is back
  net.restart();
  later.nudge();
  await later.ready();
  expect(net.lab.table.find('alice@lab').record).toMatchObject({ status: 'busy', text: 'still here' });
});

test('a node without trackers knows itself and says how to know more', async () => {
  const net = new Net();
  const alone = net.client(new Guest('alice', net.clock), { trackers: [] });
  await alone.ready();
  expect(alone.list()).toMatchObject([{ handle: 'alice@lab', me: true }]);
  await alone.setStatus('away', '');
  expect(alone.me().status).toBe('away');
  await expect(alone.find('bob')).rejects.toMatchObject({
    code: 'unknown_handle',
    message: expect.stringContaining('invite'),
  });
});

test('a status that would deceive a terminal is invalid_argument [D-3]', async () => {
  const net = new Net();
  const alice = net.client(new Guest('alice', net.clock));
  await expect(alice.setStatus('online', '\u001b[2J')).rejects.toMatchObject({ code: 'invalid_argument' });
});

test('a clock that is behind the tracker’s, or a seq from a clock that was ahead, mends itself [D-4]', async () => {
  const net = new Net();
  const guest = new Guest('alice', net.clock);
  const slow = new HandClock(net.clock.now() - 3600_000);
  net.lab.table.announce(guest.record({ seq: net.clock.now() + 7200_000 }), '192.0.2.1', {}, []);
  const alice = net.client(guest, { clock: slow });
  await alice.ready();
  const { record, online } = net.lab.table.find('alice@lab');
  expect(online).toBe(true);
  expect(record.until).toBe(net.clock.now() + 90_000);
  expect(record.seq).toBeGreaterThan(net.clock.now() + 7200_000);
});

test('the record is renewed before its TTL is over, without being asked [D-12]', async () => {
  const net = new Net();
  net.lab = new Lab({ clock: net.clock, ttlMs: 90 });
  net.router = net.lab.router;
  await net.client(new Guest('alice', net.clock)).ready();
  const { seq } = net.lab.table.find('alice@lab').record;
  await vi.waitFor(() => expect(net.lab.table.find('alice@lab').record.seq).toBeGreaterThan(seq + 1));
});

test('what is pushed while a list is on its way is not overwritten by the list [D-16]', async () => {
  const net = new Net();
  const bob = new Guest('bob', net.clock);
  const entryOf = (text: string, seq: number): messages.Entry => ({
    record: bob.record({ text, seq }),
    verified: [],
    observed: null,
    near: false,
    online: text === 'new',
    lastSeen: 1,
  });
  const version = '1-1';
  const empty = { version, full: true, gone: [] };
  net.router = new Router()
    .handle(messages.announce, () => ({ version, ttlMs: 90_000, observed: 'memory', checked: [], zones: ['lab'] }))
    .handle(messages.watch, () => ({ version }))
    .handle(messages.goodbye, () => ({}))
    .handle(messages.list, ({ after }, { link }) => {
      if (after === undefined) return { ...empty, entries: [entryOf('old', 1)], next: bob.account.id };
      link.notify(messages.changed, { version: '1-2', entries: [entryOf('new', 2)], gone: [], more: false });
      return { ...empty, entries: [], next: null };
    });
  const alice = net.client(new Guest('alice', net.clock));
  await alice.ready();
  await alice.refresh();
  expect(alice.list().find(({ me }) => !me)).toMatchObject({ text: 'new', status: 'online' });
});

test('a tracker that has the record is up, also while its list is on its way', async () => {
  const net = new Net();
  const version = '1-1';
  const listed = Promise.withResolvers<void>();
  net.router = new Router()
    .handle(messages.announce, () => ({ version, ttlMs: 90_000, observed: 'memory', checked: [], zones: ['lab'] }))
    .handle(messages.watch, () => ({ version }))
    .handle(messages.goodbye, () => ({}))
    .handle(messages.list, async () => {
      await listed.promise;
      return { version, full: true, entries: [], gone: [], next: null };
    });
  const alice = net.client(new Guest('alice', net.clock));
  try {
    await alice.ready();
    expect(alice.states()).toMatchObject([{ state: 'up', announced: true, used: false }]);
  } finally {
    listed.resolve();
  }
  await vi.waitFor(() => expect(alice.states()).toMatchObject([{ state: 'up', announced: true, used: true }]));
});

test('a caller who gives up an announce does not end the heartbeat [D-12]', async () => {
  const net = new Net();
  const alice = net.client(new Guest('alice', net.clock));
  await alice.ready();
  const { seq } = net.lab.table.find('alice@lab').record;
  const given = alice.announceNow({ signal: AbortSignal.abort(new Fault('cancelled', 'enough')) });
  await expect(given).rejects.toMatchObject({ code: 'cancelled' });
  await vi.waitFor(() => expect(net.lab.table.find('alice@lab').record.seq).toBeGreaterThan(seq), 5000);
});

test('a stranger that pushes changes is cut off', async () => {
  const net = new Net();
  const router = new Router();
  const alice = new DirectoryClient({
    trackers: [],
    dial: () => Promise.reject(new Error('none')),
    account: Key.generate(),
    handle: 'alice@lab',
    node: Key.generate().id,
    addresses: () => [],
    store: new Store(':memory:'),
    clock: net.clock,
    log: silentLog(),
  }).attach(router);
  alice.start();
  cleanup.push(alice);
  const [stranger] = await pair(
    { router: new Router(), self: helloOf('node'), id: Key.generate().id },
    { router, self: helloOf('node'), id: Key.generate().id },
  );
  stranger.notify(messages.changed, { version: '1-1', entries: [], gone: [], more: false });
  expect(await stranger.closed).toMatchObject({ code: 'forbidden' });
});

test('a node knows its handle also before it listens: its keys are bound to it at the start', () => {
  const guest = new Guest('alice', new HandClock());
  const client = new DirectoryClient({
    trackers: [],
    dial: () => Promise.reject(new Fault('peer_unreachable', 'no')),
    account: guest.account,
    handle: 'alice@lab',
    node: guest.node.id,
    addresses: () => expect.fail('it does not listen yet'),
    store: new Store(':memory:'),
    clock: guest.clock,
    log: silentLog(),
  });
  expect(client.handle).toBe('alice@lab');
});

test('a tracker that renames to a name of another zone is not followed [A-21]', async () => {
  const net = new Net();
  const guest = new Guest('alice', net.clock);
  const client = net.client(guest);
  client.start();
  await client.ready();
  net.lab.store
    .prepare(
      "INSERT INTO directory_handle_marks (handle, state, target, at) VALUES ('alice@lab', 'renamed', 'eve@evil', 1)",
    )
    .run();
  net.clock.pass(1);
  await expect(client.announceNow()).rejects.toMatchObject({ code: 'renamed' });
  expect(client.handle).toBe('alice@lab');
});
