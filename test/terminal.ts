/** A terminal for tests: a real program on a real pseudo-terminal, driven and read with tmux. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './testnet.ts';

/** Whether system programs are here; says which are not. In CI their absence is for the test to fail on. */
export function has(...programs: string[]): boolean {
  if (process.env.CI === 'true') return true;
  const missing = programs.filter((program) => spawnSync('which', [program]).status !== 0);
  if (missing.length > 0) console.warn(`tests are skipped: install ${missing.join(', ')}`);
  return missing.length === 0;
}

export class Terminal implements Disposable {
  readonly #folder: string;
  readonly #socket: string;

  /** `command` runs in a shell; when it ends, the screen stays, with the shell's prompt `$ ` behind it. */
  constructor(command: string, options: { columns?: number; rows?: number; env?: Record<string, string> } = {}) {
    const { columns = 80, rows = 24, env = {} } = options;
    this.#folder = mkdtempSync(join(tmpdir(), 'netapp-tty-'));
    this.#socket = join(this.#folder, 'tmux');
    const start = ['-f', '/dev/null', 'new-session', '-d', '-x', String(columns), '-y', String(rows), command];
    execFileSync('tmux', ['-S', this.#socket, ...start], {
      env: { ...process.env, LC_ALL: 'C.UTF-8', PS1: '$ ', TMUX: '', CI: '', ...env },
    });
  }

  #tmux(...args: string[]): string {
    return execFileSync('tmux', ['-S', this.#socket, ...args], { encoding: 'utf8' });
  }

  /** As if a person typed it. */
  type(text: string): void {
    this.#tmux('send-keys', '-l', '--', text);
  }

  /** Keys by tmux's names: `Enter`, `Tab`, `C-c`, `PageUp`. */
  press(...keys: string[]): void {
    this.#tmux('send-keys', ...keys);
  }

  resize(columns: number, rows: number): void {
    this.#tmux('resize-window', '-x', String(columns), '-y', String(rows));
  }

  /** What is on the screen now. */
  screen(): string {
    return this.#tmux('capture-pane', '-p');
  }

  /** Something that tmux knows of the pane, such as `#{alternate_on}`. */
  state(format: string): string {
    return this.#tmux('display-message', '-p', format).trim();
  }

  /** The screen, once it shows what is waited for. */
  shows(what: string | RegExp): Promise<string> {
    const fits = (screen: string) => (typeof what === 'string' ? screen.includes(what) : what.test(screen));
    return until(() => this.screen(), fits);
  }

  [Symbol.dispose](): void {
    spawnSync('tmux', ['-S', this.#socket, 'kill-server']);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
