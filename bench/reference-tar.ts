/**
 * What people do with many small files: `tar c | an encrypted pipe | tar x`. As over ssh, with less of a protocol: node:tls
 * carries the bytes. It verifies nothing, and knows no consent and no resume. Two processes of this program.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { connect, createServer } from 'node:tls';
import { createIdentity } from '../src/link/certificate.ts';
import { answer } from './child.ts';

async function serve(folder: string): Promise<number> {
  const identity = await createIdentity();
  const server = createServer({ key: identity.key.pem, cert: identity.cert, minVersion: 'TLSv1.3' }, (socket) => {
    const tar = spawn('tar', ['-c', '-C', folder, '.'], { stdio: ['ignore', 'pipe', 'inherit'] });
    pipeline(tar.stdout, socket).catch((error: unknown) => process.emitWarning(String(error)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port; // of a TCP server
}

async function fetch(port: number, folder: string): Promise<void> {
  const tar = spawn('tar', ['-x', '-C', folder], { stdio: ['pipe', 'ignore', 'inherit'] });
  const ended = once(tar, 'exit');
  const piped = pipeline(connect({ host: '127.0.0.1', port, rejectUnauthorized: false }), tar.stdin);
  piped.catch(() => {}); // tar may end at the archive's last block, before its pipe does
  const [code] = await ended;
  if (code !== 0) throw new Error(`tar ended with ${code}`);
}

answer({ serve, fetch });
