/** Listens on a Unix socket that only its owner can open. */
import { chmod, lstat, mkdir, unlink } from 'node:fs/promises';
import type { Server } from 'node:http';
import { createConnection } from 'node:net';
import { dirname } from 'node:path';
import { Fault, toFault } from '../base/fault.ts';

/** `sun_path` has 108 bytes on Linux and 104 on macOS and BSD, the final NUL among them. */
const PATH_BYTES_MAX = process.platform === 'linux' ? 107 : 103;

/** Connections that wait to be taken: all that the door takes may come in one moment, and past it a socket's are refused. */
const BACKLOG = 1024;

export async function listenOnSocket(server: Server, path: string): Promise<void> {
  if (Buffer.byteLength(path) > PATH_BYTES_MAX) {
    throw new Fault(
      'invalid_argument',
      `listening on "${path}": a socket's path has at most ${PATH_BYTES_MAX} bytes; name a shorter one with --agent-path`,
    );
  }
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  } catch (error) {
    throw toFault(error, `making the folder of "${path}"`, 'unwritable');
  }
  await clearStale(path);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(toFault(error, `listening on "${path}"`, 'unwritable')));
    // The socket is bound within this call, so the mask is back before any other code runs. A chmod afterwards alone
    // would leave a moment in which others could connect.
    const before = process.umask(0o177);
    try {
      server.listen({ path, backlog: BACKLOG }, resolve);
    } finally {
      process.umask(before);
    }
  });
  await chmod(path, 0o600);
}

/** Removes a socket on which nobody listens any more, and nothing else. */
async function clearStale(path: string): Promise<void> {
  const there = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw toFault(error, `looking at "${path}"`);
  });
  if (!there) return;
  if (!there.isSocket()) {
    throw new Fault('exists', `listening on "${path}": something is there that is not a socket; move it away`);
  }
  if (await somebodyListens(path)) {
    throw new Fault('agent_running', `listening on "${path}": another agent runs there`);
  }
  await unlink(path);
}

function somebodyListens(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = createConnection(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(false);
      else reject(toFault(error, `asking who listens on "${path}"`));
    });
  });
}
