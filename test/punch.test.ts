/** Two people at home, each behind a NAT: a hole through both, for what can be made through; else the reason why not. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { canMakeNats, type NatKind, NatWorld } from './nat-world.ts';
import { start } from './program.ts';
import { until } from './testnet.ts';

const PATIENCE_MS = 60_000;
const possible = canMakeNats();

async function pair(kinds: [NatKind, NatKind]) {
  await using opened = new AsyncDisposableStack();
  const world = opened.use(new NatWorld(`punch-${kinds.join('-')}`));
  const folder = await mkdtemp(join(tmpdir(), 'netapp-punch-'));
  opened.defer(() => rm(folder, { recursive: true, force: true }));
  const tracker = opened.use(
    await start(join(folder, 'tracker'), ['tracker', '--port', '0'], { host: world.server, within: world.at('hub') }),
  );
  const up = async (name: string, kind: NatKind) => {
    world.home(name, kind);
    const args = ['up', '--name', name, '--port', '0', '--join', tracker.text('invite')];
    return opened.use(
      await start(join(folder, name), args, {
        host: null,
        within: world.at(name),
        env: { NETAPP_LOG_LEVEL: 'debug', NETAPP_LOG: 'debug' },
      }),
    );
  };
  const [anna, bob] = [await up('anna', kinds[0]), await up('bob', kinds[1])];
  await until(
    () => anna.client.people.list(),
    (people) => people.some(({ handle, status }) => handle === 'bob@lab' && status === 'online'),
    PATIENCE_MS,
  );
  const all = opened.move();
  return { world, folder, tracker, anna, bob, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

test.each<[NatKind, NatKind, string]>([['refusing', 'refusing', 'udp']])(
  '%s and %s: a hole by %s',
  { timeout: PATIENCE_MS * 2 },
  async (first, second, label) => {
    expect(possible, 'root, iproute2 and nftables are needed').toBe(true);
    await using made = await pair([first, second]);
    const { anna, bob, folder } = made;
    const { id } = await anna.client.messages.say({ handle: 'bob@lab', text: 'through the wall' });
    await until(
      () => anna.client.messages.show({ id }),
      ({ state }) => state === 'delivered',
      PATIENCE_MS,
    ).catch((e) => {
      console.log(anna.said().slice(-3000), bob.said().slice(-3000));
      throw e;
    });
    console.log(anna.said().slice(0, 6000), '=====', bob.said().slice(0, 3000));
    console.log(await anna.client.links.list(), await bob.client.links.list(), label, folder);
  },
);
