/** Real clients of two ages and somebody on a node of their own, in one conversation, through every message of the table. */
import { expect, test } from 'vitest';
import { door, isHere, PythonClient } from './im-client.ts';
import { TestNet, until } from './testnet.ts';

const here = ['python3', 'jython'].filter(isHere);
const missing = ['python3', 'jython'].filter((program) => !here.includes(program));
if (missing.length > 0) {
  const what = `${missing.join(' and ')} needed here: install Debian's package of that name`;
  if (process.env.CI) throw new Error(what);
  console.warn(what);
}

test.skipIf(missing.length > 0)(
  'Jython 2.7 and Python 3 talk with each other and with a node [P-20] [P-10] [P-31] [P-33]',
  { timeout: 240_000 },
  async () => {
    await using net = await TestNet.create();
    const tracker = await net.tracker();
    const nora = await net.member('nora', tracker);
    await using opened = await door(net, tracker);
    const { port } = opened.gateway;
    // Two of each age at once.
    await using old = new PythonClient('jython', 'Otto', port);
    await using young = new PythonClient('python3', 'Yann', port);
    await using another = new PythonClient('jython', 'Anna', port);
    await using late = new PythonClient('python3', 'Lena', port);

    // REGISTER and ONLINE_USERS: everybody hears of everybody, the one on a node too.
    for (const client of [old, young, another, late]) {
      await client.shows(/^\* here: (?=.*Anna \(online\))(?=.*Lena)(?=.*Otto)(?=.*Yann)(?=.*nora \(online\))/);
    }
    const people = await until(
      () => nora.client.people.list(),
      (list) =>
        ['otto@lab', 'yann@lab', 'anna@lab', 'lena@lab'].every((handle) =>
          list.some((person) => person.handle === handle && person.status === 'online'),
        ),
    );
    // Those four, who asks, and the gateway itself; nobody twice.
    expect(people.filter(({ handle }) => !handle.startsWith('im-')).length).toBe(5);

    // STATUS
    old.type('/status gone fishing');
    await young.shows(/Otto \(gone fishing\)/);
    await until(
      () => nora.client.people.find({ handle: 'otto' }),
      ({ text }) => text === 'gone fishing',
    );

    // INVITE and INVITATION, to all invited and to who invites.
    old.type('/invite yann ANNA nora');
    const invited = await young.shows(/^\* Otto invites you to conversation \d+/);
    const number = /conversation (\d+)/.exec(invited)?.[1] ?? '';
    await another.shows(new RegExp(`Otto invites you to conversation ${number}:`));
    await old.shows(new RegExp(`Otto invites you to conversation ${number}:`));
    const { data } = await nora.event('room.invited');
    expect(data).toMatchObject({ name: 'otto-yann-anna-nora', by: 'otto@lab' });
    await nora.client.rooms.join({ room: String(data.id) });

    // JOIN, and the errors of those who may not.
    young.type(`/join ${number}`);
    another.type(`/join ${number}`);
    old.type(`/talk ${number}`);
    late.type(`/join ${number}`);
    await late.shows(/^! not invited: /);
    late.type('still outside');
    await late.shows(/^! not a member: /);

    // LIST_CONVERSATIONS and CONVERSATIONS
    for (let n = 0; ; n++) {
      const from = old.lines.length;
      old.type('/list');
      await old.shows(/^\* 1 conversations/, from);
      const listed = old.lines.slice(from).join('\n');
      if (['Otto', 'Yann', 'Anna', 'nora'].every((name) => listed.includes(name))) break;
      expect(n).toBeLessThan(200);
    }

    // SEND_MESSAGE and MESSAGE: to all members, the sender included, whoever writes.
    old.type('from Jython: grüß Gott');
    young.type("from Python 3: it's 🙂 \\ done");
    await nora.client.messages.say({ handle: '#otto-yann-anna-nora', text: 'from a node: ünï' });
    for (const client of [old, young, another]) {
      await client.shows(new RegExp(`^\\[${number}\\] Otto: from Jython: grüß Gott$`));
      await client.shows(new RegExp(`^\\[${number}\\] Yann: from Python 3: it's 🙂 \\\\ done$`));
      await client.shows(new RegExp(`^\\[${number}\\] nora: from a node: ünï$`));
    }
    await nora.event('message.received', ({ text }) => text === 'from Jython: grüß Gott');
    await nora.event('message.received', ({ text }) => text === "from Python 3: it's 🙂 \\ done");
    expect(late.lines.some((line) => line.startsWith('['))).toBe(false);
    // In the node's history and search, too.
    const found = await nora.client.messages.search({ query: 'Jython' });
    expect(found[0]).toMatchObject({ from: 'otto@lab', room: 'otto-yann-anna-nora' });

    // Between two: a node writes to a client.
    await nora.client.messages.say({ handle: 'lena', text: 'only for you' });
    const direct = /^\[(\d+)\]/.exec(await late.shows(/^\[\d+\] nora: only for you$/))?.[1];
    await late.shows(new RegExp(`^\\* nora invites you to conversation ${direct}:`));
    late.type(`/talk ${direct}`);
    late.type('and back');
    await nora.event('message.received', ({ text, from }) => text === 'and back' && from === 'lena@lab');

    // LEAVE: nothing more comes.
    another.type(`/leave ${number}`);
    await until(
      () => nora.client.rooms.show({ room: '#otto-yann-anna-nora' }),
      ({ members }) => members.length === 3,
    );
    const from = another.lines.length;
    young.type('is Anna gone?');
    await old.shows(/is Anna gone\?$/);
    another.type(`/talk ${number}`);
    another.type('no');
    await another.shows(/^! not a member: /, from);
    expect(another.lines.some((line) => line.includes('is Anna gone'))).toBe(false);

    // GOODBYE
    expect(await old.quit()).toBe(0);
    await young.shows(/^\* here: (?!.*Otto)(?=.*Yann)/);
    await until(
      () => nora.client.people.find({ handle: 'otto' }),
      ({ status }) => status === 'offline',
    );
  },
);
