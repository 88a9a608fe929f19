/** The TLS certificate of a node key: self-signed, so that the key in it is the identity. [L-1] */
import { X509Certificate } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import type { TLSSocket } from 'node:tls';
import { toFault } from '../base/fault.ts';
import { idOf, Key, loadOrCreateKey } from './identity.ts';

/** A key together with the certificate that shows it in TLS. */
export type Identity = { readonly key: Key; readonly id: string; readonly cert: string };

/** Certificates carry no times that matter: the key never expires, and clocks at home are often wrong. */
const NOT_BEFORE = new Date('2000-01-01T00:00:00Z');
const NOT_AFTER = new Date('2099-12-31T00:00:00Z');

/** A self-signed certificate for `key`, in PEM. */
async function createCertificate(key: Key): Promise<string> {
  // Loaded only here: the two cost 60 ms, and a node makes its certificate once.
  await import('reflect-metadata');
  const { X509CertificateGenerator } = await import('@peculiar/x509');
  const { createPrivateKey, createPublicKey, webcrypto } = await import('node:crypto');
  const privateKey = createPrivateKey(key.pem);
  const [priv, pub] = await Promise.all([
    webcrypto.subtle.importKey('pkcs8', der(privateKey, 'pkcs8'), 'Ed25519', true, ['sign']),
    webcrypto.subtle.importKey('spki', der(createPublicKey(privateKey), 'spki'), 'Ed25519', true, ['verify']),
  ]);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: `CN=${key.id}`,
    notBefore: NOT_BEFORE,
    notAfter: NOT_AFTER,
    keys: { privateKey: priv, publicKey: pub },
    signingAlgorithm: { name: 'Ed25519' },
    serialNumber: '01',
  });
  return certificate.toString('pem');
}

const der = (key: import('node:crypto').KeyObject, type: 'pkcs8' | 'spki'): Uint8Array<ArrayBuffer> =>
  new Uint8Array(key.export({ format: 'der', type }));

/** A new identity that lives in memory. */
export async function createIdentity(key: Key = Key.generate()): Promise<Identity> {
  return { key, id: key.id, cert: await createCertificate(key) };
}

/** The identity in `keyPath`, made there if there is none; its certificate is kept beside it, at `keyPath` + `.crt`. */
export async function loadIdentity(keyPath: string): Promise<Identity> {
  const key = await loadOrCreateKey(keyPath);
  const certPath = `${keyPath}.crt`;
  const kept = await readFile(certPath, 'utf8').catch(() => undefined);
  if (kept !== undefined && idOfCertificate(kept) === key.id) return { key, id: key.id, cert: kept };
  const cert = await createCertificate(key);
  await writeFile(certPath, cert, { mode: 0o600 }).catch((error: unknown) => {
    throw toFault(error, `writing the certificate "${certPath}"`, 'unwritable');
  });
  return { key, id: key.id, cert };
}

function idOfCertificate(pem: string): string | undefined {
  try {
    return idOf(new X509Certificate(pem).publicKey);
  } catch {
    return undefined;
  }
}

/** The keys that were read from certificates, for a connection carries many requests. */
const peers = new WeakMap<TLSSocket, string | undefined>();

/** The id of the key that the other side proved in the handshake; undefined if it showed no Ed25519 certificate. */
export function peerOf(socket: TLSSocket): string | undefined {
  if (peers.has(socket)) return peers.get(socket);
  const certificate = socket.getPeerX509Certificate();
  const peer = certificate && idOf(certificate.publicKey);
  peers.set(socket, peer);
  return peer;
}
