/** The door as programs: "netapp im" beside a tracker, and in the tracker's own process; killed, listed, with passwords. */
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { RawClient } from './im-client.ts';
import { run, start } from './program.ts';
import { until } from './testnet.ts';

type Said = [conversation: number, sender: string, text: string];

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'netapp-im-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test('killed while people talk: who comes back finds conversations and all that was acknowledged [P-32] [P-34]', {
  timeout: 120_000,
}, async () => {
  const home = join(folder, 'gateway');
  await using tracker = await start(join(folder, 'tracker'), ['tracker', '--port', '0']);
  const invite = tracker.text('invite');
  await using nora = await start(join(folder, 'nora'), ['up', '--name', 'nora', '--join', invite, '--port', '0']);
  const open = (port: string) => start(home, ['im', '--join', invite, '--im-port', port]);
  const acknowledged: string[] = [];
  let number = 0;
  let port = '';
  {
    await using gateway = await open('0');
    port = String(gateway.says.imPort);
    await using anna = await RawClient.in(Number(port), 'anna');
    await using ben = await RawClient.in(Number(port), 'ben');
    await anna.hears<Record<string, string>>('ONLINE_USERS', (people) => people.nora === 'online');
    anna.say('INVITE', ['ben', 'nora']);
    [number] = await anna.hears<[number, string]>('INVITATION');
    await ben.hears('INVITATION');
    ben.say('JOIN', [number]);
    const [invited] = await until(
      () => nora.client.rooms.list(),
      (rooms) => rooms.some(({ standing }) => standing === 'invited'),
    );
    await nora.client.rooms.join({ room: invited?.id ?? '' });
    await until(
      () => nora.client.rooms.show({ room: invited?.id ?? '' }),
      ({ members }) => members.length === 3,
    );
    for (let n = 0; acknowledged.length < 100; n++) {
      anna.say('SEND_MESSAGE', [number, `word ${n}`]);
      ben.say('SEND_MESSAGE', [number, `answer ${n}`]);
      for (const [client, text] of [
        [anna, `word ${n}`],
        [ben, `answer ${n}`],
      ] as const) {
        await client.hears<Said>('MESSAGE', ([, , heard]) => heard === text);
        acknowledged.push(text);
      }
    }
    for (let n = 0; n < 20; n++) anna.say('SEND_MESSAGE', [number, `last ${n}`]);
    await gateway.kill();
    await anna.end();
    acknowledged.push(
      ...anna.heard.flatMap(({ word, argument }) =>
        word === 'MESSAGE' && (argument as Said)[2].startsWith('last') ? [(argument as Said)[2]] : [],
      ),
    );
  }
  await using _gateway = await open(port);
  await using anna = await RawClient.in(Number(port), 'anna');
  anna.say('LIST_CONVERSATIONS');
  const listed = await anna.hears<Record<string, string[]>>('CONVERSATIONS');
  expect(listed[number]?.toSorted()).toEqual(['anna', 'ben', 'nora']);
  anna.say('JOIN', [number]);
  anna.say('SEND_MESSAGE', [number, 'back again']);
  await anna.hears<Said>('MESSAGE', ([which, , text]) => which === number && text === 'back again');
  const heard = new Set(
    anna.heard.flatMap(({ word, argument }) => (word === 'MESSAGE' ? [(argument as Said)[2]] : [])),
  );
  expect(acknowledged.filter((text) => !heard.has(text))).toEqual([]);
  // And on the node, each once.
  const there = await until(
    () => nora.client.messages.list({ handle: '#anna-ben-nora', limit: 500 }),
    (messages) =>
      messages.some(({ text }) => text === 'back again') &&
      acknowledged.every((text) => messages.some((each) => each.text === text)),
  );
  const texts = there.map(({ text }) => text);
  expect(new Set(texts).size).toBe(texts.length);
});

test('in a zone that takes newcomers by invite alone, the door beside its tracker lets in who comes through it [A-15]', {
  timeout: 120_000,
}, async () => {
  const args = ['tracker', '--port', '0', '--im-port', '0', '--policy', 'invite'];
  await using tracker = await start(join(folder, 'by-invite'), args);
  await using anna = await RawClient.in(Number(tracker.says.imPort), 'anna');
  await anna.hears<Record<string, string>>('ONLINE_USERS', (people) => people.anna === 'online');
  // By the tracker's own invite, which has no token, nobody comes in.
  const other = await run([
    'im',
    '--home',
    join(folder, 'uninvited'),
    '--join',
    tracker.text('invite'),
    '--im-port',
    '0',
  ]);
  expect([other.code, other.stderr]).toEqual([expect.any(Number), expect.stringContaining('by invite alone')]);
  expect(other.code).not.toBe(0);
});

