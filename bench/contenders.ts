/** Other programs that move a file, each started here on free ports of loopback, with homes below one folder. */
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
/** Milliseconds after which a program that does not come up, or does not move, is given up. */
const PATIENCE_MS = 120_000;

/** A running way to fetch the source: `fetch` settles when the file is whole at `out` and verified. */
export type Running = { fetch(out: string): Promise<void> } & AsyncDisposable;

export type Contender = {
  name: string;
  /** Programs that must be here. */
  needs: readonly string[];
  start(folder: string, source: string, size: number): Promise<Running>;
};

export const isHere = (program: string): boolean => spawnSync('which', [program]).status === 0;

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address ? address.port : 0;
}

/** A program that serves until it is disposed. */
export class Served implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  #said = '';

  constructor(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.#child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
    this.#ended = once(this.#child, 'exit');
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (text) => {
        this.#said = (this.#said + text).slice(-2000);
      });
    }
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Settles when somebody answers on the port. */
  async up(port: number): Promise<this> {
    for (const from = performance.now(); performance.now() - from < PATIENCE_MS; ) {
      if (this.#child.exitCode !== null) throw new Error(`it ended with ${this.#child.exitCode}: ${this.#said}`);
      const socket = connect({ host: '127.0.0.1', port });
      const isUp = await Promise.race([
        once(socket, 'connect').then(() => true),
        once(socket, 'error').then(() => false),
      ]).catch(() => false);
      socket.destroy();
      if (isUp) return this;
      await new Promise((done) => setTimeout(done, 20));
    }
    throw new Error(`nobody answers on port ${port}: ${this.#said}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGTERM');
    await this.#ended;
  }
}

async function digest(path: string): Promise<string> {
  return (await run('sha256sum', [path])).stdout.slice(0, 64);
}

/** What nginx and ssh do not do by themselves: the sum is compared, as a careful user does. */
async function checked(out: string, sum: string): Promise<void> {
  if ((await digest(out)) !== sum) throw new Error(`${out} is not what was sent`);
}

async function nginx(folder: string, source: string): Promise<{ url: string; sum: string; server: Served }> {
  const port = await freePort();
  await mkdir(join(folder, 'www'));
  await symlink(source, join(folder, 'www', 'file'));
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const kind = [
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-days',
    '2',
    '-subj',
    '/CN=bench',
  ];
  await run('openssl', ['req', '-x509', ...kind, '-keyout', key, '-out', cert]);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  await writeFile(
    join(folder, 'nginx.conf'),
    `daemon off; pid ${folder}/nginx.pid; error_log stderr; worker_processes 2;
     ${userInfo().uid === 0 ? 'user root;' : ''}
     events { worker_connections 64; }
     http { access_log off; sendfile on; tcp_nopush on; ${temporary.join(' ')}
       server { listen 127.0.0.1:${port} ssl; ssl_certificate ${cert}; ssl_certificate_key ${key};
         ssl_protocols TLSv1.3; ssl_buffer_size 16k; root ${folder}/www; } }`,
  );
  const server = await new Served('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'stderr']).up(port);
  return { url: `https://127.0.0.1:${port}/file`, sum: await digest(source), server };
}

const overNginx = (fetch: (url: string, out: string) => Promise<unknown>): Contender['start'] => {
  return async (folder, source) => {
    const { url, sum, server } = await nginx(folder, source);
    return {
      fetch: async (out) => {
        await fetch(url, out);
        await checked(out, sum);
      },
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  };
};

/** A server of ssh for this user alone, and what a client has to be told; keys and configuration in `folder`. */
export async function sshd(folder: string): Promise<{ port: number; args: string[]; server: AsyncDisposable }> {
  const port = await freePort();
  const key = async (name: string): Promise<string> => {
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder, name)]);
    return join(folder, name);
  };
  const [host, own] = [await key('host'), await key('own')];
  await writeFile(join(folder, 'keys'), await readFile(`${own}.pub`));
  const config = join(folder, 'sshd.conf');
  await writeFile(
    config,
    `ListenAddress 127.0.0.1:${port}\nHostKey ${host}\nAuthorizedKeysFile ${folder}/keys\nPidFile ${folder}/sshd.pid
     UsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n`,
  );
  if (userInfo().uid === 0) await mkdir('/run/sshd', { recursive: true, mode: 0o755 }); // it starts without it nowhere
  const server = await new Served('/usr/sbin/sshd', ['-D', '-e', '-f', config]).up(port);
  const quiet = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR', 'BatchMode=yes'];
  return { port, args: ['-F', '/dev/null', '-i', own, ...quiet.flatMap((option) => ['-o', option])], server };
}

