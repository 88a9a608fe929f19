/** A tracker behind a real nginx and a real Caddy, with the very lines that docs/operations.md gives for them. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text as textOf } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Authority } from './authority.ts';
import { needs } from './needs.ts';
import { type Running, run, start } from './program.ts';
import { until } from './testnet.ts';

const HOST = 'localhost';
const DOCS = readFileSync(resolve(import.meta.dirname, '../docs/operations.md'), 'utf8');

let folder: string;
let authority: Authority;
let running: AsyncDisposable[];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'netapp-proxy-'));
  running = [];
  authority = await Authority.create();
  const { cert, key } = await authority.sign(HOST);
  for (const [name, pem] of Object.entries({ 'ca.pem': authority.cert, 'cert.pem': cert, 'key.pem': key }))
    writeFileSync(join(folder, name), pem);
});

afterEach(async () => {
  for (const program of running.reverse()) await program[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  await gone;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // a TCP server's address is never a string
  server.close();
  await once(server, 'close');
  return port;
}

/** What the page gives to copy, with the places of this test. */
function snippet(language: string, places: Record<string, string>): string {
  const [, body] = new RegExp(`\`\`\`${language}\\n([^\`]*)\`\`\``).exec(DOCS) ?? [];
  let text = body ?? expect.fail(`the page has no ${language}`);
  for (const [from, to] of Object.entries(places)) {
    expect(text).toContain(from);
    text = text.replaceAll(from, to);
  }
  return text;
}

type Proxy = { port: number; upstream: number };

function nginx({ port, upstream }: Proxy): string[] {
  const server = snippet('nginx', {
    'listen 443 ssl': `listen 127.0.0.1:${port} ssl`,
    'tracker.example.org;': `${HOST};`,
    '/etc/letsencrypt/live/tracker.example.org/fullchain.pem': join(folder, 'cert.pem'),
    '/etc/letsencrypt/live/tracker.example.org/privkey.pem': join(folder, 'key.pem'),
    '127.0.0.1:22237': `127.0.0.1:${upstream}`,
  });
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const paths = temporary.map((name) => `${name}_temp_path ${join(folder, name)};`).join('\n');
  const root = process.getuid?.() === 0 ? 'user root;' : '';
  const path = join(folder, 'nginx.conf');
  writeFileSync(
    path,
    `daemon off; ${root} worker_processes 1; pid ${join(folder, 'nginx.pid')}; error_log ${join(folder, 'nginx.log')};
events {} http { access_log off; ${paths}\n${server}}\n`,
  );
  return ['nginx', '-c', path, '-p', folder];
}

function caddy({ port, upstream }: Proxy): string[] {
  const site = snippet('caddyfile', {
    'tracker.example.org {': `https://${HOST}:${port} {\n\tbind 127.0.0.1\n\ttls ${join(folder, 'cert.pem')} ${join(folder, 'key.pem')}`,
    '127.0.0.1:22237': `127.0.0.1:${upstream}`,
  });
  const path = join(folder, 'Caddyfile');
  writeFileSync(path, `{\n\tadmin off\n\tauto_https disable_redirects\n}\n${site}`);
  return ['caddy', 'run', '--adapter', 'caddyfile', '--config', path];
}

