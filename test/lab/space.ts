/** Network namespaces: made, filled with rules, and taken down also after their maker died. Needs root, iproute2 and nftables. */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';

const exec = promisify(execFile);

/** Names of the lab's namespaces: the maker's pid stands in them, so that what a dead one left is known. */
const PREFIX = 'netapp-lab';
const form = new RegExp(`^${PREFIX}-(\\d+)-`);

/** Programs that the lab runs, by the Debian package that has them. */
const programs = { ip: 'iproute2', tc: 'iproute2', nft: 'nftables', conntrack: 'conntrack', python3: 'python3' };

/** Runs a program to its end; throws what it said. */
export async function sh(program: string, ...args: string[]): Promise<string> {
  const { stdout } = await exec(program, args, { maxBuffer: 16 * 1024 * 1024 });
  return stdout;
}

/** Why this machine can have no lab; undefined where it can. */
export function impossible(): string | undefined {
  const missing = Object.entries(programs).filter(([program]) => spawnSync(program, ['-V']).error !== undefined);
  if (missing.length > 0)
    return `${missing.map(([program]) => program).join(', ')} is missing: apt-get install ${[...new Set(missing.map(([, name]) => name))].join(' ')}`;
  const probe = `${PREFIX}-${process.pid}-probe`;
  const { status, stderr } = spawnSync('ip', ['netns', 'add', probe], { encoding: 'utf8' });
  if (status !== 0) return `"ip netns add" failed: ${stderr.trim()}; run as root`;
  const rules = spawnSync('ip', ['netns', 'exec', probe, 'nft', 'add table ip nat'], { encoding: 'utf8' });
  spawnSync('ip', ['netns', 'delete', probe]);
  return rules.status === 0 ? undefined : `nftables does not work here: ${rules.stderr.trim()}`;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** Ends what runs in a namespace, and deletes it. */
async function remove(name: string): Promise<void> {
  const pids = await sh('ip', 'netns', 'pids', name).catch(() => '');
  for (const pid of pids.split('\n').filter((line) => line !== '')) {
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // it has ended by itself
    }
  }
  await sh('ip', 'netns', 'delete', name).catch(() => {});
}

/** Takes down what makers left that are dead. */
export async function sweep(): Promise<void> {
  const names = (await sh('ip', 'netns', 'list')).split('\n').map((line) => line.split(' ')[0] ?? '');
  for (const name of names) {
    const [, pid] = form.exec(name) ?? [];
    if (pid !== undefined && !isAlive(Number(pid))) await remove(name);
  }
}

export class Space implements AsyncDisposable {
  readonly name: string;
  /** What to put before a command so that it runs here. */
  readonly within: readonly string[];

  private constructor(name: string) {
    this.name = name;
    this.within = ['ip', 'netns', 'exec', name];
  }

  /** `as` tells it from the others of this process. */
  static async create(as: string): Promise<Space> {
    const space = new Space(`${PREFIX}-${process.pid}-${as}`);
    await sh('ip', 'netns', 'add', space.name);
    await space.ip('link', 'set', 'lo', 'up');
    return space;
  }

  ip(...args: string[]): Promise<string> {
    return sh('ip', '-n', this.name, ...args);
  }

  /** Runs a program here to its end. */
  run(...command: string[]): Promise<string> {
    return sh('ip', 'netns', 'exec', this.name, ...command);
  }

  async sysctl(settings: Record<string, number>): Promise<void> {
    await this.run('sysctl', '-qw', ...Object.entries(settings).map(([name, value]) => `${name}=${value}`));
  }

  /** Loads rules in nft's own language. */
  async nft(rules: string): Promise<void> {
    const child = spawn('ip', ['netns', 'exec', this.name, 'nft', '-f', '-'], { stdio: ['pipe', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.on('data', (data) => (said += data));
    child.stdin.end(rules);
    const [code] = await once(child, 'close');
    if (code !== 0) throw new Error(`loading rules into "${this.name}": ${said}\n${rules}`);
  }

  /** A cable from this namespace to another. */
  async cable(own: string, other: Space, its: string): Promise<void> {
    await this.ip('link', 'add', own, 'type', 'veth', 'peer', 'name', its, 'netns', other.name);
    await this.ip('link', 'set', own, 'up');
    await other.ip('link', 'set', its, 'up');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await remove(this.name);
  }
}
