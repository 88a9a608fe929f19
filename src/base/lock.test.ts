import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Lock } from './lock.ts';

let home = '';
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'netapp-lock-'));
});
afterEach(() => rmSync(home, { recursive: true }));

test('a second holder is refused until the first lets go', () => {
  const path = join(home, 'deep', 'lock');
  {
    using _held = Lock.take(path, 'agent');
    expect(() => Lock.take(path, 'agent')).toThrow(
      expect.objectContaining({ code: 'agent_running', message: expect.stringContaining('another agent') }),
    );
  }
  Lock.take(path, 'agent')[Symbol.dispose]();
});

test('a holder in another process that is killed with SIGKILL leaves no lock behind', async () => {
  const path = join(home, 'lock');
  const program = `
    import { Lock } from ${JSON.stringify(new URL('./lock.ts', import.meta.url).href)};
    globalThis.held = Lock.take(${JSON.stringify(path)}, 'agent');
    process.stdout.write('held');
    setInterval(() => {}, 1000);
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  try {
    expect(String((await once(child.stdout, 'data'))[0])).toBe('held');
    expect(() => Lock.take(path, 'agent')).toThrow(expect.objectContaining({ code: 'agent_running' }));
  } finally {
    child.kill('SIGKILL');
  }
  expect((await exited)[1]).toBe('SIGKILL');
  Lock.take(path, 'agent')[Symbol.dispose]();
});

test('a home that cannot be made says so', () => {
  writeFileSync(join(home, 'file'), '');
  expect(() => Lock.take(join(home, 'file', 'lock'), 'agent')).toThrow(expect.objectContaining({ code: 'unwritable' }));
});
