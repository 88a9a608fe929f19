/** A node in a private network whose router, Debian's miniupnpd, maps a port; a tracker and another node stand outside. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Running, start } from './program.ts';
import { runIn, Switch, within } from './switch.ts';
import { eventOf, until } from './testnet.ts';

const ON = { NETAPP_PORT_MAPPING: 'on' };
/** The world exists in the namespaces of this test alone; the router takes no address that is kept for examples. */
const OUTSIDE = '11.22.33.1';

const hasRouter = spawnSync('miniupnpd', ['--version']).error === undefined;
const home = hasRouter ? Switch.create('home') : undefined;
const world = home && Switch.create('world');
const opened: AsyncDisposable[] = [];
let folder: string;
let router: string;
let host: string;
let tracker: Running;
let outsider: Running;

const RULES = `table inet router {
  chain upnp { }
  chain upnp_to { }
  chain upnp_from { }
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname eth0 accept
    jump upnp
  }
  chain prerouting {
    type nat hook prerouting priority -100;
    jump upnp_to
  }
  chain postrouting {
    type nat hook postrouting priority 100;
    jump upnp_from
    oifname wan masquerade
  }
}`;

const conf = (pcp: boolean): string => `ext_ifname=wan
ext_ip=${OUTSIDE}
listening_ip=eth0
enable_natpmp=${pcp ? 'yes' : 'no'}
enable_upnp=${pcp ? 'no' : 'yes'}
secure_mode=yes
uuid=11111111-2222-3333-4444-555555555555
upnp_table_name=router
upnp_nat_table_name=router
upnp_forward_chain=upnp
upnp_nat_chain=upnp_to
upnp_nat_postrouting_chain=upnp_from
allow 1-65535 192.168.77.0/24 1-65535
deny 0-65535 0.0.0.0/0 0-65535
`;

/** The router's daemon, until it is disposed of. */
async function daemon({ pcp }: { pcp: boolean }): Promise<AsyncDisposable> {
  const file = join(folder, 'miniupnpd.conf');
  await writeFile(file, conf(pcp));
  const [command = '', ...words] = [...within(router), 'miniupnpd', '-d', '-f', file, '-P', join(folder, 'pid')];
  const child = spawn(command, words, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  await new Promise<void>((up, fail) => {
    child.once('exit', () => fail(new Error(`miniupnpd ended: ${said}`)));
    child.stderr.on('data', (text) => {
      said += text;
      if (/Listening for NAT-PMP|HTTP listening/.test(said)) up();
    });
  });
  return {
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit');
      child.kill();
      await ended;
      await rm(join(folder, 'pid'), { force: true });
    },
  };
}

beforeAll(async () => {
  if (!home || !world) return;
  folder = await mkdtemp(join(tmpdir(), 'netapp-mapping-'));
  router = home.machine('router', '192.168.77.1/24');
  world.plug(router, 'wan', `${OUTSIDE}/24`);
  runIn(router, 'sysctl', '-qw', 'net.ipv4.ip_forward=1');
  await writeFile(join(folder, 'rules'), RULES);
  runIn(router, 'nft', '-f', join(folder, 'rules'));
  host = home.machine('host', '192.168.77.2/24');
  runIn(host, 'ip', 'route', 'add', 'default', 'via', '192.168.77.1');
  const outside = world.machine('outside', '11.22.33.2/24');
  tracker = await start(join(folder, 'tracker'), ['tracker', '--port', '0'], { host: null, within: within(outside) });
  opened.push(tracker);
  outsider = await start(
    join(folder, 'bob'),
    ['up', '--name', 'bob', '--port', '0', '--join', tracker.text('invite')],
    { host: null, within: within(outside) },
  );
  opened.push(outsider);
});

afterAll(async () => {
  for (const each of opened.reverse()) await each[Symbol.asyncDispose]();
  home?.[Symbol.dispose]();
  world?.[Symbol.dispose]();
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

const mapped = (): string => runIn(router, 'nft', 'list', 'chain', 'inet', 'router', 'upnp_to');

describe.each([
  ['pcp', { pcp: true }],
  ['upnp', { pcp: false }],
] as const)('by %s', (by, way) => {
  test('a node behind a router is reached from outside, and leaves nothing open behind it [N-60] [N-62] [N-63]', async ({
    skip,
  }) => {
    if (!home && process.env.CI === 'true')
      expect.fail('the router of this test is "miniupnpd": apt-get install miniupnpd');
    if (!home || !world)
      return skip('neither a router nor a network can be made here: apt-get install miniupnpd; run as root');
    await using _daemon = await daemon(way);
    const name = `in-${by}`;
    const args = ['up', '--name', name, '--port', '0', '--join', tracker.text('invite')];
    const inside = await start(join(folder, name), args, { host: null, within: within(host), env: ON });
    opened.push(inside);
    const { reach, addresses } = await until(
      () => inside.client.status.show(),
      (status) => status.reach.mapping.state === 'mapped',
    );
    const at = `${OUTSIDE}:${inside.says.port}`;
    expect(reach.mapping).toMatchObject({ by, outside: at, isPublic: true, gateway: '192.168.77.1', error: null });
    expect(addresses).toEqual([`192.168.77.2:${inside.says.port}`, at]);
    expect(mapped()).toContain(`dport ${inside.says.port}`);
    // The tracker has dialled it before it offers it to anybody; where it did so before there was a way, it does again in a minute.
    if (way.pcp) {
      await until(
        () => outsider.client.people.find({ handle: name }),
        (person) => person.addresses.includes(at),
      );
    } else await outsider.client.links.connect({ target: `${inside.text('node')}@${at}` });
    const { id } = await outsider.client.messages.say({ handle: name, text: 'through the door' });
    await eventOf(inside.client, 'message.received', (message) => message.id === id);
    expect(await outsider.client.links.list()).toContainEqual(
      expect.objectContaining({ handle: `${name}@lab`, address: at, dialled: true }),
    );
    expect(await inside.stop()).toBe(0);
    expect(mapped()).not.toContain('dport');
  });
});

test('with --port-mapping off the router is asked nothing [N-60]', async ({ skip }) => {
  if (!home || !world) return skip('as above');
  await using _daemon = await daemon({ pcp: true });
  runIn(router, 'nft', 'add', 'table', 'inet', 'watch');
  runIn(router, 'nft', 'add chain inet watch input { type filter hook input priority 0; }');
  runIn(router, 'nft', 'add rule inet watch input iifname eth0 udp dport { 5351, 1900 } counter');
  const args = ['up', '--name', 'shut', '--port', '0', '--join', tracker.text('invite'), '--port-mapping', 'off'];
  const inside = await start(join(folder, 'shut'), args, { host: null, within: within(host), env: ON });
  opened.push(inside);
  await until(
    () =>
      outsider.client.people.find({ handle: 'shut' }).then(
        ({ status }) => status,
        () => 'unknown',
      ),
    (status) => status === 'online',
  );
  expect((await inside.client.status.show()).reach.mapping).toMatchObject({ state: 'off', outside: null });
  expect(runIn(router, 'nft', 'list', 'chain', 'inet', 'watch', 'input')).toContain('counter packets 0');
});
