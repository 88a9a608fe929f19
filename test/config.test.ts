/** Settings: flags over environment over config.json over defaults, shown with where each comes from. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { run, start } from './program.ts';
import { until } from './testnet.ts';

let home: string;

beforeEach(async () => {
  home = join(await mkdtemp(join(tmpdir(), 'netapp-config-')), 'home');
  await mkdir(home);
});
afterEach(() => rm(join(home, '..'), { recursive: true, force: true }));

const configure = (text: string): Promise<void> => writeFile(join(home, 'config.json'), text);

type Row = { name: string; value: unknown; origin: string };

async function shown(args: string[] = [], env: Record<string, string> = {}): Promise<Record<string, Row>> {
  const { code, stdout, stderr } = await run(['config', 'show', '--home', home, '--json', ...args], { env });
  expect([code, stderr]).toEqual([0, '']);
  const rows: Row[] = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  return Object.fromEntries(rows.map((row) => [row.name, row]));
}

test('flags win over the environment, that over config.json, that over defaults', async () => {
  await configure('{"port": 1000, "zone": "file", "presence": "contacts", "awayAfterMs": null}');
  const env = { NETAPP_PORT: '2000', NETAPP_ZONE: 'env', NETAPP_WEBHOOK_TARGETS: 'a.example, b.example:8443' };
  const rows = await shown(['--port', '3000'], env);
  expect(rows).toMatchObject({
    home: { value: home, origin: 'flag --home' },
    port: { value: 3000, origin: 'flag --port' },
    zone: { value: 'env', origin: 'environment NETAPP_ZONE' },
    presence: { value: 'contacts', origin: join(home, 'config.json') },
    awayAfterMs: { value: null, origin: join(home, 'config.json') },
    trackerPort: { value: 22_236, origin: 'default' },
    webhookTargets: { value: ['a.example', 'b.example:8443'], origin: 'environment NETAPP_WEBHOOK_TARGETS' },
    httpPort: { value: null, origin: 'default' },
  });
  const { stdout } = await run(['config', 'show', '--home', home, '--origin'], { env });
  expect(stdout).toMatch(/^zone +env +environment NETAPP_ZONE$/m);
  expect((await run(['config', 'show', '--home', home])).stdout).not.toContain('ORIGIN');
});

test('an unknown setting is named, with the one that was meant', async () => {
  await configure('{"prot": 1000}');
  for (const command of [['up', '--port', '0'], ['tracker'], ['config', 'show']]) {
    const { code, stderr } = await run([...command, '--home', home]);
    expect(code).toBe(2);
    expect(stderr).toContain('"prot" is no setting; did you mean "port"?');
  }
});

test('a wrong value, and a file that is no JSON, are named', async () => {
  await configure('{"port": "x"}');
  const wrong = await run(['config', 'show', '--home', home]);
  expect([wrong.code, wrong.stderr]).toEqual([53, expect.stringContaining('"port"')]);
  await configure('{');
  expect((await run(['config', 'show', '--home', home])).code).toBe(53);
});

test.each([
  ['NETAPP_PORT', '70000'],
  ['NETAPP_MAILBOX', 'maybe'],
  ['NETAPP_AWAY_AFTER', '5 weeks'],
  ['NETAPP_LOG', 'loud'],
  ['NETAPP_ADMINS', 'alice@lab'],
  ['NETAPP_POLICY', 'ajar'],
  ['NETAPP_LIMITS', 'connectionsPerAddress'],
  ['NETAPP_LIMITS', 'connectionsPerAdress=3'],
  ['NETAPP_LIMITS', 'requestsPerKey=-1'],
  ['NETAPP_RELAY', 'perhaps'],
  ['NETAPP_RELAY_LIMITS', 'bytesPerYear=3'],
  ['NETAPP_DRAIN', 'soon'],
])('%s "%s" is refused', async (name, value) => {
  const { code, stderr } = await run(['config', 'show', '--home', home], { env: { [name]: value } });
  expect(code).toBe(2);
  expect(stderr).toContain(`reading ${name} "${value}": `);
});

test('up takes its settings from the file, and remembers what flags said and nothing else', async () => {
  await configure('{"httpPort": 0, "zone": "office", "name": "carol", "log": "error"}');
  const env = { NETAPP_PRESENCE: 'contacts' };
  await using up = await start(home, ['up', '--port', '0', '--tracker-port', '0', '--away-after', '2h'], { env });
  expect(up.text('handle')).toBe('carol@office');
  expect(up.text('http')).toMatch(/^http:/);
  expect(JSON.parse(await readFile(join(home, 'config.json'), 'utf8'))).toEqual({
    httpPort: 0,
    zone: 'office',
    name: 'carol',
    log: 'error',
    port: 0,
    trackerPort: 0,
    awayAfterMs: 7_200_000,
    trackers: [],
  });
});

test('limits are shown as they are written', async () => {
  await configure(
    '{"limits": {"connectionsPerAddress": 100, "loopback": true}, "drainMs": null, "relayLimits": {"pairs": 5}, "relay": "on"}',
  );
  const { stdout } = await run(['config', 'show', '--home', home]);
  expect(stdout).toMatch(/^limits +connectionsPerAddress=100,loopback=true$/m);
  expect(stdout).toMatch(/^drainMs +-$/m);
  expect(stdout).toMatch(/^relayLimits +pairs=5$/m);
  expect(stdout).toMatch(/^relay +on$/m);
  const wrong = await run(['tracker', '--limit', 'connectionsPerAddress=many', '--home', home]);
  expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('reading --limit')]);
});

test('up reads its log level and the admins of the tracker inside again at SIGHUP, and goes on', async () => {
  await using up = await start(home, ['up', '--name', 'root', '--port', '0', '--tracker-port', '0']);
  const kept = JSON.parse(await readFile(join(home, 'config.json'), 'utf8'));
  await configure(JSON.stringify({ ...kept, log: 'debug', policy: 'closed' }));
  up.child.kill('SIGHUP');
  await until(up.said, (said) => said.includes('"changed":["policy","log"]'));
  expect(await up.client.zones.policy({ zone: 'lab' })).toEqual({ zone: 'lab', policy: 'closed' });
  await expect(up.client.zones.policy({ zone: 'lab', policy: 'open' })).rejects.toMatchObject({ code: 'wrong_state' });
  expect(up.said()).toContain('zones.policy');
});