const rsyncDaemon: Contender['start'] = async (folder, source) => {
  const port = await freePort();
  const config = join(folder, 'rsyncd.conf');
  const ids = userInfo().uid === 0 ? 'uid = root\ngid = root\n' : '';
  await writeFile(
    config,
    `${ids}use chroot = no\nlog file = /dev/stderr\n[d]\npath = ${join(source, '..')}\nread only = yes\n`,
  );
  const args = ['--daemon', '--no-detach', '--address=127.0.0.1', `--port=${port}`, `--config=${config}`];
  const server = await new Served('rsync', args).up(port);
  const url = `rsync://127.0.0.1:${port}/d/${source.split('/').at(-1)}`;
  return {
    fetch: async (out) => void (await run('rsync', ['-W', url, out])),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
};

const overSsh = (fetch: (ssh: { port: number; args: string[] }, source: string, out: string) => Promise<unknown>) =>
  (async (folder, source) => {
    const { port, args, server } = await sshd(folder);
    const sum = await digest(source);
    return {
      fetch: async (out) => {
        await fetch({ port, args }, source, out);
        await checked(out, sum);
      },
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  }) satisfies Contender['start'];

/** Two devices that know each other alone, with one folder; the second's is paused until it is to be fetched. */
const syncthing: Contender['start'] = async (folder, source, size) => {
  const sides = await Promise.all(
    ['a', 'b'].map(async (name) => {
      const home = join(folder, name);
      const files = join(folder, `${name}-files`);
      await mkdir(join(files, '.stfolder'), { recursive: true });
      const generate = ['generate', `--home=${home}`, '--no-default-folder', '--skip-port-probing'];
      const { stdout, stderr } = await run('syncthing', generate);
      const [id] = /([A-Z2-7]{7}-){7}[A-Z2-7]{7}/.exec(stdout + stderr) ?? [];
      if (id === undefined) throw new Error('syncthing made no key');
      return { name, home, files, id, api: await freePort(), port: await freePort() };
    }),
  );
  const [a, b] = sides;
  if (!a || !b) throw new Error('two sides');
  await run('cp', ['--reflink=auto', source, join(a.files, 'file')]);
  const alone =
    '<globalAnnounceEnabled>false</globalAnnounceEnabled><localAnnounceEnabled>false</localAnnounceEnabled>' +
    '<relaysEnabled>false</relaysEnabled><natEnabled>false</natEnabled><urAccepted>-1</urAccepted>' +
    '<autoUpgradeIntervalH>0</autoUpgradeIntervalH><crashReportingEnabled>false</crashReportingEnabled>' +
    '<stunKeepaliveStartS>0</stunKeepaliveStartS><startBrowser>false</startBrowser><setLowPriority>false</setLowPriority>';
  const servers: Served[] = [];
  for (const side of sides) {
    const devices = sides.map(
      ({ id, port }) => `<device id="${id}" compression="never"><address>tcp://127.0.0.1:${port}</address></device>`,
    );
    const members = sides.map(({ id }) => `<device id="${id}"></device>`).join('');
    await writeFile(
      join(side.home, 'config.xml'),
      `<configuration version="36">
       <folder id="f" path="${side.files}" type="sendreceive" rescanIntervalS="3600" fsWatcherEnabled="false">
       ${members}<paused>${side === b}</paused><minDiskFree unit="%">0</minDiskFree></folder>${devices.join('')}
       <gui enabled="true"><address>127.0.0.1:${side.api}</address><apikey>bench</apikey></gui>
       <options><listenAddress>tcp://127.0.0.1:${side.port}</listenAddress>${alone}</options></configuration>`,
    );
    const args = ['serve', `--home=${side.home}`, '--no-browser', '--no-restart', '--logflags=0'];
    servers.push(await new Served('syncthing', args, { STNOUPGRADE: '1' }).up(side.api));
  }
  const ask = async (api: number, path: string, body?: unknown): Promise<Record<string, unknown>> => {
    const answer = await fetch(`http://127.0.0.1:${api}${path}`, {
      headers: { 'x-api-key': 'bench' },
      ...(body !== undefined && { method: 'PATCH', body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
    return text === '' ? {} : JSON.parse(text);
  };
  const until = async (holds: () => Promise<boolean>): Promise<void> => {
    for (const from = performance.now(); !(await holds()); await new Promise((done) => setTimeout(done, 20))) {
      if (performance.now() - from > PATIENCE_MS) throw new Error('syncthing: it does not come about');
    }
  };
  await until(async () => (await ask(a.api, '/rest/db/status?folder=f')).localBytes === size);
  await until(async () => JSON.stringify(await ask(b.api, '/rest/system/connections')).includes('"connected":true'));
  return {
    fetch: async (out) => {
      await ask(b.api, '/rest/config/folders/f', { paused: false });
      const file = join(b.files, 'file');
      await until(async () => (await stat(file).catch(() => undefined))?.size === size);
      await run('mv', [file, out]);
    },
    [Symbol.asyncDispose]: async () => {
      for (const server of servers) await server[Symbol.asyncDispose]();
    },
  };
};

export const contenders: readonly Contender[] = [
  {
    name: 'curl, nginx TLS, sha256sum',
    needs: ['nginx', 'curl', 'openssl', 'sha256sum'],
    start: overNginx((url, out) => run('curl', ['-sk', '-o', out, url])),
  },
  {
    name: 'aria2c -x8, nginx TLS, sha256sum',
    needs: ['nginx', 'aria2c', 'openssl', 'sha256sum'],
    start: overNginx((url, out) => {
      const place = ['-d', join(out, '..'), '-o', out.split('/').at(-1) ?? ''];
      const quick = ['-x8', '-s8', '--file-allocation=none', '--check-certificate=false', '-q'];
      return run('aria2c', [...quick, ...place, url]);
    }),
  },
  { name: 'rsync daemon, plain', needs: ['rsync'], start: rsyncDaemon },
  {
    name: 'rsync over ssh, sha256sum',
    needs: ['rsync', '/usr/sbin/sshd', 'ssh', 'sha256sum'],
    start: overSsh(({ port, args }, source, out) => {
      const shell = ['ssh', '-p', String(port), ...args].join(' ');
      return run('rsync', ['-W', '-e', shell, `127.0.0.1:${source}`, out]);
    }),
  },
  {
    name: 'scp, sha256sum',
    needs: ['scp', '/usr/sbin/sshd', 'sha256sum'],
    start: overSsh(({ port, args }, source, out) =>
      run('scp', ['-q', '-P', String(port), ...args, `127.0.0.1:${source}`, out]),
    ),
  },
  { name: 'Syncthing', needs: ['syncthing'], start: syncthing },
];
