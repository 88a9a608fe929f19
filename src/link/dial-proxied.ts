/** The side that calls a tracker behind a proxy: TLS by an authority's certificate, then keys proved by signature. [L-40] to [L-44] */
import { isIP } from 'node:net';
import { connect, getCACertificates, type TLSSocket } from 'node:tls';
import { deadline, reasonOf } from '../base/async.ts';
import { Fault, toFault } from '../base/fault.ts';
import { formatAddress, formatProxied, parseProxied } from './address.ts';
import { askHeaders, type Challenge, isProved, newNonce, prove, readAnswer } from './challenge.ts';
import { DIAL_MS, type LinkDialOptions, unanswered } from './dial.ts';
import { Link } from './link.ts';
import { rungOf } from './rung.ts';
import type { Sessions } from './sessions.ts';
import { upgrade } from './upgrade.ts';

export type ProxyDialOptions = {
  /** `wss://host[:port][/path]`. */
  address: string;
  /** PEM of an authority to trust beside the known ones. */
  ca?: string | undefined;
  signal?: AbortSignal | undefined;
  timeoutMs?: number;
  /** Whose sessions these are: the tracker that is meant. */
  sessions?: { kept: Sessions; peer: string } | undefined;
};

/**
 * A TLS connection to whoever has a good certificate for the host. Throws `peer_unreachable`, `timeout`, `cancelled`, or `wrong_key`
 * for a certificate that no known authority signed for this host.
 */
export async function dialProxy(options: ProxyDialOptions): Promise<TLSSocket> {
  const { address, ca, sessions } = options;
  const { host, port } = parseProxied(address);
  const what = `dialling "${address}"`;
  const session = sessions?.kept.get(sessions.peer, address);
  using limit = deadline(options.timeoutMs ?? DIAL_MS, what, options.signal);
  if (limit.aborted) throw reasonOf(limit);
  return await new Promise((resolve, reject) => {
    const socket = connect({
      host,
      port,
      ...(isIP(host) === 0 && { servername: host }),
      ...(ca !== undefined && { ca: [...getCACertificates('default'), ca] }),
      ALPNProtocols: ['http/1.1'],
      ...(session && { session }),
    });
    socket.setNoDelay(true);
    const fail = (fault: Fault): void => {
      limit.removeEventListener('abort', abort);
      socket.destroy();
      reject(fault);
    };
    const abort = (): void => fail(reasonOf(limit));
    limit.addEventListener('abort', abort, { once: true });
    socket.on('error', (error) =>
      fail(distrusted(error, what) ?? unanswered(toFault(error, what, 'peer_unreachable'), address)),
    );
    socket.once('close', () => fail(new Fault('peer_unreachable', `${what}: nobody answers`)));
    socket.once('secureConnect', () => {
      limit.removeEventListener('abort', abort);
      if (sessions) socket.on('session', (made: Buffer) => sessions.kept.keep(sessions.peer, address, made));
      resolve(socket);
    });
  });
}

/** What OpenSSL and Node say of a certificate that they do not trust. */
function distrusted(error: NodeJS.ErrnoException, what: string): Fault | undefined {
  const isOfCertificate = /CERT|SELF_SIGNED|ISSUER|ALTNAME|LEAF_SIGNATURE/.test(error.code ?? '');
  if (!isOfCertificate) return undefined;
  return new Fault(
    'wrong_key',
    `${what}: its certificate is not trusted (${error.message}); if an authority of your own signed it, name that one with --tracker-ca FILE`,
    { cause: error },
  );
}

/**
 * A greeted link to `expect` through the proxy at `address`. Throws as `dialProxy` does, `wrong_key` where what answers does not prove
 * that key, or the fault that refused the greeting.
 */
export async function dialProxiedLink(options: LinkDialOptions & { ca?: string | undefined }): Promise<Link> {
  const { expect, identity, sessions, signal } = options;
  const place = parseProxied(options.address);
  const [at, address] = [formatProxied(place), formatAddress(place)];
  const socket = await dialProxy({
    ...options,
    address: at,
    sessions: sessions && { kept: sessions, peer: expect },
  });
  const asked = { node: identity.id, nodeNonce: newNonce(), at };
  const { stream, headers } = await upgrade(socket, {
    url: `${at}/link`,
    origin: { address, rung: rungOf(address) },
    headers: askHeaders(asked),
    signal,
  });
  const answer = readAnswer(headers);
  const challenge: Challenge = { ...asked, tracker: expect, trackerNonce: answer?.trackerNonce ?? '' };
  if (!answer || !isProved('tracker', challenge, answer.proof)) {
    stream.cut();
    throw new Fault('wrong_key', `dialling "${at}": what answers there does not prove the key "${expect}"`);
  }
  const link = new Link({
    stream,
    router: options.router,
    self: { ...options.self(), proof: prove(identity.key, 'node', challenge) },
    peer: expect,
    dialled: true,
    clock: options.clock,
    log: options.log,
  });
  await link.start().catch((error: unknown) => {
    throw unanswered(toFault(error), at);
  });
  return link;
}
