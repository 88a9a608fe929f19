import { spawn, spawnSync } from 'node:child_process';
import { isIP } from 'node:net';
import { createInterface } from 'node:readline';
import { expect, test, vi } from 'vitest';
import { needs } from '../../test/needs.ts';
import { defaultIp, interfaceIps, watchInterfaces } from './interfaces.ts';

test('the default IP is one that this machine has', async () => {
  const ip = await defaultIp();
  expect(isIP(ip)).toBeGreaterThan(0);
  expect([...interfaceIps(), '127.0.0.1']).toContain(ip);
});

test('without a route, it is an address all the same that one can dial', async ({ skip }) => {
  const script = `import('${import.meta.dirname}/interfaces.ts').then(async ({ defaultIp }) => console.log(await defaultIp()))`;
  // A network namespace of its own, in which there is no interface but loopback.
  const { status, stdout, stderr } = spawnSync('unshare', ['--net', process.execPath, '--eval', script], {
    encoding: 'utf8',
  });
  needs(status === 0, `no network namespace can be made here: ${stderr}`, skip);
  expect([stdout.trim(), stderr]).toEqual(['127.0.0.1', '']);
});

test('a change of addresses is told once, their order is none, and a sleep is one', () => {
  vi.useFakeTimers();
  try {
    const stop = new AbortController();
    const told: unknown[] = [];
    let now = 0;
    let addresses = ['192.0.2.1', '2001:db8::1'];
    const look = (passed = 500): void => {
      now += passed;
      vi.advanceTimersByTime(500);
    };
    watchInterfaces({
      onChange: (...change) => told.push(change),
      signal: stop.signal,
      read: () => addresses,
      clock: { now: () => now },
    });
    look();
    addresses = ['2001:db8::1', '192.0.2.1'];
    look();
    expect(told).toEqual([]);
    addresses = ['192.0.2.2'];
    look();
    look();
    expect(told).toEqual([[['192.0.2.2'], 'addresses']]);
    look(3_600_000);
    look();
    expect(told.slice(1)).toEqual([[['192.0.2.2'], 'slept']]);
    look(-60_000); // the clock was set back
    addresses = [];
    look();
    expect(told.slice(2)).toEqual([[[], 'addresses']]);
    stop.abort();
    addresses = ['192.0.2.3'];
    look();
    expect(told).toHaveLength(3);
  } finally {
    vi.useRealTimers();
  }
});

test('an address that comes and goes on a real interface is told of within a second', async ({ skip }) => {
  const script = `import('${import.meta.dirname}/interfaces.ts').then(({ watchInterfaces }) => {
    watchInterfaces({ signal: new AbortController().signal, onChange: (addresses) => console.log(performance.now() | 0, ...addresses) });
    console.log('watching');
    process.stdin.resume();
  })`;
  const child = spawn('unshare', ['--net', process.execPath, '--eval', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => String((await lines.next()).value);
  const inside = (words: string): void => {
    const { status, stderr } = spawnSync('nsenter', ['--net', `--target=${child.pid}`, 'ip', ...words.split(' ')]);
    expect([status, String(stderr)]).toEqual([0, '']);
  };
  try {
    needs((await next()) === 'watching', 'no network namespace can be made here', skip);
    inside('link add name0 type veth peer name name1');
    inside('link set name1 up');
    inside('link set name0 up');
    inside('address add 192.0.2.7/24 dev name0');
    expect(await next()).toMatch(/ 192\.0\.2\.7$/);
    inside('address add 2001:db8::7/64 dev name0 nodad');
    expect(await next()).toMatch(/ 192\.0\.2\.7 2001:db8::7$/);
    inside('link delete name0');
    expect(await next()).toMatch(/^\d+$/);
  } finally {
    child.kill();
  }
});
