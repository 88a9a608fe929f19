/** A machine at a site: a namespace with one cable, and the program that runs there. */
import { join } from 'node:path';
import type { Client } from '../../src/api/client.ts';
import { formatInvite, type Invite, parseInvite } from '../../src/directory/invite.ts';
import { formatAddress } from '../../src/link/address.ts';
import { type Running, start } from '../program.ts';
import { firewallRules } from './nat.ts';
import type { Plug, Site } from './site.ts';
import { Space } from './space.ts';

/** What trackers listen at: the one port that every firewall lets out. */
const TRACKER_PORT = 443;
const NODE_PORT = 33_357;

export class Machine implements AsyncDisposable {
  readonly name: string;
  readonly site: Site;
  readonly space: Space;
  /** Whether it lets nothing in that it did not ask for. */
  readonly firewall: boolean;
  readonly home: string;
  plug: Plug;
  #program: Running | undefined;

  private constructor(parts: {
    folder: string;
    name: string;
    site: Site;
    space: Space;
    firewall: boolean;
    plug: Plug;
  }) {
    this.name = parts.name;
    this.site = parts.site;
    this.space = parts.space;
    this.firewall = parts.firewall;
    this.home = join(parts.folder, parts.name);
    this.plug = parts.plug;
  }

  static async create(
    folder: string,
    name: string,
    site: Site,
    { firewall = false }: { firewall?: boolean },
  ): Promise<Machine> {
    await using made = new AsyncDisposableStack();
    const space = made.use(await Space.create(name));
    const off = site.options.ipv6 ? 0 : 1;
    await space.sysctl({
      'net.ipv6.conf.all.disable_ipv6': off,
      'net.ipv6.conf.default.disable_ipv6': off,
      'net.ipv6.conf.default.accept_dad': 0,
    });
    const plug = await site.plug(space);
    if (firewall) await space.nft(firewallRules);
    made.move();
    return new Machine({ folder, name, site, space, firewall, plug });
  }

  get program(): Running {
    if (!this.#program) throw new Error(`nothing runs at "${this.name}"`);
    return this.#program;
  }

  get client(): Client {
    return this.program.client;
  }

  /** Starts a tracker. */
  async tracker(...flags: readonly string[]): Promise<Running> {
    return await this.#start('tracker', '--port', String(TRACKER_PORT), ...flags);
  }

  /** Starts a node that joins by the trackers’ addresses which this machine can have a way to. */
  async up(trackers: readonly Machine[], ...flags: string[]): Promise<Running> {
    const joins = trackers.flatMap((tracker) => ['--tracker', tracker.inviteText]);
    return await this.#start(
      'up',
      '--name',
      this.name,
      '--port',
      String(NODE_PORT),
      '--no-open',
      '--dns',
      'none',
      ...joins,
      ...flags,
    );
  }

  async #start(...args: string[]): Promise<Running> {
    await this.end();
    this.#program = await start(this.home, args, { host: null, within: this.space.within });
    return this.#program;
  }

  /** Of the tracker that runs here, with this machine’s own addresses. */
  get invite(): Invite {
    const { peer, zone } = parseInvite(this.program.text('invite'));
    const hosts = [this.plug.ipv4, this.plug.ipv6].filter((host) => host !== undefined);
    return { peer, zone, addresses: hosts.map((host) => formatAddress({ host, port: TRACKER_PORT })) };
  }

  get inviteText(): string {
    return formatInvite(this.invite);
  }

  /** Bytes that its cable has brought. */
  async received(): Promise<number> {
    return Number(await this.space.run('cat', '/sys/class/net/eth0/statistics/rx_bytes'));
  }

  /** Kills what runs here. */
  async end(): Promise<void> {
    await this.#program?.kill();
    this.#program = undefined;
  }

  /** Asks the machine’s own network for another address, as after a change of Wi-Fi. */
  async move(ipv4: string): Promise<void> {
    await this.space.ip('address', 'flush', 'dev', 'eth0', 'scope', 'global');
    this.plug = { ...this.plug, ipv4 };
    await this.site.address(this.space, this.plug);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
    await this.space[Symbol.asyncDispose]();
  }
}
