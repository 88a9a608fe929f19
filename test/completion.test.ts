/** Completion in the shells themselves, against a running agent, and without one. */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Agent } from '../src/agent/agent.ts';
import { silentLog } from '../src/base/log.ts';
import { bob, StubBackend } from './stub.ts';
import { has, Terminal } from './terminal.ts';

const main = resolve(import.meta.dirname, '../src/bin/netapp.ts');

/** Names that would do harm if a shell evaluated them, and one that it must quote. */
class Names extends StubBackend {
  constructor() {
    super();
    const { rooms, people } = this;
    const named = (name: string) => rooms.show(name);
    this.rooms = {
      ...rooms,
      list: () => Promise.all(['team', 'x$(touch owned)', 'two words', 'ring\u0007'].map(named)),
    };
    this.people = { ...people, list: async () => [...(await people.list({})), { ...bob, handle: 'carol@lab' }] };
  }
}

let folder: string;
let agent: Agent;
let env: Record<string, string>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'netapp-tab-'));
  await Promise.all([mkdir(join(folder, 'bin')), mkdir(join(folder, 'docs')), mkdir(join(folder, 'home'))]);
  await writeFile(join(folder, 'report.pdf'), '');
  await writeFile(join(folder, 'bin/netapp'), `#!/bin/sh\nexec "${process.execPath}" "${main}" "$@"\n`);
  await chmod(join(folder, 'bin/netapp'), 0o755);
  env = {
    PATH: `${join(folder, 'bin')}${delimiter}${process.env.PATH}`,
    NETAPP_HOME: join(folder, 'home'),
    NETAPP_AGENT_PATH: '',
    HOME: folder,
    XDG_CONFIG_HOME: join(folder, 'xdg'),
    TERM: 'screen',
  };
  agent = new Agent({
    backend: new Names(),
    socketPath: join(folder, 'home/agent.sock'),
    tokenPath: join(folder, 'home/token'),
    log: silentLog(),
  });
  await agent.start();
});

afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const interactive = {
  bash: { start: 'bash --norc --noprofile', load: 'source <(netapp completion bash)' },
  zsh: { start: 'zsh -f', load: 'autoload -Uz compinit && compinit -D && source <(netapp completion zsh)' },
} as const;

describe.each(['bash', 'zsh'] as const)('%s', (shell) => {
  const { start, load } = interactive[shell];
  const there = has('tmux', shell);
  let terminal: Terminal;

  beforeAll(async () => {
    if (!there) return;
    terminal = new Terminal(`cd ${folder} && exec ${start}`, { columns: 120, env });
    await terminal.shows(/[$#%]/);
    terminal.type(`PS1='> '; ${load}; clear; echo loaded\n`);
    await terminal.shows(/^loaded$/m);
  });
  afterAll(() => {
    if (there) terminal[Symbol.dispose]();
  });

  /** What the line is after one Tab, up to the cursor. */
  async function completed(written: string): Promise<string | undefined> {
    terminal.press('C-u', 'C-l');
    await terminal.shows(/^> *$/m);
    terminal.type(written);
    terminal.press('Tab');
    terminal.type('X');
    const line = /^> (netapp.*)X$/m;
    return line.exec(await terminal.shows(line))?.[1];
  }

  test.skipIf(!there).each([
    ['netapp peop', 'netapp people '],
    ['netapp messages sea', 'netapp messages search '],
    ['netapp people status b', 'netapp people status busy '],
    ['netapp up --pres', 'netapp up --presence '],
    ['netapp up --presence z', 'netapp up --presence zone '],
    ['netapp say car', 'netapp say carol@lab '],
    ['netapp say carol@', 'netapp say carol@lab '],
    ["netapp say '#te", "netapp say '#team' "],
    ['netapp rooms join te', 'netapp rooms join team '],
    ['netapp rooms invite team car', 'netapp rooms invite team carol@lab '],
    ['netapp rooms create x --members bob@lab,car', 'netapp rooms create x --members bob@lab,carol@lab '],
    ['netapp rooms join two', 'netapp rooms join two\\ words '],
    ['netapp files accept ', 'netapp files accept f1 '],
    ['netapp files send bob rep', 'netapp files send bob report.pdf '],
    ['netapp files accept f1 --to do', 'netapp files accept f1 --to docs/'],
    ['netapp help files sen', 'netapp help files send '],
  ])('completes "%s"', async (written, whole) => {
    expect(await completed(written)).toBe(whole);
  });

  test.skipIf(!there)('quotes what somebody named to do harm, and leaves out what cannot be typed', async () => {
    const quoted = await completed('netapp rooms show x');
    expect(quoted).toContain('\\$\\(touch');
    terminal.press('BSpace');
    terminal.type(' --json\n');
    const screen = await terminal.shows('"name":');
    expect(screen.replaceAll('\n', '')).toContain('"name":"x$(touch owned)"');
    expect(existsSync(join(folder, 'owned'))).toBe(false);
    terminal.press('C-l');
    terminal.type('netapp rooms show ');
    terminal.press('Tab', 'Tab');
    expect(await terminal.shows('two')).not.toContain('ring');
  });
});

describe('fish', () => {
  const offered = async (line: string): Promise<string[]> => {
    const load = `netapp completion fish | source; complete -C ${JSON.stringify(line)}`;
    const options = { env: { ...process.env, ...env }, cwd: folder };
    const { stdout } = await promisify(execFile)('fish', ['--no-config', '-c', load], options);
    return stdout
      .trim()
      .split('\n')
      .map((each) => each.split('\t')[0] ?? '');
  };

  test.skipIf(!has('fish')).each([
    ['netapp messages sea', ['search']],
    ['netapp up --presence ', ['zone', 'contacts']],
    ['netapp say car', ['carol@lab']],
    ["netapp say '#te", ['#team']],
    ['netapp files accept ', ['f1']],
    ['netapp files send bob rep', ['report.pdf']],
    ['netapp files accept f1 --to do', ['docs/']],
  ])('completes "%s"', async (line, whole) => {
    expect((await offered(line)).sort()).toEqual(whole.toSorted());
  });
});

test('without an agent it offers what it knows, says nothing, and does not fail', () => {
  const lines = ['netapp say b', 'netapp rooms jo', 'netapp files get '];
  const answers = lines.map((line) =>
    execFileSync(process.execPath, [main, 'completion', 'bash', '--', line], {
      env: { ...process.env, ...env, NETAPP_HOME: join(folder, 'nobody') },
      encoding: 'utf8',
    }),
  );
  expect(answers.map((answer) => answer.split('\n').map((row) => row.split('\t')[0]))).toEqual([
    ['none', ''],
    ['none', 'join', ''],
    ['none', ''],
  ]);
});
