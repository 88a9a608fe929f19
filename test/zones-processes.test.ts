/** Zones as users make them: real programs, commands, kills. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Running, run, start } from './program.ts';
import { until } from './testnet.ts';

let folder: string;
let running: Running[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'netapp-zones-'));
  running = [];
});
afterEach(async () => {
  await Promise.all(running.map((program) => program[Symbol.asyncDispose]()));
  await rm(folder, { recursive: true, force: true });
});

async function program(name: string, args: readonly string[]): Promise<Running> {
  const made = await start(join(folder, name), [...args, '--dns', 'none']);
  running.push(made);
  return made;
}

/** A node with a tracker of the zone above inside. */
const CSE = ['--zone', 'cse', '--port', '0', '--tracker-port', '0'];

const netapp = (home: Running, args: readonly string[]) =>
  run([...args, '--home', home.home, '--json']).then(({ code, stdout, stderr }) => ({
    code,
    stderr,
    said: stdout.trim() === '' ? undefined : JSON.parse(stdout),
  }));

test('a zone is given to another tracker, keeps itself alive through a kill, is found from above and below, and taken back [Z-5] [Z-7]', async () => {
  const alice = await program('alice', ['up', '--name', 'alice', ...CSE]);
  const parent = ['--parent', alice.text('invite')];
  const lab = await program('lab', ['tracker', '--zone', 'lab1.cse', '--port', '0', ...parent]);
  const bob = await program('bob', ['up', '--name', 'bob', '--port', '0', '--join', lab.text('invite')]);
  expect((await netapp(bob, ['zones', 'list'])).code).toBe(31); // forbidden: bob administers nothing

  const given = await netapp(alice, ['zones', 'delegate', 'lab1.cse', '--to', lab.text('invite')]);
  expect(given).toMatchObject({ code: 0, said: { zone: 'lab1.cse', kind: 'delegated', key: lab.says.peer } });
  const seen = await until(
    () => netapp(alice, ['zones', 'list']),
    ({ said }) => said.some((each: { seen: string | null }) => each.seen !== null),
  );
  expect(seen.said.map(({ zone, kind }: { zone: string; kind: string }) => [zone, kind])).toEqual([
    ['cse', 'served'],
    ['lab1.cse', 'delegated'],
  ]);
  for (const mode of ['iterative', 'recursive']) {
    const down = await netapp(alice, ['people', 'find', 'bob@lab1.cse', '--mode', mode, '--trace']);
    expect(down).toMatchObject({ code: 0, said: { handle: 'bob@lab1.cse', id: bob.says.id, stale: false } });
    expect(down.said.trace.at(-1)).toMatchObject({ zone: 'lab1.cse', answer: 'record' });
    const up = await netapp(bob, ['people', 'find', 'alice@cse', '--mode', mode, '--trace']);
    expect(up).toMatchObject({ code: 0, said: { handle: 'alice@cse', id: alice.says.id } });
  }
  const shown = await run(['people', 'find', 'bob@lab1.cse', '--trace', '--home', alice.home]);
  expect(shown.stdout).toMatch(/asked .*lab1\.cse.*: (record|unchanged)/);
  const missing = await run(['people', 'find', 'eve@lab1.cse', '--trace', '--home', alice.home]);
  expect(missing.code).toBe(10);
  expect(missing.stderr).toMatch(/asked lab1\.cse .*unknown/);

  await lab.kill();
  const port = String(lab.says.port);
  const again = await program('lab', ['tracker', '--zone', 'lab1.cse', '--port', port, ...parent]);
  expect(again.says.peer).toBe(lab.says.peer);
  await until(
    () => netapp(bob, ['people', 'find', 'alice@cse', '--mode', 'iterative']),
    ({ code }) => code === 0,
  );

  expect((await netapp(alice, ['zones', 'revoke', 'lab1.cse'])).code).toBe(0);
  await until(
    () => netapp(bob, ['people', 'find', 'carol@cse', '--mode', 'recursive']),
    ({ code }) => code === 12, // unknown_zone: nothing is above it any more
  );
});

test('a second tracker serves the zone too, and finds for its people when the first one is killed [Z-6]', async () => {
  const alice = await program('alice', ['up', '--name', 'alice', ...CSE]);
  const parent = ['--parent', alice.text('invite')];
  const one = await program('one', ['tracker', '--zone', 'lab1.cse', '--zone', 'lab2.cse', '--port', '0', ...parent]);
  const admin = await program('admin', ['up', '--name', 'admin', '--port', '0', '--join', one.text('invite')]);
  expect(one.says.zones).toEqual(['lab1.cse', 'lab2.cse']);
  await one.kill();
  const first = await program('one', [
    ...['tracker', '--zone', 'lab1.cse', '--zone', 'lab2.cse', '--port', String(one.says.port), ...parent],
    ...['--admin', admin.text('id')],
  ]);
  const two = await program('two', ['tracker', '--zone', 'lab1.cse', '--port', '0', '--primary', first.text('invite')]);
  expect((await netapp(alice, ['zones', 'delegate', 'lab1.cse', '--to', first.text('invite')])).code).toBe(0);
  const named = await until(
    () => netapp(admin, ['zones', 'delegate', 'lab1.cse', '--to', two.text('invite')]),
    ({ code }) => code === 0,
  );
  expect(named.said).toMatchObject({ kind: 'server', key: two.says.peer });
  const both = ['--tracker', first.text('invite'), '--tracker', two.text('invite')];
  const bob = await program('bob', ['up', '--name', 'bob', '--port', '0', ...both]);
  await until(
    () => netapp(alice, ['zones', 'list']),
    ({ said }) => said.some(({ trackers }: { trackers: unknown[] }) => trackers.length === 2),
  );
  await first.kill();
  await until(
    () => netapp(alice, ['people', 'find', 'bob@lab1.cse', '--mode', 'iterative', '--trace']),
    ({ code, said }) => code === 0 && !said.stale && said.trace.at(-1).server === two.says.peer,
  );
  await until(
    () => netapp(bob, ['people', 'find', 'alice@cse', '--mode', 'recursive']),
    ({ code }) => code === 0,
  );
});
