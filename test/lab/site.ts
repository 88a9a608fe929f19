/** A place with one line out: a router, what it does to packets, and a network of machines behind it. */
import type { Line, Lines, Weather } from './lines.ts';
import { type Nat, routerRules } from './nat.ts';
import { Space } from './space.ts';

export type SiteOptions = {
  /** Without one, its machines have addresses of the internet. */
  nat?: Nat;
  /** Where it is a provider's: homes are in its network. */
  provider?: boolean;
  /** The only TCP ports that its machines may send to; then nothing goes out by UDP. */
  outPorts?: readonly number[];
  /** The site whose network it is in; default: the internet itself. */
  behind?: Site;
  ipv4?: boolean;
  ipv6?: boolean;
  /** Its machines reach the router alone, as guests in a hotel. */
  isolated?: boolean;
  weather?: Partial<Weather>;
};

/** The ends of every line in the middle. */
const MIDDLE = '198.51.100.1';
const MIDDLE_6 = 'fe80::1';
const ROUTER_6 = 'fe80::2';

/** The addresses of a network: of a home, of a provider, of machines on the internet. */
type Net = { network: string; router: string; bits: number; host(k: number): string };

/** Alike in every home, as it is. */
const home: Net = { network: '192.168.1.0', router: '192.168.1.1', bits: 24, host: (k) => `192.168.1.${k + 9}` };
const provider: Net = { network: '100.64.0.0', router: '100.64.0.1', bits: 24, host: (k) => `100.64.0.${k + 9}` };
/** Five machines each; the first eight addresses are the middle's. */
const open = (n: number): Net => ({
  network: `198.51.100.${8 * n}`,
  router: `198.51.100.${8 * n + 1}`,
  bits: 29,
  host: (k) => `198.51.100.${8 * n + 1 + k}`,
});

/** A machine's or an inner router's place in a network. */
export type Plug = { ipv4: string | undefined; ipv6: string | undefined };

export class Site implements AsyncDisposable {
  readonly name: string;
  readonly options: SiteOptions;
  readonly router: Space;
  readonly line: Line;
  /** Its router's IPv4 address on the side of the internet, or of the provider. */
  readonly outside: string;
  readonly #net: Net;
  readonly #prefix: string;
  /** Where its line ends on the other side. */
  readonly #upstreamPort: { space: Space; name: string };
  #plugs = 0;

  private constructor(
    name: string,
    options: SiteOptions,
    parts: {
      router: Space;
      line: Line;
      outside: string;
      net: Net;
      prefix: string;
      upstreamPort: { space: Space; name: string };
    },
  ) {
    this.name = name;
    this.options = options;
    this.router = parts.router;
    this.line = parts.line;
    this.outside = parts.outside;
    this.#net = parts.net;
    this.#prefix = parts.prefix;
    this.#upstreamPort = parts.upstreamPort;
  }

  /** The `n`th site, of 31 at most. */
  static async create(
    at: { internet: Space; lines: Lines; weather: Weather; n: number },
    name: string,
    options: SiteOptions,
  ): Promise<Site> {
    const { nat, behind, ipv4 = true, ipv6 = false } = options;
    const { n, internet } = at;
    await using made = new AsyncDisposableStack();
    const router = made.use(await Space.create(`${name}-router`));
    await router.sysctl({
      'net.ipv4.ip_forward': 1,
      'net.ipv6.conf.all.disable_ipv6': ipv6 ? 0 : 1,
      'net.ipv6.conf.default.disable_ipv6': ipv6 ? 0 : 1,
      'net.ipv6.conf.all.forwarding': 1,
      'net.ipv6.conf.default.accept_dad': 0,
      // What stays within the network is no business of the router's rules.
      'net.bridge.bridge-nf-call-iptables': 0,
      'net.bridge.bridge-nf-call-ip6tables': 0,
      // A connection that it has forgotten is unknown to it: routers do not guess at what they have missed.
      'net.netfilter.nf_conntrack_tcp_loose': 0,
    });
    const upstreamPort = { space: behind?.router ?? internet, name: `s${n}` };
    const line = await at.lines.lay(upstreamPort.space, upstreamPort.name, router, 'wan', {
      ...at.weather,
      ...options.weather,
    });
    const net = nat ? (options.provider ? provider : home) : open(n);
    const prefix = `2001:db8:${n}`;
    const outside = behind ? behind.#next() : `203.0.113.${n}`;
    const site = new Site(name, options, { router, line, outside, net, prefix, upstreamPort });

    await router.ip('link', 'add', 'lan', 'type', 'bridge', 'mcast_snooping', '0');
    await router.ip('link', 'set', 'lan', 'up');
    if (ipv4) await router.ip('address', 'add', `${net.router}/${net.bits}`, 'dev', 'lan');
    if (ipv6) await router.ip('address', 'add', `${prefix}:1::1/64`, 'dev', 'lan');

    if (behind) await behind.#plugRouter(site);
    else await site.#joinMiddle({ ipv4, ipv6 });
    await site.#load(nat);
    made.move();
    return site;
  }

