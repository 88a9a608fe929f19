/** A gateway with its home: what it keeps, and the socket by which its owner asks it. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Hosting } from '../api/hosting.ts';
import { toFault } from '../base/fault.ts';
import { Lock } from '../base/lock.ts';
import { Store } from '../base/sqlite.ts';
import { openControl } from './control.ts';
import { Gateway, type GatewayOptions } from './gateway.ts';

/** What stands in the folder of a gateway. */
export function doorPaths(home: string) {
  return {
    lock: join(home, 'im.lock'),
    store: join(home, 'im.db'),
    control: join(home, 'im.sock'),
    /** Key of the certificate that TLS shows where no other one is given. */
    tlsKey: join(home, 'tls.key'),
    /** Home of the node that hosts the accounts. */
    node: join(home, 'node'),
  };
}

/** Makes the folder, private to its user. Throws `unwritable`. */
export async function createDoorHome(home: string): Promise<void> {
  await mkdir(home, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
    throw toFault(error, `making the home "${home}"`, 'unwritable');
  });
}

/**
 * Opens the door. What hosts its users is started once the home is this program's alone, and ended with it. Throws
 * `agent_running`, `port_taken`, `corrupt`, `unwritable`, `disk_full`.
 */
export async function openDoor(
  home: string,
  options: Omit<GatewayOptions, 'hosting' | 'store' | 'own'> & {
    /** In its own folder. */
    startHosting: (home: string) => Promise<{ hosting: Hosting; own: string } & AsyncDisposable>;
  },
): Promise<{ gateway: Gateway } & AsyncDisposable> {
  await using opened = new AsyncDisposableStack();
  const paths = doorPaths(home);
  await createDoorHome(home);
  opened.use(Lock.take(paths.lock, 'gateway'));
  const store = opened.use(new Store(paths.store));
  const { startHosting, ...rest } = options;
  const { hosting, own } = opened.use(await startHosting(paths.node));
  const gateway = new Gateway({ ...rest, hosting, own, store });
  await gateway.start();
  opened.use(gateway);
  opened.use(await openControl(paths.control, () => gateway.clients()));
  const resources = opened.move();
  return { gateway, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}
