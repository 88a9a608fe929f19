/** The router through which this machine goes out: the only one that is ever asked for a mapping. [N-60] */
import { execFile } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { readFile } from 'node:fs/promises';
import { isIPv4 } from 'node:net';
import { endianness } from 'node:os';
import { promisify } from 'node:util';

export type Gateway = {
  /** IPv4 address of the router. */
  ip: string;
  /** Our own, as it sees us. */
  own: string;
};

const ASK_MS = 3000;

/** Undefined where there is none, or nobody says which. Sends nothing. */
export async function defaultGateway(): Promise<Gateway | undefined> {
  const ip = await routerIp().catch(() => undefined);
  const own = ip === undefined ? undefined : await ownTowards(ip);
  return ip === undefined || own === undefined ? undefined : { ip, own };
}

async function routerIp(): Promise<string | undefined> {
  if (process.platform === 'linux') return routerInProc(await readFile('/proc/net/route', 'latin1'));
  const [program, ...args] =
    process.platform === 'win32' ? ['route', 'print', '-4', '0.0.0.0'] : ['route', '-n', 'get', 'default'];
  const { stdout } = await promisify(execFile)(program, args, { timeout: ASK_MS, windowsHide: true });
  return process.platform === 'win32' ? routerInPrint(stdout) : routerInGet(stdout);
}

/** Of `/proc/net/route`: the default route of the lowest metric that leads by a router. */
export function routerInProc(text: string): string | undefined {
  const IS_GATEWAY = 2;
  const routes = text
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .flatMap(([, to, by = '', flags = '0', , , metric = '0', mask]) => {
      const isDefault = to === '00000000' && mask === '00000000' && (Number.parseInt(flags, 16) & IS_GATEWAY) !== 0;
      return isDefault && /^[0-9A-F]{8}$/i.test(by) ? [{ by, metric: Number(metric) }] : [];
    });
  const [best] = routes.sort((a, b) => a.metric - b.metric);
  if (!best) return undefined;
  const bytes = [...Buffer.from(best.by, 'hex')]; // as the processor has it
  return (endianness() === 'LE' ? bytes.reverse() : bytes).join('.');
}

/** Of `route -n get default` on macOS and the BSDs. */
export const routerInGet = (text: string): string | undefined => ipOr(/^\s*gateway:\s*(\S+)$/m.exec(text)?.[1]);

/** Of `route print -4 0.0.0.0` on Windows. */
export const routerInPrint = (text: string): string | undefined =>
  ipOr(/^\s*0\.0\.0\.0\s+0\.0\.0\.0\s+(\S+)\s/m.exec(text)?.[1]);

const ipOr = (text: string | undefined): string | undefined => (text && isIPv4(text) ? text : undefined);

/** Connecting a UDP socket asks the kernel for the way, and sends nothing. */
async function ownTowards(ip: string): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const socket = createSocket('udp4');
  socket.once('error', () => {
    socket.close();
    resolve(undefined);
  });
  socket.connect(9, ip, () => {
    const { address } = socket.address();
    socket.close();
    resolve(address === '0.0.0.0' ? undefined : address);
  });
  return await promise;
}
