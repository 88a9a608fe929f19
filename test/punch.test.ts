/** Two people at home, each behind a NAT: what they say goes through a hole in both, where one can be made; else it is told why not. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { canMakeNats, type NatKind, NatWorld } from './nat-world.ts';
import { needs } from './needs.ts';
import { type Running, start } from './program.ts';
import { until } from './testnet.ts';

const PROGRAM = resolve(import.meta.dirname, 'punch-program.ts');
const PATIENCE_MS = 60_000;
/** Packets that one node sends to an address where nobody answers it, for both kinds of hole together. */
const MOST_PACKETS = 40;
const possible = canMakeNats();

/** A tracker outside, and what brings up nodes at home; for as long as `opened` is. */
async function outside(opened: AsyncDisposableStack, name: string) {
  const world = opened.use(new NatWorld(name));
  const folder = await mkdtemp(join(tmpdir(), 'netapp-punch-'));
  opened.defer(() => rm(folder, { recursive: true, force: true }));
  const tracker = opened.use(
    await start(join(folder, 'tracker'), ['tracker', '--port', '0'], {
      host: world.server,
      within: world.at('hub'),
      env: { NETAPP_RELAY: 'off' },
    }),
  );
  const invite = tracker.text('invite');
  const up = async (who: string, kind: NatKind): Promise<Running> => {
    world.home(who, kind);
    const args = ['up', '--name', who, '--port', '0', '--join', invite];
    return opened.use(await start(join(folder, who), args, { host: null, within: world.at(who) }));
  };
  return { world, folder, invite, up };
}

test.beforeEach(({ skip }) => {
  needs(possible, 'no NATs can be made here: root, iproute2 and nftables are needed', skip);
});

const toNodes = async ({ client }: Running) => (await client.links.list()).filter(({ role }) => role === 'node');

test.each<[NatKind, string]>([
  ['keeping', 'tcp'],
  ['refusing', 'udp'],
])(
  'through two NATs of the kind "%s" messages and files go, mostly by %s',
  { timeout: 4 * PATIENCE_MS },
  async (kind) => {
    await using opened = new AsyncDisposableStack();
    const { folder, up } = await outside(opened, kind);
    const [anna, bob] = [await up('anna', kind), await up('bob', kind)];
    await until(
      () => anna.client.people.list(),
      (people) => people.some(({ handle, status }) => handle === 'bob@lab' && status === 'online'),
      PATIENCE_MS,
    );
    const { id } = await anna.client.messages.say({ handle: 'bob@lab', text: 'through the wall' });
    await until(
      () => anna.client.messages.show({ id }),
      ({ state }) => state === 'delivered',
      PATIENCE_MS,
    );
    const bytes = randomBytes(3_000_000);
    const path = join(folder, 'plan.bin');
    await writeFile(path, bytes);
    await anna.client.files.send({ handle: 'bob@lab', path });
    const [offered] = await until(
      () => bob.client.files.list(),
      (files) => files.length > 0,
      PATIENCE_MS,
    );
    const file = offered?.id ?? '';
    await bob.client.files.accept({ id: file, to: folder });
    const done = await until(
      () => bob.client.files.show({ id: file }),
      ({ state }) => state === 'done',
      PATIENCE_MS,
    );
    expect((await readFile(done.path)).equals(bytes)).toBe(true);
    const [link] = await until(
      () => toNodes(anna),
      ([found]) => found?.rung === 'punched',
      PATIENCE_MS,
    );
    expect(link).toMatchObject({ handle: 'bob@lab' });
    expect(await anna.stop(), 'it ends when it is told to').toBe(0);
  },
);

/** What comes of each hole that somebody tries to make to bob, both behind NATs of a kind; and how many packets each side sends. */
async function tried(kind: NatKind) {
  await using opened = new AsyncDisposableStack();
  const { world, folder, invite, up } = await outside(opened, `try-${kind}`);
  await up('bob', kind);
  world.home('anna', kind);
  const counts = [world.count('anna', '203.0.113.11'), world.count('bob', '203.0.113.12')];
  const [command = '', ...words] = [...world.at('anna'), process.execPath, PROGRAM];
  const { stdout } = await promisify(execFile)(command, [...words, join(folder, 'anna'), 'anna', invite, 'bob@lab']);
  const [tcp, udp] = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  return { tcp, udp, sent: counts.map((count) => count()) };
}

test('UDP gets through where TCP is refused [N-40]', { timeout: 2 * PATIENCE_MS }, async () => {
  expect((await tried('refusing')).udp).toMatchObject({ label: 'udp', made: true });
});

test('where each destination sees another port no hole comes about, little is sent, and it is told why [N-37] [N-38]', {
  timeout: 2 * PATIENCE_MS,
}, async () => {
  const { tcp, udp, sent } = await tried('random');
  const why = expect.stringMatching(/; the NAT here .*gives each destination another port/);
  expect(tcp).toMatchObject({ label: 'tcp', made: false, why });
  expect(udp).toMatchObject({ label: 'udp', made: false, why });
  for (const packets of sent) {
    expect(packets).toBeGreaterThan(0);
    expect(packets).toBeLessThan(MOST_PACKETS);
  }
});
