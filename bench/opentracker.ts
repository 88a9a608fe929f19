/** opentracker on loopback, announced to over UDP by a program in C that is made here: Debian's `opentracker` and `gcc`. */
import { execFile, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
/** Torrents that are announced in turn. Debian's build answers for those alone that its list names. */
const TORRENTS = 20_000;
/** Ticks of a second in /proc (USER_HZ). */
const TICKS = 100;

/** `p50` and `p99` in microseconds. */
export type Announced = { done: number; seconds: number; p50: number; p99: number; lost: number; cpuSeconds: number };

async function freePort(): Promise<number> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(resolve));
  return port;
}

async function cpuSecondsOf(pid: number | undefined): Promise<number> {
  const stat = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ');
  return (Number(stat[11]) + Number(stat[12])) / TICKS;
}

/** Announces for so many seconds, `window` at once. */
export async function announceToOpentracker(folder: string, window: number, seconds: number): Promise<Announced> {
  const program = join(folder, 'bep15');
  await run('gcc', ['-O2', '-o', program, join(import.meta.dirname, 'bep15.c')]);
  const list = Array.from({ length: TORRENTS }, (_, n) => {
    const hash = Buffer.alloc(20);
    hash.writeUInt32LE(n);
    return hash.toString('hex');
  });
  await chmod(folder, 0o755); // it gives up its rights before it reads
  await writeFile(join(folder, 'torrents'), `${list.join('\n')}\n`);
  const port = await freePort();
  const at = [
    '-i',
    '127.0.0.1',
    '-p',
    String(port),
    '-P',
    String(port),
    '-d',
    folder,
    '-w',
    'torrents',
    '-u',
    'nobody',
  ];
  const tracker = spawn('opentracker', at, { stdio: 'ignore' });
  const ended = once(tracker, 'exit');
  try {
    const announce = async (): Promise<Announced> => {
      const before = await cpuSecondsOf(tracker.pid);
      const { stdout } = await run(program, [String(port), String(window), String(seconds), String(TORRENTS)]);
      const said: Omit<Announced, 'cpuSeconds'> = JSON.parse(stdout);
      return { ...said, cpuSeconds: (await cpuSecondsOf(tracker.pid)) - before };
    };
    await announce(); // the first round makes the torrents
    return await announce();
  } finally {
    tracker.kill();
    await ended;
  }
}
