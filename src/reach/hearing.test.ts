/** Multicast heard back: on loopback, and between two machines with a firewall between, in network namespaces of the test's own. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { decode } from 'dns-packet';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { needs } from '../../test/needs.ts';
import { silentLog } from '../base/log.ts';
import { type Hearing, hear } from './hearing.ts';
import { networkOf } from './networks.ts';

const log = silentLog();
const loopback = networkOf('lo', [
  { address: '127.0.0.1', netmask: '255.0.0.0', family: 'IPv4', mac: '', internal: true, cidr: '127.0.0.1/8' },
]);

async function freePort(): Promise<number> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  return port;
}

test('what is said on a network is heard back there', async () => {
  const port = await freePort();
  expect(await hear({ networks: [loopback], log, port, listenMs: 300 })).toEqual([
    { network: 'lo', heard: true, others: 0 },
  ]);
});

test('where nothing can be said, nothing is heard, and that is no fault', async () => {
  const none = networkOf('none', [
    {
      address: '192.0.2.77',
      netmask: '255.255.255.0',
      family: 'IPv4',
      mac: '',
      internal: false,
      cidr: '192.0.2.77/24',
    },
  ]);
  expect(await hear({ networks: [none], log, port: await freePort(), listenMs: 300 })).toEqual([
    { network: 'none', heard: false, others: 0 },
  ]);
  expect(await hear({ networks: [], log, listenMs: 300 })).toEqual([]);
});

test('what is said names nobody [N-93]', async () => {
  const port = await freePort();
  const socket = createSocket({ type: 'udp4', reuseAddr: true }).bind(port);
  await once(socket, 'listening');
  socket.addMembership('224.0.0.251', '127.0.0.1');
  const heard = once(socket, 'message');
  await hear({ networks: [loopback], log, port, listenMs: 300 });
  const packet = decode((await heard)[0]);
  socket.close();
  expect(packet.questions).toMatchObject([
    { type: 'PTR', name: '_services._dns-sd._udp.local' },
    { type: 'A', name: expect.stringMatching(/^[0-9a-f]{16}\.local$/) },
  ]);
  expect([packet.answers, packet.additionals, packet.authorities]).toEqual([[], [], []]);
});

test('it ends when it is told to', async () => {
  const port = await freePort();
  const signal = AbortSignal.abort();
  await expect(hear({ networks: [loopback], log, port, signal })).rejects.toMatchObject({ code: 'cancelled' });
});

const [a, b] = [`hear-a-${process.pid}`, `hear-b-${process.pid}`];
const run = (...words: string[]): boolean => {
  const [command = '', ...args] = words;
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
};
const possible = run('ip', 'netns', 'add', a) && run('nft', '--version');

describe('between two machines', () => {
  beforeAll(() => {
    if (!possible) return;
    const must = (...words: string[]) => expect(run(...words), words.join(' ')).toBe(true);
    must('ip', 'netns', 'add', b);
    must('ip', '-n', a, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', b);
    for (const [space, address] of [
      [a, '192.0.2.1/24'],
      [b, '192.0.2.2/24'],
    ] as const) {
      must('ip', '-n', space, 'address', 'add', address, 'dev', 'eth0');
      must('ip', '-n', space, 'link', 'set', 'lo', 'up');
      must('ip', '-n', space, 'link', 'set', 'eth0', 'up');
    }
  });
  afterAll(() => {
    for (const space of [a, b]) run('ip', 'netns', 'delete', space);
  });

  const script = `
    const { hear } = await import('${import.meta.dirname}/hearing.ts');
    const { networks } = await import('${import.meta.dirname}/networks.ts');
    const { silentLog } = await import('${import.meta.dirname}/../base/log.ts');
    do console.log(JSON.stringify(await hear({ networks: networks(), log: silentLog(), listenMs: 600 })));
    while (process.argv[1] === 'for good');`;
  const args = (space: string, how: 'once' | 'for good'): string[] => [
    ...['netns', 'exec', space, process.execPath, '--input-type=module', '--eval', script, how],
  ];
  const heardIn = (space: string): Hearing[] =>
    JSON.parse(execFileSync('ip', args(space, 'once'), { encoding: 'utf8' }));

  test('another machine is heard, and a firewall that keeps multicast out is seen', ({ skip }) => {
    needs(possible, '"ip netns add" or nft failed: run as root, with nftables', skip);
    expect(heardIn(a)).toEqual([{ network: 'eth0', heard: true, others: 0 }]);

    const other = spawn('ip', args(b, 'for good'), { stdio: 'ignore' });
    try {
      let others = 0;
      while (others === 0) others = heardIn(a)[0]?.others ?? 0; // it takes a while to start
      expect(others).toBe(1);
      const rules = 'table inet f { chain i { type filter hook input priority 0; udp dport 5353 drop; }; }';
      execFileSync('ip', ['netns', 'exec', a, 'nft', '-f', '-'], { input: rules });
      expect(heardIn(a)).toEqual([{ network: 'eth0', heard: false, others: 0 }]);
    } finally {
      other.kill('SIGKILL');
    }
  });
});
