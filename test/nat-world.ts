/** Homes behind NATs of several kinds around one network, each machine in a namespace of its own; needs root, iproute2 and nftables. */
import { spawnSync } from 'node:child_process';

/**
 * What a NAT does. `keeping`: a connection keeps its port, whomever it goes to; what comes unasked is dropped. `random`: each place
 * that one goes to sees another port. `refusing`: as `keeping`, but TCP that comes unasked is refused with a reset. `open`: no NAT
 * at all, but what comes unasked is dropped.
 */
export type NatKind = 'keeping' | 'random' | 'refusing' | 'open';

/** Of documentation (RFC 5737 and 3849), so that nothing there is anybody’s. */
const OUTSIDE = '203.0.113';

function run(command: string, args: readonly string[], input?: string): void {
  const { status, stderr } = spawnSync(command, args, { input });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
}

const ip = (...args: string[]): void => run('ip', args);

/** Whether this machine lets one make namespaces with NATs. */
export function canMakeNats(): boolean {
  const space = `netapp-nat-try-${process.pid}`;
  if (spawnSync('ip', ['netns', 'add', space], { stdio: 'ignore' }).status !== 0) return false;
  const { status } = spawnSync('ip', ['netns', 'exec', space, 'nft', 'list', 'ruleset'], { stdio: 'ignore' });
  spawnSync('ip', ['netns', 'delete', space], { stdio: 'ignore' });
  return status === 0;
}

export class NatWorld implements Disposable {
  readonly #prefix: string;
  readonly #spaces: string[] = [];
  #homes = 0;
  /** Where servers of the outside are: the machine in the middle. */
  readonly server = `${OUTSIDE}.1`;

  constructor(name: string) {
    this.#prefix = `netapp-${name}-${process.pid}`;
    const hub = this.#space('hub');
    ip('-n', hub, 'link', 'add', 'switch', 'type', 'bridge');
    ip('-n', hub, 'address', 'add', `${this.server}/24`, 'dev', 'switch');
    ip('-n', hub, 'link', 'set', 'switch', 'up');
  }

  #space(name: string): string {
    const space = `${this.#prefix}-${name}`;
    ip('netns', 'add', space);
    this.#spaces.push(space);
    ip('-n', space, 'link', 'set', 'lo', 'up');
    return space;
  }

  /** The command that runs another one at the server, or at a machine. */
  at(name: string): string[] {
    return ['ip', 'netns', 'exec', `${this.#prefix}-${name}`];
  }

  /** A machine of that name, at home behind a NAT. */
  home(name: string, kind: NatKind): void {
    const count = ++this.#homes;
    const [hub, nat, machine] = [`${this.#prefix}-hub`, this.#space(`${name}-nat`), this.#space(name)];
    const lan = kind === 'open' ? `198.51.100.${count * 16}` : `192.168.${count}.0`;
    const [gateway, own] = [1, 2].map((n) => lan.replace(/\d+$/, (last) => String(Number(last) + n)));
    ip('-n', hub, 'link', 'add', `to${count}`, 'type', 'veth', 'peer', 'name', 'wan', 'netns', nat);
    ip('-n', hub, 'link', 'set', `to${count}`, 'master', 'switch', 'up');
    ip('-n', nat, 'address', 'add', `${OUTSIDE}.${10 + count}/24`, 'dev', 'wan');
    ip('-n', nat, 'link', 'set', 'wan', 'up');
    ip('-n', nat, 'link', 'add', 'lan', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', machine);
    ip('-n', nat, 'address', 'add', `${gateway}/28`, 'dev', 'lan');
    ip('-n', nat, 'link', 'set', 'lan', 'up');
    ip('-n', machine, 'address', 'add', `${own}/28`, 'dev', 'eth0');
    ip('-n', machine, 'link', 'set', 'eth0', 'up');
    ip('-n', machine, 'route', 'add', 'default', 'via', gateway ?? '');
    run('ip', ['netns', 'exec', nat, 'sysctl', '-qw', 'net.ipv4.ip_forward=1']);
    this.#rules(nat, kind);
  }

  #rules(nat: string, kind: NatKind): void {
    const refuse = kind === 'refusing' ? 'iifname "wan" meta l4proto tcp ct state new reject with tcp reset' : '';
    const masquerade = {
      keeping: 'masquerade',
      refusing: 'masquerade',
      random: 'masquerade fully-random',
      open: 'accept',
    };
    run(
      'ip',
      ['netns', 'exec', nat, 'nft', '-f', '-'],
      `table ip nat {
        chain after { type nat hook postrouting priority srcnat; oifname "wan" ${masquerade[kind]}; }
      }
      table ip guard {
        chain inbound {
          type filter hook input priority 0;
          ${refuse}
          iifname "wan" ct state new drop
        }
        chain passing {
          type filter hook forward priority 0;
          iifname "wan" ct state new drop
        }
      }
      `,
    );
  }

  /** Counts what leaves the machine’s NAT to an address outside; gives the number of packets so far. */
  count(name: string, to: string): () => number {
    const nat = `${this.#prefix}-${name}-nat`;
    run(
      'ip',
      ['netns', 'exec', nat, 'nft', '-f', '-'],
      `table ip counting {
        chain leaving { type filter hook postrouting priority 200; ip daddr ${to} counter; }
      }
      `,
    );
    return () => {
      const { stdout } = spawnSync('ip', ['netns', 'exec', nat, 'nft', 'list', 'table', 'ip', 'counting']);
      return Number(/packets (\d+)/.exec(String(stdout))?.[1] ?? Number.NaN);
    };
  }

  [Symbol.dispose](): void {
    for (const space of this.#spaces) spawnSync('ip', ['netns', 'delete', space], { stdio: 'ignore' });
  }
}
