/** Trackers that end, as programs: stopped with notice, hung, killed; and the nodes that use them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Running, run, start } from './program.ts';
import { until } from './testnet.ts';

let folder: string;
let running: Running[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'netapp-failover-'));
  running = [];
});

afterEach(async () => {
  for (const program of running.reverse()) {
    if (program.child.exitCode === null) program.child.kill('SIGCONT');
    await program[Symbol.asyncDispose]();
  }
  rmSync(folder, { recursive: true, force: true });
});

async function up(name: string, ...args: string[]): Promise<Running> {
  const program = await start(join(folder, name), [...args, '--port', '0']);
  running.push(program);
  return program;
}

const used = async (node: Running): Promise<string[]> => {
  const { trackers } = await node.client.status.show();
  return trackers.flatMap(({ peer, used: isUsed }) => (isUsed ? peer : []));
};
const uses = (node: Running, tracker: Running) =>
  until(
    () => used(node),
    (peers) => peers.join() === tracker.text('peer'),
  );

async function twoTiers(): Promise<{ first: Running; second: Running; alice: Running; bob: Running }> {
  const [first, second] = [await up('first', 'tracker'), await up('second', 'tracker')];
  const trackers = ['--tracker', first.text('invite'), '--tracker', `2:${second.text('invite')}`];
  const alice = await up('alice', 'up', '--name', 'alice', ...trackers);
  const bob = await up('bob', 'up', '--name', 'bob', ...trackers);
  await Promise.all([uses(alice, first), uses(bob, first)]);
  return { first, second, alice, bob };
}

async function talks(from: Running, text: string): Promise<void> {
  const sent = await from.client.messages.say({ handle: 'bob', text });
  await until(
    () => from.client.messages.show({ id: sent.id }),
    ({ state }) => state === 'delivered',
  );
}

test('a tracker that is told to end sends its nodes to the next tier, and ends when they are there [A-30] [D-70]', async () => {
  const { first, second, alice, bob } = await twoTiers();
  const seen: string[] = [];
  const { last } = await alice.client.events.last();
  const ended = new Promise((resolve) => first.child.once('exit', resolve));
  first.child.kill('SIGTERM');
  await Promise.all([uses(alice, second), uses(bob, second)]);
  await ended;
  await talks(alice, 'at the other one');
  for await (const { type } of await alice.client.events.follow({ from: last })) {
    seen.push(type);
    if (type === 'message.delivered') break;
  }
  expect(seen).toContain('tracker.changed');
  expect(seen).not.toContain('person.offline');
});

test('a tracker that hangs is left, and used again when it goes on; the doctor finds nothing that a person must do [D-71]', async () => {
  const { first, second, alice, bob } = await twoTiers();
  first.child.kill('SIGSTOP');
  await Promise.all([uses(alice, second), uses(bob, second)]);
  await talks(alice, 'while it hangs');
  const shown = await run(['status', '--home', alice.home]);
  expect(shown.stdout).toMatch(/tier 1, up.*no sign of life for \d+ ms/);
  expect(shown.stdout).toMatch(/tier 2, up.*tier 2 is the first that answers/);
  first.child.kill('SIGCONT');
  await Promise.all([uses(alice, first), uses(bob, first)]);
  const doctor = await run(['doctor', '--home', alice.home, '--json']);
  expect(JSON.parse(doctor.stdout)).toContainEqual(
    expect.objectContaining({ level: 'note', says: expect.stringContaining('tier 2: not used: told for a while yet') }),
  );
});

test('what was told by flags is there at the next start, with its tier', async () => {
  const { second, alice } = await twoTiers();
  await alice[Symbol.asyncDispose]();
  const again = await up('alice', 'up');
  const { trackers } = await again.client.status.show();
  expect(trackers.map(({ tier }) => tier)).toEqual([1, 2]);
  expect(trackers[1]).toMatchObject({ peer: second.text('peer'), state: 'rest' });
});
