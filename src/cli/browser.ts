/** Opens an address in the user's browser, where there is a desktop. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Shell } from './shell.ts';

/** The program that opens what a user would click, by platform. */
const OPENERS: Partial<Record<NodeJS.Platform, readonly string[]>> = {
  darwin: ['open'],
  win32: ['cmd', '/c', 'start', ''],
  linux: ['xdg-open'],
  freebsd: ['xdg-open'],
};

/** Whether somebody sits here who could look at a page. */
export function hasDesktop({ env, out }: Pick<Shell, 'env' | 'out'>): boolean {
  const { platform } = process;
  const screen = platform === 'darwin' || platform === 'win32' || env.DISPLAY || env.WAYLAND_DISPLAY;
  return Boolean(screen) && out.isTerminal && OPENERS[platform] !== undefined;
}

/**
 * Whether a browser was asked to. The address may be a secret, and every user of the machine sees the arguments of every
 * program: so the browser is given a private file that leads there.
 */
export async function openInBrowser(url: string, { env, home, out }: Shell): Promise<boolean> {
  const [program, ...args] = OPENERS[process.platform] ?? [];
  if (!hasDesktop({ env, out }) || program === undefined) return false;
  const file = join(home, 'open.html');
  try {
    const html = `<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=${url}">`;
    await writeFile(file, html, { mode: 0o600 });
    const child = spawn(program, [...args, pathToFileURL(file).href], { stdio: 'ignore', detached: true, env });
    child.unref();
    await once(child, 'spawn');
    return true;
  } catch {
    return false; // The link stands on the screen.
  }
}
