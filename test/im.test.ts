/** The door for clients of the classic protocol: what each command does, what naive and hostile clients get. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../src/base/clock.ts';
import { Store } from '../src/base/sqlite.ts';
import type { Gateway } from '../src/im/gateway.ts';
import { WAITING_BYTES } from '../src/im/outlet.ts';
import { pickle } from '../src/im/pickle-encode.ts';
import { Records } from '../src/im/records.ts';
import { createIdentity } from '../src/link/certificate.ts';
import type { Tracker } from '../src/tracker/tracker.ts';
import { door, RawClient } from './im-client.ts';
import { type Member, TestNet, until } from './testnet.ts';

type People = Record<string, string>;
type Said = [conversation: number, sender: string, text: string];

let net: TestNet;
let tracker: Tracker;
let nora: Member;
let opened: { gateway: Gateway } & AsyncDisposable;
let port: number;

beforeAll(async () => {
  net = await TestNet.create();
  tracker = await net.tracker();
  nora = await net.member('nora', tracker);
  opened = await door(net, tracker, { rosterMs: 300, limits: { perAddress: 0, rate: 0 } });
  port = opened.gateway.port;
});
afterAll(async () => {
  await opened?.[Symbol.asyncDispose]();
  await net?.[Symbol.asyncDispose]();
});

/** A conversation of these, in which all are; its number. */
async function talk(first: RawClient, ...others: { client: RawClient; name: string }[]): Promise<number> {
  const from = first.heard.length;
  first.say(
    'INVITE',
    others.map(({ name }) => name),
  );
  const [number] = await first.hears<[number, string]>('INVITATION', () => true, from);
  for (const { client } of others) {
    await client.hears<[number, string]>('INVITATION', ([which]) => which === number);
    client.say('JOIN', [number]);
  }
  const names = others.map(({ name }) => name);
  await until(
    async () => {
      const before = first.heard.length;
      first.say('LIST_CONVERSATIONS');
      return await first.hears<Record<string, string[]>>('CONVERSATIONS', () => true, before);
    },
    (all) => names.every((name) => all[number]?.includes(name)),
  );
  return number;
}