  async #joinMiddle({ ipv4, ipv6 }: { ipv4: boolean; ipv6: boolean }): Promise<void> {
    const { router, outside } = this;
    const { space: middle, name: port } = this.#upstreamPort;
    if (ipv4) {
      await middle.ip('address', 'add', `${MIDDLE}/32`, 'dev', port);
      await middle.ip('route', 'add', `${outside}/32`, 'dev', port);
      await router.ip('address', 'add', `${outside}/32`, 'dev', 'wan');
      await router.ip('route', 'add', 'default', 'via', MIDDLE, 'dev', 'wan', 'onlink');
      if (!this.options.nat) {
        const { network, bits } = this.#net;
        const net = `${network}/${bits}`;
        await middle.ip('route', 'add', net, 'via', outside, 'dev', port, 'onlink');
      }
    }
    if (ipv6) {
      await middle.ip('address', 'add', `${MIDDLE_6}/64`, 'dev', port, 'nodad');
      await router.ip('address', 'add', `${ROUTER_6}/64`, 'dev', 'wan', 'nodad');
      await middle.ip('route', 'add', `${this.#prefix}::/48`, 'via', ROUTER_6, 'dev', port);
      await router.ip('route', 'add', 'default', 'via', MIDDLE_6, 'dev', 'wan');
    }
  }

  #next(): string {
    this.#plugs += 1;
    return this.#net.host(this.#plugs);
  }

  /** An inner site’s line comes into this network. */
  async #plugRouter(inner: Site): Promise<void> {
    await this.router.ip('link', 'set', inner.#upstreamPort.name, 'master', 'lan');
    await inner.router.ip('address', 'add', `${inner.outside}/${this.#net.bits}`, 'dev', 'wan');
    await inner.router.ip('route', 'add', 'default', 'via', this.#net.router);
  }

  /** A cable from a machine’s `eth0` into this network. */
  async plug(machine: Space): Promise<Plug> {
    const { ipv4 = true, ipv6 = false, isolated = false } = this.options;
    this.#plugs += 1;
    const k = this.#plugs;
    const port = `p${k}`;
    await this.router.cable(port, machine, 'eth0');
    await this.router.ip('link', 'set', port, 'master', 'lan');
    if (isolated) await this.router.run('bridge', 'link', 'set', 'dev', port, 'isolated', 'on');
    const plug = {
      ipv4: ipv4 ? this.#net.host(k) : undefined,
      ipv6: ipv6 ? `${this.#prefix}:1::${(k + 9).toString(16)}` : undefined,
    };
    await this.address(machine, plug);
    return plug;
  }

  /** Gives a machine its addresses, and the way out. */
  async address(machine: Space, { ipv4, ipv6 }: Plug): Promise<void> {
    if (ipv4) {
      await machine.ip('address', 'add', `${ipv4}/${this.#net.bits}`, 'dev', 'eth0');
      await machine.ip('route', 'replace', 'default', 'via', this.#net.router);
    }
    if (ipv6) {
      await machine.ip('address', 'add', `${ipv6}/64`, 'dev', 'eth0', 'nodad');
      await machine.ip('route', 'replace', 'default', 'via', `${this.#prefix}:1::1`);
    }
  }

  /** Its router loses all that it knew of connections. */
  async forget(): Promise<void> {
    await this.router.run('conntrack', '-F');
    if (!this.options.nat) return;
    await this.router.nft('flush map ip nat inward\nflush set ip nat spoken\n');
  }

  async #load(nat: Nat | undefined): Promise<void> {
    const { outPorts } = this.options;
    if (nat || outPorts)
      await this.router.nft(`flush ruleset\n${routerRules({ outside: this.outside, nat, outPorts })}`);
  }

  /** Another router in the same place; what goes through it now goes on. */
  async replaceNat(nat: Nat): Promise<void> {
    await this.#load(nat);
  }

  /** At most so many Mbit/s each way. */
  async limit(mbit: number): Promise<void> {
    const { space, name } = this.#upstreamPort;
    // The burst holds the largest packet that the kernel makes: a smaller one has it cut each into 45.
    const rate = ['root', 'tbf', 'rate', `${mbit}mbit`, 'burst', '128kb', 'latency', '100ms'];
    await this.router.run('tc', 'qdisc', 'replace', 'dev', 'wan', ...rate);
    await space.run('tc', 'qdisc', 'replace', 'dev', name, ...rate);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.router[Symbol.asyncDispose]();
  }
}
