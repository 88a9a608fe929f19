/** The full-screen chat: its screen against real agents, and the program itself on a real terminal. */
import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { cleanup, render } from 'ink-testing-library';
import { createElement } from 'react';
import stringWidth from 'string-width';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Message } from '../src/api/shapes.ts';
import { FAULTS } from '../src/base/fault.ts';
import { frame } from '../src/tui/frame.ts';
import { Model } from '../src/tui/model.ts';
import { Screen } from '../src/tui/screen.ts';
import { Chat } from '../src/tui/view.ts';
import { type Running, run, start } from './program.ts';
import { has, Terminal } from './terminal.ts';
import { type Member, TestNet, until } from './testnet.ts';

const main = resolve(import.meta.dirname, '../src/bin/netapp.ts');

describe('the screen', () => {
  let net: TestNet;
  let alice: Member;
  let bob: Member;
  let left: AbortController;
  let screen: Screen;
  let app: ReturnType<typeof render>;

  beforeAll(async () => {
    net = await TestNet.create();
    const tracker = await net.tracker();
    [alice, bob] = [await net.member('alice', tracker), await net.member('bob', tracker)];
  });
  afterAll(() => net[Symbol.asyncDispose]());

  beforeEach(async () => {
    left = new AbortController();
    const model = new Model(join(alice.home, 'agent.sock'), left.signal);
    await model.start();
    screen = new Screen(model, { exit: () => left.abort(), run: () => {}, complete: async () => undefined });
    app = render(createElement(Chat, { screen }));
  });
  afterEach(() => {
    left.abort();
    cleanup();
  });

  const shows = (what: string | RegExp) =>
    until(
      () => app.lastFrame() ?? '',
      (seen) => (typeof what === 'string' ? seen.includes(what) : what.test(seen)),
    );

  const keys = (...written: string[]): void => {
    for (const each of written) app.stdin.write(each);
  };

  test('what is unread is counted, shown when it is opened, and then its author knows that it was read', async () => {
    const { id } = await bob.client.messages.say({ handle: 'alice', text: 'are you there?' });
    await shows(/bob +1/);
    expect(app.lastFrame()).not.toContain('are you there?');
    keys('\t');
    await shows('are you there?');
    await bob.event('message.read', (data) => data.id === id);
    await until(
      () => app.lastFrame() ?? '',
      (seen) => !/bob +1/.test(seen),
    );
  });

  test('what is written is sent, and its delivery shows as it is proven', async () => {
    screen.open('bob@lab');
    keys('hello', ' Bob', '\r');
    await shows(/alice hello Bob · (delivered|read)/);
    await bob.client.messages.read({ target: 'alice' });
    await shows('hello Bob · read');
    expect(screen.line.text).toBe('');
  });

  test('what comes in one piece is taken key by key', async () => {
    screen.open('bob@lab');
    keys('one piecez\u007f\rtwo\r');
    await shows('alice one piece ·');
    await shows('alice two ·');
  });

  test('what cannot be sent is told, and stays', async () => {
    screen.open('nobody@lab');
    keys('lost?', '\r');
    await shows('! finding');
    expect(screen.line.text).toBe('lost?');
  });

  test('what others write steers nothing', async () => {
    screen.open('bob@lab');
    const text = 'x\u001b[2J\u001b]0;owned\u0007\u202eevil\nline two\n12:00 alice fake · read';
    await bob.client.messages.say({ handle: 'alice', text });
    const seen = await shows('fake');
    expect(seen).not.toMatch(/[\u0007\u202e\u0000-\u0009\u000b-\u001a]|\u001b\[2J|\u001b\]/);
    // Each of its lines stands under its own head, so that none passes for a message.
    expect(seen).toMatch(/│ {6}12:00 alice fake/);
  });

  test('messages are marked, answered, changed and taken back', async () => {
    screen.open('bob@lab');
    const { id } = await bob.client.messages.say({ handle: 'alice', text: 'a question' });
    await shows('bob a question');
    keys('\u001b');
    await shows('r answer'); // an escape alone is told from the beginning of another key by what does not follow
    keys('r');
    await shows('answer to bob: a question');
    keys('the answer', '\r');
    await shows(/┌ bob: a question[\s\S]*alice the answer/);
    await bob.event('message.received', (data) => data.replyTo === id && data.text === 'the answer');
    keys('\u0005', '!', '\r');
    await shows('the answer! (edited)');
    keys('\u0005', '\u0015', '\r');
    await shows('(deleted)');
    await bob.event('message.deleted');
  });

  test('somebody is seen to write, and to go away', async () => {
    screen.open('bob@lab');
    // It is shown for some seconds, which a slow machine may miss.
    await until(
      async () => {
        await bob.client.messages.typing({ target: 'alice' });
        return app.lastFrame() ?? '';
      },
      (seen) => seen.includes('bob is writing'),
    );
    await bob.client.people.status({ status: 'busy', text: '' });
    await shows('bob@lab (busy)');
    await bob.client.people.status({ status: 'online', text: '' });
  });

  test('an offered file is accepted with one key, and shows how far it is', async () => {
    const path = join(net.folder, 'report.bin');
    await writeFile(path, Buffer.alloc(300_000, 7));
    await bob.client.files.send({ handle: 'alice', path });
    await shows('bob offers report.bin (300 kB)');
    keys('\u0019');
    screen.open('bob@lab');
    await shows(/report\.bin 300 kB done/);
    keys('\u0014');
    await shows(/← bob report\.bin 300 kB done/);
  });

  test('a room is joined with one key', async () => {
    await bob.client.rooms.create({ name: 'lab-talk', members: ['alice'] });
    await shows(/#lab-talk +asked/);
    const place = screen.model.places.find(({ title }) => title === '#lab-talk');
    screen.open(place?.target ?? '');
    await shows('asks me into #lab-talk');
    keys('\u0019');
    await shows(/#lab-talk: (alice, bob|bob, alice)/);
    keys('hi all', '\r');
    await bob.event('message.received', ({ text, room }) => text === 'hi all' && room === 'lab-talk');
  });

  test('older messages are loaded as somebody goes back', async () => {
    const { chat } = bob.node;
    for (let n = 0; n < 130; n += 1) chat.say(alice.node.account, { text: `number ${n} of many` });
    await alice.event('message.received', ({ text }) => text === 'number 129 of many');
    screen.open('bob@lab');
    await shows('number 129 of many');
    expect(screen.messages.length).toBeLessThan(130);
    await until(
      () => {
        keys('\u001b[5~');
        return app.lastFrame() ?? '';
      },
      (seen) => seen.includes('number 0 of many'),
    );
    // What comes meanwhile moves nothing.
    const { id } = await bob.client.messages.say({ handle: 'alice', text: 'the newest' });
    await until(
      () => screen.messages,
      (all) => all.some((message) => message.id === id),
    );
    await shows(/bob +\d+/);
    expect(app.lastFrame()).toContain('number 0 of many');
    expect(app.lastFrame()).not.toContain('the newest');
    keys('\u001b[F');
    await shows('the newest');
  });

  test('with 10,000 messages only those that are seen are looked at, and every row fits', async () => {
    screen.open('bob@lab');
    await until(
      () => screen.messages,
      (all) => all.length > 0,
    );
    const [one] = screen.messages;
    if (!one) throw new Error('no message');
    let looked = 0;
    const many = Array.from({ length: 10_000 }, (_, n): Message => {
      const text = `${'漢字 wide 🙂 '.repeat(n % 30)}${n}`;
      return Object.defineProperty({ ...one, id: `m${n}` }, 'text', {
        get: () => {
          looked += 1;
          return text;
        },
      });
    });
    screen.model.timeline('bob@lab').replace(many, true);
    for (const [columns, rows] of [
      [80, 24],
      [200, 50],
      [40, 10],
      [20, 5],
    ] as const) {
      looked = 0;
      const made = frame(screen, columns, rows).rows;
      expect(looked).toBeLessThanOrEqual(2 * rows);
      expect(looked).toBeGreaterThan(0);
      expect(made).toHaveLength(rows);
      for (const row of made) expect(stringWidth(row.map(({ text }) => text).join(''))).toBeLessThanOrEqual(columns);
    }
    frame(screen, 80, 24);
    looked = 0;
    frame(screen, 80, 24);
    expect(looked).toBe(0); // what was made once is used again
  });
});

test('without a terminal it says what there is instead', async () => {
  const { code, stderr, stdout } = await run(['chat']);
  expect({ code, stdout }).toEqual({ code: FAULTS.wrong_state.exit, stdout: '' });
  expect(stderr).toContain('it needs a terminal');
});

describe.skipIf(!has('tmux'))('on a terminal', () => {
  let net: TestNet;
  let bob: Member;
  let alice: Running;
  let terminal: Terminal;
  let home: string;
  let join_: string[];

  beforeEach(async () => {
    net = await TestNet.create();
    const tracker = await net.tracker();
    bob = await net.member('bob', tracker);
    home = join(net.folder, 'alice-home');
    join_ = ['up', '--name', 'alice', '--port', '0', '--join', tracker.invite];
    alice = await start(home, join_);
    const command = `"${process.execPath}" "${main}" chat bob --home ${home}; echo "ended with $?"; exec sh`;
    terminal = new Terminal(command, { env: { NETAPP_HOME: '/nowhere' } });
    await terminal.shows('bob@lab (online)');
  });
  afterEach(async () => {
    terminal[Symbol.dispose]();
    await alice[Symbol.asyncDispose]();
    await net[Symbol.asyncDispose]();
  });

  const cleanTerminal = async (code: number): Promise<void> => {
    await terminal.shows(`ended with ${code}`);
    expect(terminal.state('#{alternate_on} #{cursor_flag}')).toBe('0 1');
    terminal.type('stty -a; echo typed\n');
    expect(await terminal.shows(/^typed$/m)).toMatch(/[^-]icanon[\s\S]*[^-]echo /);
  };

  test('it is written and read, at any size, and the terminal is as it was', async () => {
    terminal.type('hello from a terminal');
    terminal.press('Enter');
    await terminal.shows('hello from a terminal · delivered');
    const { id } = await bob.client.messages.say({ handle: 'alice', text: 'seen from afar' });
    await terminal.shows('bob seen from afar');
    await bob.event('message.read', (data) => data.id === id);
    terminal.resize(200, 50);
    await until(
      () => terminal.screen().split('\n'),
      (rows) => rows[0]?.trimEnd().length === 199 && rows[49]?.includes('? keys') === true,
    );
    terminal.resize(40, 12);
    await until(
      () => terminal.screen().split('\n'),
      (rows) => rows[11]?.includes('? keys') === true,
    );
    await terminal.shows(/^\d\d:\d\d bob seen from afar/m);
    terminal.resize(80, 24);
    await until(
      () => terminal.screen().split('\n'),
      (rows) => rows[23]?.includes('? keys') === true,
    );
    terminal.type('/people list');
    terminal.press('Enter');
    await terminal.shows(/^ alice@lab \(me\) +online/m);
    terminal.press('Escape');
    await terminal.shows('bob@lab (online)');
    terminal.press('C-c');
    await cleanTerminal(0);
  });

  test('it goes on when the agent is killed and comes back', async () => {
    await alice.kill();
    await terminal.shows('! ');
    const { id } = await bob.client.messages.say({ handle: 'alice', text: 'while the agent was away' });
    alice = await start(home, join_);
    await bob.event('message.delivered', (data) => data.id === id);
    await terminal.shows('while the agent was away');
    terminal.type('back again');
    terminal.press('Enter');
    await terminal.shows('back again · ');
  });

  test('told to end from outside, it leaves the terminal clean', async () => {
    terminal.press('?');
    await terminal.shows('any key goes back');
    const pid = execFileSync('pgrep', ['-P', terminal.state('#{pane_pid}')], { encoding: 'utf8' });
    process.kill(Number(pid), 'SIGTERM');
    await cleanTerminal(130);
  });
});