describe('what it says', () => {
  test('who comes hears who is here; everybody hears of who comes, goes or changes, and now and then anyway [P-31]', async () => {
    await using anna = await RawClient.in(port, 'anna');
    expect(await anna.hears<People>('ONLINE_USERS', (people) => people.nora === 'online')).toMatchObject({
      anna: 'online',
    });
    const ben = await RawClient.in(port, 'Ben');
    await anna.hears<People>('ONLINE_USERS', (people) => people.Ben === 'online');
    ben.say('STATUS', ['in a meeting']);
    await anna.hears<People>('ONLINE_USERS', (people) => people.Ben === 'in a meeting');
    await nora.client.people.status({ status: 'busy', text: 'writing' });
    await anna.hears<People>('ONLINE_USERS', (people) => people.nora === 'busy: writing');
    ben.say('GOODBYE');
    await ben.end();
    await anna.hears<People>('ONLINE_USERS', (people) => people.Ben === undefined, anna.heard.length);
    const count = (): number => anna.heard.filter(({ word }) => word === 'ONLINE_USERS').length;
    const seen = count();
    await until(count, (now) => now > seen + 1);
  });

  test('a message goes to all members, its sender included, in the order in which it was said [P-30] [P-32]', async () => {
    await using anna = await RawClient.in(port, 'anna');
    await using ben = await RawClient.in(port, 'ben');
    const number = await talk(anna, { client: ben, name: 'ben' });
    for (let n = 0; n < 50; n++) anna.say('SEND_MESSAGE', [number, `message ${n}`], n % 6);
    const texts = (client: RawClient): string[] =>
      client.heard.flatMap(({ word, argument }) => (word === 'MESSAGE' ? [(argument as Said)[2]] : []));
    for (const client of [anna, ben]) {
      await client.hears<Said>('MESSAGE', ([, , text]) => text === 'message 49');
      expect(texts(client)).toEqual(Array.from({ length: 50 }, (_, n) => `message ${n}`));
    }
    expect((await ben.hears<Said>('MESSAGE'))[1]).toBe('anna');
  });

  test('names are shown as they are spelt, and mean the same however they are written [P-38]', async () => {
    await using one = await RawClient.in(port, 'GrandPa');
    await using two = await RawClient.in(port, 'kid');
    two.say('INVITE', ['grandpa', 'GRANDPA', 'kid', 'grandpa@lab']);
    expect((await one.hears<[number, string]>('INVITATION'))[1]).toBe('kid');
    expect(await two.hears<People>('ONLINE_USERS', (people) => people.GrandPa === 'online')).not.toHaveProperty(
      'grandpa',
    );
  });

  test('who was away is told what was said, and is asked again into what is open [P-34]', async () => {
    await using anna = await RawClient.in(port, 'anna');
    const away = await RawClient.in(port, 'wanderer');
    const number = await talk(anna, { client: away, name: 'wanderer' });
    anna.say('SEND_MESSAGE', [number, 'while you are here']);
    await away.hears<Said>('MESSAGE', ([, , text]) => text === 'while you are here');
    away.socket.destroy(); // vanishes without a word
    await anna.hears<People>('ONLINE_USERS', (people) => people.wanderer === undefined, anna.heard.length);
    for (const text of ['while you are away', 'and another']) anna.say('SEND_MESSAGE', [number, text]);
    await anna.hears<Said>('MESSAGE', ([, , text]) => text === 'and another');
    anna.say('INVITE', ['wanderer']);
    const [open] = await anna.hears<[number, string]>('INVITATION', ([which]) => which !== number);

    await using back = await RawClient.in(port, 'wanderer');
    await back.hears<[number, string]>('INVITATION', ([which, who]) => which === open && who === 'anna');
    await back.hears<Said>('MESSAGE', ([, , text]) => text === 'and another');
    const said = back.heard.filter(({ word }) => word === 'MESSAGE').map(({ argument }) => argument);
    expect(said).toEqual([
      [number, 'anna', 'while you are away'],
      [number, 'anna', 'and another'],
    ]);
    // JOIN brings what was said before, once.
    back.say('JOIN', [number]);
    await back.hears<Said>('MESSAGE', ([, , text]) => text === 'while you are here');
    back.say('JOIN', [number]);
    anna.say('SEND_MESSAGE', [number, 'the end']);
    await back.hears<Said>('MESSAGE', ([, , text]) => text === 'the end');
    expect(back.heard.filter(({ word }) => word === 'MESSAGE')).toHaveLength(4);
  });

  test('the last owner who leaves leaves the conversation to another', async () => {
    await using anna = await RawClient.in(port, 'anna');
    await using ben = await RawClient.in(port, 'ben');
    const number = await talk(anna, { client: ben, name: 'ben' });
    anna.say('LEAVE', [number]);
    await until(
      async () => {
        const from = ben.heard.length;
        ben.say('LIST_CONVERSATIONS');
        return await ben.hears<Record<string, string[]>>('CONVERSATIONS', () => true, from);
      },
      (all) => all[number]?.join() === 'ben',
    );
    ben.say('SEND_MESSAGE', [number, 'alone']);
    await ben.hears<Said>('MESSAGE', ([which]) => which === number);
    expect(anna.heard.some(({ word }) => word === 'MESSAGE')).toBe(false);
    ben.say('LEAVE', [number]);
    ben.say('SEND_MESSAGE', [number, 'nobody is here']);
    await ben.error('not a member');
  });

  test('who writes JSON is answered in JSON [P-23]', async () => {
    await using anna = await RawClient.in(port, 'anna');
    await using web = await RawClient.open(port, 'json');
    web.write('REGISTER ["jason", "online"]\nINVITE ["anna"]LIST_CONVERSATIONS');
    const [number, source] = await web.hears<[number, string]>('INVITATION');
    expect(source).toBe('jason');
    await web.hears<Record<string, string[]>>('CONVERSATIONS', (all) => all[number]?.[0] === 'jason');
    await anna.hears<[number, string]>('INVITATION', ([which]) => which === number);
    anna.say('JOIN', [number]);
    web.write(`SEND_MESSAGE {"not":"a list"}`);
    await web.error('SEND_MESSAGE without what it needs');
    web.write(`SEND_MESSAGE ["${number}", "grüß"]`);
    await web.hears<Said>('MESSAGE', ([which, who, text]) => which === number && who === 'jason' && text === 'grüß');
    await anna.hears<Said>('MESSAGE', ([, , text]) => text === 'grüß');
  });

  test('pickles go out in the protocol that the client itself used last [P-10]', async () => {
    const socket = connect({ host: '127.0.0.1', port });
    const bytes: Buffer[] = [];
    socket.on('data', (data) => bytes.push(data));
    const heard = (): string => Buffer.concat(bytes).toString('latin1');
    await once(socket, 'connect');
    socket.write('STATUS');
    await until(heard, (text) => text.startsWith("ERROR S'"));
    socket.write(Buffer.concat([Buffer.from('STATUS '), pickle(['x'], 2)]));
    await until(heard, (text) => text.includes('ERROR \x80\x02U'));
    socket.write(Buffer.concat([Buffer.from('STATUS '), pickle(['x'], 4)]));
    await until(heard, (text) => text.includes('ERROR \x80\x04\x8c'));
    socket.destroy();
  });
});

