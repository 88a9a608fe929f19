/**
 * An internet of one's own: a router that forwards between sites, each behind a line of its own, with machines that run the real
 * program. Addresses look public (RFC 5737, RFC 3849), and exist in namespaces alone.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Lines, type Weather } from './lines.ts';
import { Machine } from './machine.ts';
import { Site, type SiteOptions } from './site.ts';
import { Space, sweep } from './space.ts';

/** Milliseconds one way from a site into the middle: 40 there and back between two of them, as within a country. */
const WEATHER: Weather = { delayMs: 10, loss: 0 };

export class Lab implements AsyncDisposable {
  readonly folder: string;
  readonly internet: Space;
  readonly lines: Lines;
  readonly sites = new Map<string, Site>();
  readonly machines = new Map<string, Machine>();
  readonly #opened: AsyncDisposableStack;
  readonly #weather: Weather;

  private constructor(parts: {
    folder: string;
    internet: Space;
    lines: Lines;
    opened: AsyncDisposableStack;
    weather: Weather;
  }) {
    this.folder = parts.folder;
    this.internet = parts.internet;
    this.lines = parts.lines;
    this.#opened = parts.opened;
    this.#weather = parts.weather;
  }

  static async create(weather: Partial<Weather> = {}): Promise<Lab> {
    await sweep();
    await using opened = new AsyncDisposableStack();
    const folder = await mkdtemp(join(tmpdir(), 'netapp-lab-'));
    opened.defer(() => rm(folder, { recursive: true, force: true }));
    const internet = opened.use(await Space.create('internet'));
    await internet.sysctl({ 'net.ipv4.ip_forward': 1, 'net.ipv6.conf.all.forwarding': 1 });
    const lines = opened.use(await Lines.create());
    return new Lab({ folder, internet, lines, weather: { ...WEATHER, ...weather }, opened: opened.move() });
  }

  /** A place with one line to the internet, or to the network of another one. Names have at most 8 letters. */
  async site(name: string, options: SiteOptions = {}): Promise<Site> {
    const site = this.#opened.use(
      await Site.create(
        { internet: this.internet, lines: this.lines, weather: this.#weather, n: this.sites.size + 1 },
        name,
        options,
      ),
    );
    this.sites.set(name, site);
    return site;
  }

  /** A machine at a site; with `firewall` it lets nothing in that it did not ask for. */
  async machine(name: string, site: Site, options: { firewall?: boolean } = {}): Promise<Machine> {
    const machine = this.#opened.use(await Machine.create(this.folder, name, site, options));
    this.machines.set(name, machine);
    return machine;
  }

  get(name: string): Machine {
    const machine = this.machines.get(name);
    if (!machine) throw new Error(`the lab has no machine "${name}"`);
    return machine;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.machines.values()].map((machine) => machine.end()));
    await this.#opened[Symbol.asyncDispose]();
  }
}
