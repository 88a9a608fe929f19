/**
 * TCP by simultaneous open (RFC 9293, section 3.5): both sides connect to each other at about the same moment, so that each NAT
 * sees what comes in as the answer to what went out. [N-35]
 */
import { timingSafeEqual } from 'node:crypto';
import type { Socket } from 'node:net';
import { deadline, reasonOf, sleep } from '../base/async.ts';
import { Fault, toFault } from '../base/fault.ts';
import { parseAddress } from '../link/address.ts';
import { connectFrom } from './connect-from.ts';

/** Milliseconds for all tries: the kernel says it again after 1 and after 3 seconds, and a NAT that dropped the first lets the second in. */
export const TOGETHER_MS = 6000;
/** Connections tried to one address: a NAT that refuses what it does not expect needs the two to cross on their way. */
const MOST_TRIES = 4;
/** Milliseconds between them, the same on both sides. */
const AGAIN_MS = 250;
/** Milliseconds for the other side’s first words on a connection. */
const GREET_MS = 3000;

/**
 * Connects to each target, from one local port, and calls `open` with each connection on which the other side said `hear`. Settles when
 * all is tried, with why each other target failed; those left are given up when the signal aborts. Never rejects.
 */
export async function openTogether(options: {
  port: number;
  targets: readonly string[];
  /** What each side says first, so that a stranger at the address is not taken for the other side. [N-36] */
  say: Buffer;
  hear: Buffer;
  open(socket: Socket, target: string): void;
  signal: AbortSignal;
}): Promise<string[]> {
  const { port, targets, say, hear, open } = options;
  using limit = deadline(TOGETHER_MS, 'opening together', options.signal);
  const failures: string[] = [];
  await Promise.all(
    targets.map(async (target) => {
      try {
        open(await openOne({ port, target, say, hear, signal: limit }), target);
      } catch (error) {
        const { code, message } = toFault(error);
        failures.push(code === 'timeout' ? `nothing comes back from ${target}` : message);
      }
    }),
  );
  return failures;
}

async function openOne(options: {
  port: number;
  target: string;
  say: Buffer;
  hear: Buffer;
  signal: AbortSignal;
}): Promise<Socket> {
  const { port, target, say, hear, signal } = options;
  for (let tries = 1; ; tries += 1) {
    try {
      const socket = await connectFrom({ ...parseAddress(target), localPort: port, signal });
      await greet(socket, { say, hear, target, signal });
      return socket;
    } catch (error) {
      const { code } = toFault(error);
      if (signal.aborted || tries === MOST_TRIES || code === 'port_taken' || code === 'wrong_key') throw error;
      await sleep(AGAIN_MS, signal);
    }
  }
}

async function greet(
  socket: Socket,
  { say, hear, target, signal }: { say: Buffer; hear: Buffer; target: string; signal: AbortSignal },
): Promise<void> {
  const what = `opening together with "${target}"`;
  using limit = deadline(GREET_MS, what, signal);
  try {
    socket.write(say);
    const heard = await first(socket, hear.length, limit);
    if (heard === undefined) throw new Fault('link_closed', `${what}: it was cut`);
    if (heard.length !== hear.length || !timingSafeEqual(heard, hear)) {
      throw new Fault('wrong_key', `${what}: somebody else answers there`);
    }
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** The first bytes that come; what follows them stays in the socket. Fewer, where the other side ends before. */
async function first(socket: Socket, length: number, signal: AbortSignal): Promise<Buffer | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer | undefined>();
  const look = (): void => {
    const heard: Buffer | null = socket.read(length);
    if (heard) resolve(heard);
  };
  const cut = (): void => resolve(undefined);
  const abort = (): void => reject(reasonOf(signal));
  socket.on('readable', look);
  socket.once('close', cut);
  socket.once('end', cut);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await promise;
  } finally {
    socket.off('readable', look);
    socket.off('close', cut);
    socket.off('end', cut);
    signal.removeEventListener('abort', abort);
  }
}
