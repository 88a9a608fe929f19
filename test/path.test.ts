/** `netapp echo` and `netapp probe` as processes, with each other and with nc: what they say, and how they end. */
import { type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FAULTS } from '../src/base/fault.ts';
import { EchoServer } from '../src/reach/echo.ts';
import { MOST_PROBES, type ProbeResult } from '../src/reach/probe.ts';
import { needs } from './needs.ts';
import { run } from './program.ts';
import { until } from './testnet.ts';

const MAIN = join(import.meta.dirname, '../src/bin/netapp.ts');

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

let folder: string;
const children: Child[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'netapp-path-'));
});
afterEach(async () => {
  for (const { pid } of children.splice(0)) {
    try {
      if (pid !== undefined) process.kill(-pid, 'SIGKILL');
    } catch {
      // all of it had ended by itself
    }
  }
  await rm(folder, { recursive: true, force: true });
});

function spawned(command: string, args: readonly string[]): Child {
  // A group of its own: what a shell starts may outlive it, as pipes of a ring that are full do.
  const env = { ...process.env, NETAPP_HOME: '/nowhere' };
  const child = spawn(command, args, { stdio: 'pipe', env, detached: true });
  children.push(child);
  return child;
}

const netapp = (...args: string[]): Child => spawned(process.execPath, [MAIN, ...args]);

/** An echo server, its address, and its end: the exit code, and what it said last. */
async function echo(...args: string[]) {
  const child = netapp('echo', '--port', '0', '--json', ...args);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const { listening } = JSON.parse((await lines.next()).value ?? '{}');
  const port = String(listening).split(':').at(-1) ?? '';
  return {
    address: String(listening),
    port,
    async interrupt(): Promise<{ code: number; counts: Record<string, number> }> {
      const ended = once(child, 'exit');
      child.kill('SIGINT');
      const said = await lines.next();
      const [code] = await ended;
      return { code, counts: JSON.parse(said.value ?? 'null') };
    },
  };
}

const hasNc = (() => {
  try {
    execFileSync('nc', ['-h'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

describe('with nc', () => {
  beforeEach(({ skip }) => {
    needs(hasNc, 'nc is not there: apt-get install netcat-openbsd', skip);
  });

  test('echo answers nc, in words and in bulk', async () => {
    const { port, interrupt } = await echo();
    const nc = spawned('nc', ['-N', '127.0.0.1', port]);
    nc.stdin.write('hello\n');
    const [first] = await once(nc.stdout, 'data');
    expect(String(first)).toBe('hello\n');
    const rest = text(nc.stdout);
    const bulk = 'netapp '.repeat(1_000_000);
    nc.stdin.end(bulk);
    expect((await rest) === bulk).toBe(true); // not in a diff of 7 MB
    expect(await interrupt()).toEqual({
      code: 0,
      counts: { taken: 1, refused: 0, idle: 0, overlong: 0, bytes: bulk.length + 6 },
    });
  });

  test('probe measures an echo made of two pipes and nc', async () => {
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const script = `exec nc -v -l 127.0.0.1 0 <"${pipe}" 2>"${folder}/said" | tee "${pipe}" >/dev/null`;
    spawned('sh', ['-c', script]);
    const port = await said(join(folder, 'said'), /Listening on \S+ (\d+)/);
    const { code, stdout } = await run(['probe', `127.0.0.1:${port}`, '--seconds', '0.6', '--json']);
    const result: ProbeResult = JSON.parse(stdout);
    expect(result.connections).toEqual({ asked: 1, made: 1, failed: 0, dropped: 0, silent: 0, wrong: 0 });
    expect(result.roundTrips?.count).toBeGreaterThan(0);
    expect(result.throughput?.bytes).toBeGreaterThan(0);
    expect(code).toBe(0);
  });

  test('probe shows nc what it says: numbered lines', async () => {
    const nc = spawned('sh', ['-c', `exec nc -v -l 127.0.0.1 0 2>"${folder}/said"`]);
    const heard = text(nc.stdout);
    const port = await said(join(folder, 'said'), /Listening on \S+ (\d+)/);
    const { code } = await run(['probe', `127.0.0.1:${port}`, '--seconds', '0.2', '--json']);
    expect(code).toBe(FAULTS.timeout.exit); // nothing ever came back
    expect((await heard).slice(0, 16)).toBe('0000000\n0000001\n');
  });
});

/** What a file comes to say. */
async function said(path: string, form: RegExp): Promise<string> {
  const match = await until(
    async () => form.exec(await readFile(path, 'utf8').catch(() => '')),
    (found) => found !== null,
  );
  return match?.[1] ?? '';
}

test('probe, interrupted, says what was so far, and ends as if all was done', async () => {
  await using server = new EchoServer({ port: 0 });
  await server.start();
  const probe = netapp('probe', server.address, '--connections', '3', '--seconds', '3600', '--json');
  const answered = text(probe.stdout);
  await until(
    () => server.counts,
    ({ taken, bytes }) => taken === 3 && bytes > 0,
  );
  const ended = once(probe, 'exit');
  probe.kill('SIGINT');
  expect((await ended)[0]).toBe(0);
  const result: ProbeResult = JSON.parse(await answered);
  expect(result.connections).toEqual({ asked: 3, made: 3, failed: 0, dropped: 0, silent: 0, wrong: 0 });
  expect(result.roundTrips?.count).toBeGreaterThan(0);
  expect(result.seconds).toBeLessThan(600);
});

test('many connections at once, and one more than the server takes', async () => {
  const { address, interrupt } = await echo('--connections', '50');
  const { code, stdout } = await run(['probe', address, '--connections', '60', '--seconds', '1', '--json']);
  const { connections }: ProbeResult = JSON.parse(stdout);
  // What the kernel took for the server is a connection, which the server ends.
  expect(connections).toMatchObject({ asked: 60, dropped: 10, wrong: 0 });
  expect(code).toBe(FAULTS.link_closed.exit);
  expect((await interrupt()).counts).toMatchObject({ taken: 50, refused: 10 });
});

test('in words, for people', async () => {
  const { address } = await echo();
  const { code, stdout } = await run(['probe', address, '--seconds', '0.4']);
  expect(code).toBe(0);
  expect(stdout).toMatch(/connections +1 of 1 made\n/);
  expect(stdout).toMatch(/round trips +\d+: p50 [\d.]+ ms, p99 [\d.]+ ms/);
  expect(stdout).toMatch(/throughput +.+\/s each way\n/);
  const nobody = await run(['probe', '127.0.0.1:1', '--connections', '2', '--seconds', '1']);
  expect(nobody.code).toBe(FAULTS.peer_unreachable.exit);
  expect(nobody.stdout).toMatch(/2x +connecting to "127.0.0.1:1": .*ECONNREFUSED/);
});

test('what is out of bounds is refused before anything is tried', async () => {
  const wrong = [
    ['probe', 'nowhere'],
    ['probe', '127.0.0.1:7777', '--connections', String(MOST_PROBES + 1)],
    ['probe', '127.0.0.1:7777', '--connections', '0'],
    ['probe', '127.0.0.1:7777', '--seconds', '0'],
    ['probe', '127.0.0.1:7777', '--seconds', '1e9'],
    ['echo', '--idle', 'never'],
    ['echo', '--port', '70000'],
    ['echo', '--host', '192.0.2.1', '--port', '0'],
  ];
  const codes = await Promise.all(wrong.map(async (words) => (await run(words)).code));
  expect(codes).toEqual(wrong.map(() => FAULTS.invalid_argument.exit));
});