test('"netapp im" comes in by an invite for so many, of which each new name is one use; whom it has known comes back [A-15]', {
  timeout: 120_000,
}, async () => {
  await using nora = await start(join(folder, 'admin'), ['up', '--name', 'nora', '--port', '0', '--tracker-port', '0']);
  await nora.client.zones.policy({ zone: 'lab', policy: 'invite' });
  const { invite } = await nora.client.zones.invite({ zone: 'lab', uses: 3 });
  const args = ['im', '--join', invite, '--im-port', '0'];
  const home = join(folder, 'by-token');
  {
    await using gateway = await start(home, args);
    const port = Number(gateway.says.imPort);
    await using anna = await RawClient.in(port, 'anna');
    await anna.hears<Record<string, string>>('ONLINE_USERS', (people) => people.anna === 'online');
    await using ben = await RawClient.in(port, 'ben');
    await ben.hears<Record<string, string>>('ONLINE_USERS', (people) => people.ben === 'online');
    // The gateway's own name is the third.
    await expect(RawClient.in(port, 'carol')).rejects.toThrow('used as often as it may be');
  }
  await using gateway = await start(home, args);
  await using anna = await RawClient.in(Number(gateway.says.imPort), 'anna');
  await anna.hears<Record<string, string>>('ONLINE_USERS', (people) => people.anna === 'online');
});

test('beside a tracker in its process: clients listed with their addresses, passwords set while it runs [P-35] [P-40]', {
  timeout: 120_000,
}, async () => {
  const home = join(folder, 'both');
  await using tracker = await start(home, ['tracker', '--port', '0', '--im-port', '0']);
  const port = Number(tracker.says.imPort);
  expect(tracker.text('im')).toBe(`127.0.0.1:${port}`);
  await using anna = await RawClient.in(port, 'Anna');
  const { port: own } = anna.socket.address() as { port: number }; // of a TCP socket
  const listed = await run(['im', 'list', '--home', home, '--json']);
  expect(JSON.parse(listed.stdout)).toMatchObject({
    name: 'Anna',
    handle: 'anna@lab',
    address: `127.0.0.1:${own}`,
    form: 'pickle 0',
  });
  expect((await run(['im', 'list', '--home', home])).stdout).toContain(`127.0.0.1:${own}`);

  const secret = join(folder, 'secret');
  await writeFile(secret, 'correct horse\n');
  expect((await run(['im', 'users', 'add', 'Paula', '--home', home, '--password-file', secret])).stdout).toContain(
    '"paula" has a password',
  );
  const made = await run(['im', 'users', 'add', 'carl', '--home', home, '--json']);
  const { password } = JSON.parse(made.stdout) as { password: string }; // as the command says
  expect(password.length).toBeGreaterThan(10);
  await using paula = await RawClient.open(port);
  paula.say('REGISTER', ['paula', 'online']);
  await paula.error('password needed');
  paula.say('REGISTER', ['paula', 'online', 'correct horse']);
  await paula.hears<Record<string, string>>('ONLINE_USERS', (people) => people.paula === 'online');
  await using _carl = await RawClient.in(port, 'carl', password);
  expect((await run(['im', 'users', 'list', '--home', home, '--json'])).stdout).toMatch(/"carl".*\n.*"paula"/);
  expect((await run(['im', 'users', 'remove', 'carl', '--home', home])).code).toBe(0);
  expect((await run(['im', 'users', 'remove', 'carl', '--home', home])).code).toBe(10);
  const { mode } = await stat(join(home, 'im'));
  expect(mode & 0o777).toBe(0o700);

  const typed = ['/list', '/invite Anna', '/quit'].join('\n');
  const chatted = await run(['im', 'chat', 'terry', '--im-port', String(port), '--json'], { input: `${typed}\n` });
  expect(chatted.code).toBe(0);
  await anna.hears<[number, string]>('INVITATION', ([, who]) => who === 'terry');
  expect(await tracker.stop()).toBe(0);
});

test('beyond this machine only by TLS, or where that is said [P-40]', async () => {
  const refused = await run([
    'tracker',
    '--home',
    join(folder, 'public'),
    '--host',
    '127.0.0.1',
    '--port',
    '0',
    '--im-port',
    '0',
    '--im-host',
    '0.0.0.0',
  ]);
  expect(refused.code).toBe(2);
  expect(refused.stderr).toMatch(/beyond this machine .* --im-tls, or --im-plain/);
  expect((await run(['im', '--home', join(folder, 'alone')])).stderr).toMatch(/it needs a tracker/);
  expect((await run(['im', 'list', '--home', join(folder, 'nobody')])).code).toBe(42);
});