test('a file is shown as its name and a link, which any browser fetches, and nobody guesses [P-39]', {
  timeout: 60_000,
}, async () => {
  await using anna = await RawClient.in(port, 'anna');
  const path = join(net.folder, 'läsung.bin');
  const content = randomBytes(2_500_000);
  await writeFile(path, content);
  await nora.client.files.send({ handle: 'anna', path });
  const [, sender, text] = await anna.hears<Said>('MESSAGE', ([, , said]) => said.startsWith('läsung.bin'));
  expect(sender).toBe('nora');
  const [, link = ''] = /^läsung.bin \(2500000 bytes\): (http:\S+)$/.exec(text) ?? [];
  const answer = await fetch(link);
  if (answer.status !== 200) throw new Error(await answer.text());
  expect(answer.headers.get('content-disposition')).toMatch(/^attachment; filename\*=UTF-8''l%C3%A4sung.bin$/);
  expect(Buffer.from(await answer.arrayBuffer()).equals(content)).toBe(true);
  const forged = await fetch(link.replace(/\.(\d{10,})\./, (_, until) => `.${Number(until) + 1}.`));
  expect([forged.status, await forged.text()]).toEqual([403, expect.stringContaining('was not made here')]);
  expect((await fetch(link, { method: 'HEAD' }).catch(() => undefined))?.status).not.toBe(200); // no client says so
});

