/** A real browser for tests: Debian's Chromium, without a window, in a profile of its own. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import type { Client } from '../src/api/client.ts';

const PROGRAM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) =>
  existsSync(path),
);

/** Tests that need a browser are left out on a machine without one; where CI is set they fail instead. */
export const noBrowser = PROGRAM === undefined && !process.env.CI;
if (noBrowser) console.error('no Chromium on this machine: tests of the page are left out (apt-get install chromium)');

const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
];

/** Milliseconds that a browser has for what it is asked: far over what a busy machine needs. */
const PATIENCE_MS = process.env.CI ? 30_000 : 12_000;

export class Browser implements AsyncDisposable {
  readonly context: BrowserContext;
  readonly #profile: string;
  /** What pages complained of: uncaught errors, and what their policy refused. */
  readonly complaints: string[] = [];

  private constructor(context: BrowserContext, profile: string) {
    this.context = context;
    this.#profile = profile;
    context.setDefaultTimeout(PATIENCE_MS);
    context.on('weberror', (error) => this.complaints.push(String(error.error())));
    context.on('console', (message) => {
      if (message.type() === 'error' && /Content Security|Refused to|TrustedType/.test(message.text())) {
        this.complaints.push(message.text());
      }
    });
  }

  /** `args`: for Chromium, beside the usual ones. */
  static async start({ args = [], ...options }: BrowserContextOptions & { args?: string[] } = {}): Promise<Browser> {
    if (PROGRAM === undefined) throw new Error('there is no Chromium on this machine');
    const profile = await mkdtemp(join(tmpdir(), 'netapp-browser-'));
    const context = await chromium.launchPersistentContext(profile, {
      executablePath: PROGRAM,
      headless: true,
      args: [...ARGS, ...args],
      viewport: { width: 1280, height: 800 },
      locale: 'en-GB',
      ...options,
    });
    return new Browser(context, profile);
  }

  /** The page of this agent, by a one-time link, as `netapp open` gives it. */
  async open(client: Client): Promise<Page> {
    const { url } = await client.sessions.open({});
    const page = await this.context.newPage();
    await page.goto(url);
    await page.getByRole('navigation', { name: 'Main' }).waitFor();
    return page;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.context.close();
    await rm(this.#profile, { recursive: true, force: true, maxRetries: 3 });
  }
}
