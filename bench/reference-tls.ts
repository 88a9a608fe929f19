/**
 * The honest best of one file over TLS in Node: plain node:tls, file to file, BLAKE3 of every MiB, fsync, rename. It knows
 * no ranges, no consent, no resume; it is what the transfer of a file is measured against. Two processes of this program.
 */
import { close, fsync, open, read, renameSync, write } from 'node:fs';
import type { AddressInfo, OnReadOpts, TcpSocketConnectOpts } from 'node:net';
import { type ConnectionOptions, connect, createServer } from 'node:tls';
import { promisify } from 'node:util';
import { blake3 } from '@napi-rs/blake-hash';
import { createIdentity } from '../src/link/certificate.ts';
import { answer } from './child.ts';

const MiB = 1024 * 1024;
const WRITE_BYTES = 256 * 1024;
const [openFile, readFile, writeFile, syncFile, closeFile] = [open, read, write, fsync, close].map(promisify) as [
  (path: string, flags: string) => Promise<number>,
  (fd: number, buffer: Buffer, at: number, length: number, position: number) => Promise<{ bytesRead: number }>,
  (fd: number, buffer: Buffer, at: number, length: number, position: number) => Promise<unknown>,
  (fd: number) => Promise<void>,
  (fd: number) => Promise<void>,
]; // promisify cannot tell the overload that is meant

async function serve(path: string, size: number): Promise<number> {
  const identity = await createIdentity();
  const server = createServer(
    { key: identity.key.pem, cert: identity.cert, minVersion: 'TLSv1.3', requestCert: true, rejectUnauthorized: false },
    async (socket) => {
      const fd = await openFile(path, 'r');
      const blocks = [Buffer.allocUnsafeSlow(MiB), Buffer.allocUnsafeSlow(MiB)] as const;
      const load = (at: number) => readFile(fd, blocks[(at / MiB) & 1 ? 1 : 0], 0, Math.min(MiB, size - at), at);
      let next = load(0);
      for (let at = 0; at < size; at += MiB) {
        const { bytesRead } = await next;
        const block = blocks[(at / MiB) & 1 ? 1 : 0];
        if (at + MiB < size) next = load(at + MiB);
        for (let from = 0; from < bytesRead; from += WRITE_BYTES) {
          const piece = block.subarray(from, Math.min(bytesRead, from + WRITE_BYTES));
          await new Promise<void>((resolve) => socket.write(piece, () => resolve()));
        }
      }
      socket.end();
      await closeFile(fd);
    },
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port; // of a TCP server
}

async function fetch(port: number, path: string, size: number): Promise<void> {
  const identity = await createIdentity();
  const fd = await openFile(`${path}.part`, 'w');
  const free: Buffer[] = [];
  let block: Buffer = Buffer.allocUnsafeSlow(MiB);
  let [filled, position, writing] = [0, 0, 0];
  await new Promise<void>((resolve, reject) => {
    const done = (): void => {
      if (position === size && writing === 0) resolve();
    };
    const flush = (): void => {
      const [full, length] = [block, filled];
      blake3(full.subarray(0, length));
      writing += 1;
      writeFile(fd, full, 0, length, position).then(() => {
        free.push(full);
        writing -= 1;
        if (writing < 4) socket.resume();
        done();
      }, reject);
      position += length;
      filled = 0;
      block = free.pop() ?? Buffer.allocUnsafeSlow(MiB);
    };
    const onread: OnReadOpts = {
      buffer: Buffer.allocUnsafeSlow(64 * 1024),
      callback: (length, bytes) => {
        for (let at = 0; at < length; ) {
          const count = Math.min(length - at, MiB - filled);
          (bytes as Buffer).copy(block, filled, at, at + count);
          at += count;
          filled += count;
          if (filled === MiB || position + filled === size) flush();
        }
        return writing < 8;
      },
    };
    const wanted: ConnectionOptions & TcpSocketConnectOpts = {
      host: '127.0.0.1',
      port,
      key: identity.key.pem,
      cert: identity.cert,
      rejectUnauthorized: false,
      ...{ onread }, // for TLS it is missing in Node's types
    };
    const socket = connect(wanted);
    socket.on('error', reject);
  });
  await syncFile(fd);
  await closeFile(fd);
  renameSync(`${path}.part`, path);
}

answer({ serve, fetch });