describe('errors, each a sentence, after which the connection stays [P-33]', () => {
  test('of the commands', async () => {
    await using anna = await RawClient.in(port, 'anna');
    await using client = await RawClient.open(port);
    for (const word of ['STATUS', 'INVITE', 'JOIN', 'SEND_MESSAGE', 'LEAVE']) {
      const from = client.heard.length;
      client.say(word, [1, 'x']);
      await client.hears<string>('ERROR', (sentence) => sentence.startsWith('not registered yet'), from);
    }
    client.say('LIST_CONVERSATIONS');
    client.say('REGISTER', ['anna', 'online']);
    await client.error('username taken: somebody is here');
    client.say('REGISTER', ['nora', 'online']);
    await client.error('username taken: "nora" belongs to somebody with a node');
    client.say('REGISTER', ['two words', 'online']);
    await client.error('"two words" cannot be a username');
    client.say('REGISTER', []);
    await client.error('REGISTER without what it needs');
    client.say('REGISTER', ['ben', 'online']);
    await client.hears('ONLINE_USERS');
    client.say('REGISTER', ['carl', 'online']);
    await client.error('you are "ben"');
    client.say('DANCE', ['x']);
    await client.error('unknown command: "DANCE"');
    client.say('JOIN', [987_654]);
    await client.error('unknown conversation: there is no 987654');
    client.say('JOIN', ['abc']);
    await client.error('JOIN without what it needs');
    client.say('INVITE', ['anna', 'zed']);
    await client.error('unknown user: there is no "zed"');
    client.say('INVITE', ['ben']);
    await client.error('INVITE names nobody');
    anna.say('INVITE', ['nora']);
    const [number] = await anna.hears<[number, string]>('INVITATION');
    client.say('JOIN', [number]);
    await client.error('not invited');
    client.say('SEND_MESSAGE', [number, 'x']);
    await client.error('not a member');
    const from = client.heard.length;
    client.say('LEAVE', [number]);
    await client.hears<string>('ERROR', (sentence) => sentence.startsWith('not a member'), from);
    client.say('SEND_MESSAGE', [number, 'x'.repeat(300_000)]);
    await client.hears<string>('ERROR', () => true, from + 1);
    client.say('STATUS', ['still here']);
    await client.hears<People>('ONLINE_USERS', (people) => people.ben === 'still here');
    expect(client.ended).toBe(false);
  });

  test('too fast: what comes too fast is left aside [P-36]', async () => {
    await using slow = await door(net, tracker, { name: 'slow', limits: { perAddress: 2, rate: 1 } });
    await using client = await RawClient.open(slow.gateway.port);
    for (let n = 0; n < 20; n++) client.say('STATUS', ['x']);
    await client.error('too fast: "STATUS" was left aside');
    await using _second = await RawClient.open(slow.gateway.port);
    await using third = await RawClient.open(slow.gateway.port);
    await third.error('too many connections from 127.0.0.1');
    await third.end();
    expect(client.ended).toBe(false);
  });

  test('passwords: as third item or behind a colon; who has it may take over [P-35]', async () => {
    using store = new Store(join(net.folder, 'im', 'im.db'));
    const records = new Records(store, systemClock);
    await records.setPassword('paula', 'öpen: sesame');
    await using stranger = await RawClient.open(port);
    stranger.say('REGISTER', ['Paula', 'online']);
    await stranger.error('password needed: "paula" has one');
    stranger.say('REGISTER', ['paula', 'online', 'wrong']);
    await stranger.error('password wrong');
    await using first = await RawClient.in(port, 'paula', 'öpen: sesame');
    await using second = await RawClient.open(port);
    second.say('REGISTER', ['paula:öpen: sesame', 'online']);
    await second.hears<People>('ONLINE_USERS', (people) => people.paula === 'online');
    await first.error('you came in as "paula" from elsewhere');
    await first.end();
    second.say('STATUS', ['me']);
    await second.hears<People>('ONLINE_USERS', (people) => people.paula === 'me');
    for (let n = 0; n < 6; n++) stranger.say('REGISTER', ['paula', 'online', `guess ${n}`]);
    await stranger.error('too fast: too many passwords');
    records.removeUser('paula');
    expect(records.users()).toEqual([]);
    second.say('GOODBYE');
    await second.end();
    await using _anybody = await RawClient.in(port, 'paula');
  });
});

describe('naive clients', () => {
  test('the next command before the answer, many in one segment, cut anywhere, arguments where there are none [P-20] [P-21]', async () => {
    await using anna = await RawClient.in(port, 'anna');
    const stream = Buffer.concat([
      Buffer.from('REGISTER '),
      pickle(['hasty', 'online']),
      Buffer.from('LIST_CONVERSATIONS '),
      pickle([1, 2, 3]),
      Buffer.from('STATUS '),
      pickle('single', 2), // no list around it
      Buffer.from('INVITE '),
      pickle(['anna']),
      Buffer.from('LIST_CONVERSATIONSGOODBYE'),
    ]);
    await using hasty = await RawClient.open(port);
    hasty.socket.setNoDelay(true);
    for (const byte of stream) hasty.write(Uint8Array.of(byte));
    await hasty.end();
    const words = hasty.heard.map(({ word }) => word).filter((word) => word !== 'ONLINE_USERS');
    expect(words).toEqual(['CONVERSATIONS', 'INVITATION', 'CONVERSATIONS']);
    await anna.hears<People>('ONLINE_USERS', (people) => people.hasty === 'single' || people.hasty === undefined);
  });

  test('half closed after the last command, as by "nc -N": it is still answered [P-20]', async () => {
    await using client = await RawClient.open(port);
    client.socket.end(
      Buffer.concat([Buffer.from('REGISTER '), pickle(['pipe', 'online']), Buffer.from('LIST_CONVERSATIONS')]),
    );
    await client.end();
    expect(client.heard.map(({ word }) => word)).toContain('CONVERSATIONS');
  });

  test('one that stops within a command is told so, and goes on [P-21]', async () => {
    await using client = await RawClient.open(port);
    client.write('JOIN');
    await client.error('not registered yet');
    client.say('REGISTER', ['patient', 'online']);
    await client.hears('ONLINE_USERS');
    client.write('JOIN');
    await client.error('JOIN without what it needs');
    client.write('HELLO THERE');
    await client.error('unknown command: "HELLO"');
  });

  test('one that never reads is cut at its bound, and costs the others nothing [P-37]', {
    timeout: 60_000,
  }, async () => {
    await using anna = await RawClient.in(port, 'anna');
    await using deaf = await RawClient.in(port, 'deaf');
    const number = await talk(anna, { client: deaf, name: 'deaf' });
    deaf.socket.pause();
    const text = 'x'.repeat(20_000);
    let said = 0;
    const isHere = (): boolean => opened.gateway.clients().some(({ name }) => name === 'deaf');
    for (; isHere() && said < 3000; said++) {
      anna.say('SEND_MESSAGE', [number, `${said} ${text}`]);
      // Each is answered before the next: nothing of this is the sender's own speed.
      await anna.hears<Said>('MESSAGE', ([, , heard]) => heard.startsWith(`${said} `), anna.heard.length);
      anna.heard.length = 0;
    }
    expect(isHere()).toBe(false);
    expect(said * text.length).toBeGreaterThan(WAITING_BYTES);
    await anna.hears<People>('ONLINE_USERS', (people) => people.deaf === undefined);
  });
});

