/** One signed POST to an address that a user named: where it may go, and what it may cost. */
import { lookup } from 'node:dns';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { Fault, toFault } from '../base/fault.ts';
import { webhookMac } from '../base/webhook.ts';

/** Milliseconds for connecting, sending and the head of the answer. */
const ANSWER_MS = 10_000;

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8);
loopback.addAddress('::1', 'ipv6');

const isLoopback = (ip: string): boolean => isIP(ip) > 0 && loopback.check(ip, isIP(ip) === 6 ? 'ipv6' : 'ipv4');

/** Host of a URL as people write it: IPv6 without its brackets. */
const hostOf = (url: URL): string => url.hostname.replace(/^\[|\]$/g, '');

/**
 * The address, if it may be posted to: http or https, on this machine, or at a host (`hooks.example.org`, or with a port) of
 * `targets`. Throws `invalid_argument`, `forbidden`. [E-10]
 */
export function checkTarget(address: string, targets: readonly string[]): URL {
  const what = `posting to "${address}"`;
  if (!URL.canParse(address)) throw new Fault('invalid_argument', `${what}: this is no address; expected http://...`);
  const url = new URL(address);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new Fault('invalid_argument', `${what}: "${url.protocol}" is neither http: nor https:`);
  }
  if (url.username !== '' || url.password !== '') {
    throw new Fault(
      'invalid_argument',
      `${what}: an address with a password in it ends up in logs; what is posted is signed`,
    );
  }
  if (isOwn(url) || targets.some((target) => target === url.host || target === url.hostname)) return url;
  throw new Fault(
    'forbidden',
    `${what}: "${url.host}" is neither this machine nor named in webhookTargets of the configuration; add it there and start the agent again`,
    { data: { host: url.host } },
  );
}

const isOwn = (url: URL): boolean => url.hostname === 'localhost' || isLoopback(hostOf(url));

/** A name that stands for this machine must also lead there, whatever the resolver says. */
const lookupOwn: LookupFunction = (hostname, options, done) => {
  lookup(hostname, { ...options, all: true }, (error, addresses) => {
    if (error) return done(error, '');
    const own = addresses.filter(({ address }) => isLoopback(address));
    const [first] = own;
    if (!first) return done(new Fault('forbidden', `posting to "${hostname}": it leads to another machine`), '');
    if (options.all) done(null, own);
    else done(null, first.address, first.family);
  });
};

export type Posted = { status: number };

/** `at`: seconds since 1970. */
export type Letter = { id: string; at: number; body: string };

/** The status of the answer, of which nothing else is read; redirects are not followed. Throws coded faults. */
export function post(url: URL, letter: Letter, options: { secret: string; signal: AbortSignal }): Promise<Posted> {
  const { id, at, body } = letter;
  const { promise, resolve, reject } = Promise.withResolvers<Posted>();
  const what = `posting to "${url.origin}"`;
  const asking = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, {
    method: 'POST',
    agent: false,
    signal: options.signal,
    ...(isOwn(url) && { lookup: lookupOwn }),
    headers: {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      'user-agent': 'netapp',
      'webhook-id': id,
      'webhook-timestamp': at,
      'webhook-signature': `v1,${webhookMac(options.secret, letter).toString('base64')}`,
    },
  });
  // A deadline for all of it: the socket's own timeout would begin anew with each byte that drips.
  const late = setTimeout(
    () => asking.destroy(new Fault('timeout', `${what}: no answer within ${ANSWER_MS} ms`)),
    ANSWER_MS,
  );
  asking.on('error', (error) => reject(toFault(error, what, 'peer_unreachable')));
  asking.on('response', (response) => {
    resolve({ status: response.statusCode ?? 0 });
    response.destroy();
  });
  asking.on('close', () => clearTimeout(late));
  asking.end(body);
  return promise;
}