const commands: Record<string, (proxy: Proxy) => string[]> = { nginx, caddy };
/** Debian keeps nginx where only root looks. */
const env = { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin` };
const needsProxy = (name: string, skip: (note: string) => void): void =>
  needs(
    spawnSync(name, ['version'], { stdio: 'ignore', env }).error === undefined,
    `${name} is not installed: apt-get install ${name === 'nginx' ? 'nginx-light' : name}`,
    skip,
  );

async function startProxy(name: string, proxy: Proxy): Promise<ChildProcess> {
  const [command = '', ...args] = commands[name]?.(proxy) ?? [];
  const child = spawn(command, args, { stdio: 'ignore', env: { ...env, HOME: folder, XDG_DATA_HOME: folder } });
  running.push({ [Symbol.asyncDispose]: () => end(child) });
  await until(
    () => get(proxy.port, '/').catch(() => undefined),
    (answer) => answer !== undefined,
  );
  return child;
}

function get(port: number, path: string): Promise<{ status: number | undefined; fault: unknown; body: string }> {
  return new Promise((done, reject) => {
    const asking = request({ host: HOST, port, path, ca: authority.cert, agent: false }, (response) => {
      const { statusCode: status, headers } = response;
      textOf(response).then((body) => done({ status, fault: headers['x-netapp-fault'], body }), reject);
    });
    asking.on('error', reject);
    asking.end();
  });
}

for (const name of Object.keys(commands)) {
  test(`a tracker behind ${name}: people join, see each other and talk, and come back when it does [L-40]`, async ({
    skip,
  }) => {
    needsProxy(name, skip);
    const port = await freePort();
    const url = `wss://${HOST}:${port}/netapp`;
    const tracker = await start(join(folder, 'tracker'), [
      ...['tracker', '--port', '0', '--behind-proxy', '0', '--public-url', url],
    ]);
    running.push(tracker);
    const proxy = { port, upstream: Number(tracker.says.proxyPort) };
    const child = await startProxy(name, proxy);
    expect(tracker.text('invite')).toMatch(
      new RegExp(`^netapp://[a-z2-7]{52}@/\\?zone=lab&wss=${HOST}:${port}/netapp$`),
    );

    const ca = ['--tracker-ca', join(folder, 'ca.pem')];
    const up = async (who: string, how: string): Promise<Running> => {
      const program = await start(join(folder, who), ['up', '--name', who, '--port', '0', '--tracker', how, ...ca]);
      running.push(program);
      return program;
    };
    const alice = await up('alice', tracker.text('invite'));
    const bob = await up('bob', url); // whose key the tracker has is told by the host that an authority vouches for
    const sent = await alice.client.messages.say({ handle: 'bob', text: 'through the proxy' });
    await until(
      () => alice.client.messages.show({ id: sent.id }),
      ({ state }) => state === 'delivered',
    );
    expect((await alice.client.status.show()).trackers).toMatchObject([
      { address: url, state: 'up', used: true, peer: tracker.text('peer') },
    ]);
    const doctor = await run(['doctor', '--home', join(folder, 'alice')]);
    expect(doctor.stdout).toContain(`lab at ${url} answers`);
    expect(doctor.stdout).toMatch(/with a trusted certificate of NetApp test authority, until 20\d\d-\d\d-\d\d/);

    expect(await get(port, '/netapp/healthz')).toMatchObject({ status: 200 });
    expect(await get(port, '/netapp/directory/list')).toMatchObject({ status: 401, fault: 'unauthenticated' });
    expect((await get(port, '/netapp/invite')).body.trim()).toBe(tracker.text('invite'));

    await end(child);
    await until(
      () => bob.client.status.show(),
      ({ trackers }) => trackers[0]?.used === false,
    );
    await startProxy(name, proxy);
    await until(
      () => bob.client.status.show(),
      ({ trackers }) => trackers[0]?.used === true,
    );
    expect((await bob.client.people.find({ handle: 'alice' })).status).toBe('online');
  });
}

test('without an authority that vouches for the proxy, and with settings that cannot be, it is said what to do', async ({
  skip,
}) => {
  const none = await run(['tracker', '--home', join(folder, 't'), '--port', '0', '--behind-proxy', '0']);
  expect([none.code, none.stderr]).toEqual([2, expect.stringContaining('--public-url')]);
  const half = await run(['tracker', '--home', join(folder, 't'), '--port', '0', '--public-url', 'wss://a.example']);
  expect([half.code, half.stderr]).toEqual([2, expect.stringContaining('--behind-proxy')]);
  const plain = ['--behind-proxy', '0', '--public-url', 'https://a.example'];
  const wrong = await run(['tracker', '--home', join(folder, 't'), '--port', '0', ...plain]);
  expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('wss://')]);

  needsProxy('nginx', skip);
  const port = await freePort();
  const url = `wss://${HOST}:${port}/netapp`;
  const tracker = await start(join(folder, 'tracker'), [
    ...['tracker', '--port', '0', '--behind-proxy', '0', '--public-url', url],
  ]);
  running.push(tracker);
  await startProxy('nginx', { port, upstream: Number(tracker.says.proxyPort) });
  const asked = [
    'up',
    '--name',
    'eve',
    '--port',
    '0',
    '--host',
    '127.0.0.1',
    '--tracker',
    url,
    '--home',
    join(folder, 'eve'),
  ];
  const distrusting = await run(asked);
  expect([distrusting.code, distrusting.stderr]).toEqual([32, expect.stringContaining('--tracker-ca')]);
});
