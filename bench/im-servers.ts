/** What the door is measured beside: chat servers, each started here on loopback with its limits on floods off, and a least program. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Child } from './child.ts';
import { freePort, isHere, Served } from './contenders.ts';
import type { Kind } from './im-load.ts';

export type ChatServer = {
  port: number;
  pid: number;
  /** Puts those who have come into one room, where the protocol is not the way to do it for so many. */
  gather?: (names: readonly string[]) => Promise<void>;
} & AsyncDisposable;

export type Contender = { name: string; kind: Kind; needs?: string; start(folder: string): Promise<ChatServer> };

const served = async (program: string, args: readonly string[], port: number): Promise<ChatServer> => {
  const server = await new Served(program, args).up(port);
  return { port, pid: server.pid, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
};

const all: readonly Contender[] = [
  {
    name: 'netapp',
    kind: 'netapp',
    async start(folder) {
      const child = new Child(resolve(import.meta.dirname, 'im-door.ts'));
      const port = await child.ask<number>('start', folder);
      return {
        port,
        pid: child.pid,
        gather: (names) => child.ask('gather', names),
        [Symbol.asyncDispose]: async () => {
          await child.ask('end');
          await child[Symbol.asyncDispose]();
        },
      };
    },
  },
  {
    name: 'Node with a row of each',
    kind: 'nats',
    async start(folder) {
      const child = new Child(resolve(import.meta.dirname, 'reference-kept.ts'));
      const port = await child.ask<number>('start', folder);
      return { port, pid: child.pid, [Symbol.asyncDispose]: () => child[Symbol.asyncDispose]() };
    },
  },
  {
    name: 'inspircd',
    kind: 'irc',
    needs: 'inspircd',
    async start(folder) {
      const port = await freePort();
      const config = join(folder, 'inspircd.conf');
      await writeFile(
        config,
        `<server name="bench.local" description="bench" network="bench">
         <admin name="bench" nick="bench" email="bench@localhost">
         <bind address="127.0.0.1" port="${port}" type="clients">
         <connect allow="*" timeout="60" pingfreq="3600" hardsendq="67108864" softsendq="67108864" recvq="1048576"
           commandrate="1000000000" fakelag="no" threshold="1000000000" localmax="100000" globalmax="100000" limit="100000"
           maxchans="100" resolvehostnames="no" useident="no" maxconnwarn="no">
         <performance softlimit="100000" somaxconn="4096" netbuffersize="65534" clonesonconnect="no">
         <options hidewhois="" pingwarning="0"><security maxtargets="20">
         <log method="file" type="* -USERINPUT -USEROUTPUT" level="default" target="${folder}/inspircd.log">
         <pid file="${folder}/inspircd.pid">`,
      );
      return await served('inspircd', ['--nofork', '--runasroot', '--config', config], port);
    },
  },
  {
    name: 'ngircd',
    kind: 'irc',
    needs: 'ngircd',
    async start(folder) {
      const port = await freePort();
      const config = join(folder, 'ngircd.conf');
      await writeFile(
        config,
        `[Global]
         Name = bench.local
         Info = bench
         Listen = 127.0.0.1
         Ports = ${port}
         PidFile = ${folder}/ngircd.pid
         ServerUID = root
         ServerGID = root
         [Limits]
         MaxConnections = 0
         MaxConnectionsIP = 0
         MaxJoins = 0
         MaxPenaltyTime = 0
         PingTimeout = 3600
         [Options]
         DNS = no
         Ident = no
         PAM = no
         `.replaceAll(/^ +/gm, ''),
      );
      return await served('ngircd', ['--nodaemon', '--config', config], port);
    },
  },
  {
    name: 'nats-server',
    kind: 'nats',
    needs: 'nats-server',
    async start(folder) {
      const port = await freePort();
      const config = join(folder, 'nats.conf');
      await writeFile(config, `listen: "127.0.0.1:${port}"\nmax_connections: 100000\nping_interval: "60m"\n`);
      return await served('nats-server', ['-c', config, '-l', join(folder, 'nats.log')], port);
    },
  },
];

export const contenders = all.filter(({ needs }) => needs === undefined || isHere(needs));

/** Runs `work` beside a fresh server of its kind. */
export async function beside<T>(contender: Contender, work: (server: ChatServer) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'netapp-bench-'));
  try {
    await using server = await contender.start(folder);
    return await work(server);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Seconds of processor time of a process so far. */
export async function cpuSecondsOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const [user = 0, system = 0] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13)
    .map(Number);
  return (user + system) / 100; // clock ticks, of which Linux tells a hundred a second
}

/** Bytes of memory that a process has now. */
export async function residentBytesOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
}
