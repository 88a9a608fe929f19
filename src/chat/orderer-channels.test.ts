import { expect, test } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { silentLog } from '../base/log.ts';
import { Store } from '../base/sqlite.ts';
import { bind } from '../link/binding.ts';
import { acceptChannels, openChannel } from '../link/channel.ts';
import type { HelloInfo } from '../link/hello.ts';
import { Key } from '../link/identity.ts';
import { pair } from '../link/pair.ts';
import { Router } from '../link/router.ts';
import { type Ordered, roomId, signChange, signCreation } from './membership.ts';
import { Orderer } from './orderer.ts';
import { changeRoom, createRoom, myRooms, orderedNotice } from './room-wire.ts';

test('accounts on channels of one link are told of a change of their room once, and others each [R-52]', async () => {
  const [home, node] = [Key.generate(), Key.generate()];
  using store = new Store(':memory:');
  const quiet = { clock: systemClock, log: silentLog() };
  const orderer = new Orderer({ key: home, store, ...quiet });
  orderer.start();
  const router = new Router();
  orderer.attach(router);
  const helloOf = (key: Key | undefined, at: Key): HelloInfo => ({
    protocol: { min: 1, max: 1 },
    software: 'test',
    role: key ? 'node' : 'tracker',
    account: key ? bind(key, 'a@lab', at.id, systemClock.now()) : null,
  });
  const self = (): HelloInfo => helloOf(undefined, home);
  acceptChannels(router, { end: () => ({ router, self, onLink: () => {} }), ...quiet });

  const told: { link: string; ordered: Ordered }[] = [];
  const linked = (name: string): Router =>
    new Router().on(orderedNotice, ({ ordered }) => void told.push({ link: name, ordered }));
  const keys = [Key.generate(), Key.generate(), Key.generate()];
  const [owner, second, third] = keys;
  const outsider = Key.generate();
  const own = linked('gateway');
  const [carrier] = await pair(
    { router: own, self: helloOf(Key.generate(), node), id: node.id },
    { router, self: self(), id: home.id },
  );
  const channels = await Promise.all(
    keys.map((key) => openChannel(carrier, { to: null, router: own, self: () => helloOf(key, node), ...quiet })),
  );
  const elsewhere = Key.generate();
  const [alone] = await pair(
    { router: linked('alone'), self: helloOf(outsider, elsewhere), id: elsewhere.id },
    { router, self: self(), id: home.id },
  );
  for (const link of [...channels, alone]) await link.request(myRooms, { after: null });

  const [first] = channels;
  if (!owner || !second || !third || !first) throw new Error('not all are here');
  const at = systemClock.now();
  const creation = signCreation(owner, { name: 'team', home: home.id, history: 'all', at, nonce: 'n' });
  await first.request(createRoom, { creation });
  const targets = [second, third, outsider];
  let last = 0;
  for (const target of targets) {
    const wish = { type: 'invite' as const, target: target.id, role: 'member' as const, base: last, upTo: null, at };
    const change = signChange(owner, { ...wish, conversation: roomId(creation) });
    last = (await first.request(changeRoom, { change })).ordered.number;
  }
  await alone.request(myRooms, { after: null }); // what was told before the answer is here
  await first.request(myRooms, { after: null });
  expect(told.filter(({ link }) => link === 'gateway').map(({ ordered }) => ordered.number)).toEqual([1, 2, 3]);
  expect(told.filter(({ link }) => link === 'alone').map(({ ordered }) => ordered.number)).toEqual([3]);
});
