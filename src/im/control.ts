/** A socket in the gateway's home, for its owner alone: who is connected is read from it, one JSON line each. */
import { once } from 'node:events';
import { chmod, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { Fault, toFault } from '../base/fault.ts';
import type { ClientInfo } from './gateway.ts';

/** Listens; the home's lock says that nobody else does. Throws `unwritable`. */
export async function openControl(path: string, clients: () => ClientInfo[]): Promise<AsyncDisposable> {
  await rm(path, { force: true });
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.end(
      clients()
        .map((client) => `${JSON.stringify(client)}\n`)
        .join(''),
    );
  });
  try {
    server.listen(path);
    await once(server, 'listening');
    await chmod(path, 0o600);
  } catch (error) {
    throw toFault(error, `listening on "${path}"`, 'unwritable');
  }
  return {
    [Symbol.asyncDispose]: async () => {
      server.close();
      await rm(path, { force: true });
    },
  };
}

/** Who is connected to the gateway of a home. Throws `agent_down`. */
export async function askClients(path: string, signal: AbortSignal): Promise<ClientInfo[]> {
  const socket = connect(path);
  const end = (): void => void socket.destroy();
  signal.addEventListener('abort', end, { once: true });
  try {
    await once(socket, 'connect');
  } catch {
    throw new Fault(
      'agent_down',
      `asking the gateway at "${path}": none runs on this home; start one with "netapp im"`,
    );
  }
  const clients: ClientInfo[] = [];
  // Our own gateway writes them.
  for await (const line of createInterface({ input: socket })) clients.push(JSON.parse(line) as ClientInfo);
  signal.removeEventListener('abort', end);
  return clients;
}