describe('hostile bytes', () => {
  test.each([
    ['a class', "REGISTER cos\nsystem\n(S'true'\ntR."],
    ['a reduce', 'STATUS \x80\x02cposix\nsystem\nq\x00U\x04trueq\x01\x85q\x02Rq\x03.'],
    ['a stack global', 'STATUS \x80\x04\x8c\x02os\x8c\x06system\x93.'],
    ['a persistent id', 'STATUS Pabc\n.'],
    ['depth', `STATUS ${'('.repeat(40)}${'l'.repeat(40)}.`],
    ['a bomb', `STATUS (l${'2'.repeat(2)}${'(l'.repeat(3)}.`],
    ['a long word', `${'A'.repeat(100)} `],
    ['TLS', '\x16\x03\x01\x02\x00\x01'],
    ['HTTP', 'POST / HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['broken JSON', 'STATUS [1}'],
    ['nothing but zeros', '\0'.repeat(100)],
  ])('%s is garbage: an error, then the end; others do not notice [P-2] [P-4] [P-22]', async (_what, text) => {
    await using anna = await RawClient.in(port, 'anna');
    await using hostile = await RawClient.open(port);
    hostile.write(Buffer.from(text, 'latin1'));
    if (text.startsWith('POST')) {
      await hostile.error('unknown command'); // a word as good as any, and then what is none
    }
    await hostile.error('malformed');
    await hostile.end();
    anna.say('LIST_CONVERSATIONS');
    await anna.hears('CONVERSATIONS');
  });

  test('a pickle beyond its bound is refused before it is here whole [P-3]', async () => {
    await using hostile = await RawClient.open(port);
    hostile.write(Buffer.concat([Buffer.from('STATUS \x80\x02X', 'latin1'), Buffer.from([0xff, 0xff, 0xff, 0x7f])]));
    await hostile.error('malformed');
    await hostile.end();
  });
});

test('by TLS, where that is asked for [P-40]', async () => {
  const { key, cert } = await createIdentity();
  await using secure = await door(net, tracker, { name: 'secure', tls: { key: key.pem, cert } });
  const socket = connectTls({ host: '127.0.0.1', port: secure.gateway.port, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  socket.write('REGISTER ["tess","online"]\n');
  let heard = '';
  socket.on('data', (data) => (heard += data));
  await until(
    () => heard,
    (text) => text.includes('ONLINE_USERS') && text.includes('"tess":"online"'),
  );
  socket.destroy();
  await using plain = await RawClient.open(secure.gateway.port);
  plain.say('REGISTER', ['nobody', 'online']);
  await plain.end();
  expect(plain.heard).toEqual([]);
});
