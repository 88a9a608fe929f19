/** The tracker that a user names: by invite link, by key and address, or by address alone. */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { request } from 'node:https';
import { text as textOf } from 'node:stream/consumers';
import { Fault, toFault } from '../base/fault.ts';
import type { Shell } from '../cli/shell.ts';
import { type ChosenTracker, type Invite, parseInvite, splitTier } from '../directory/invite.ts';
import { MOST_ADDRESSES } from '../directory/record.ts';
import { formatAddress, formatProxied, isProxied, parseProxied } from '../link/address.ts';
import { createIdentity } from '../link/certificate.ts';
import { dial, keyAt } from '../link/dial.ts';
import { dialProxy } from '../link/dial-proxied.ts';

/** Milliseconds that a tracker has to give its invite. */
const ASK_MS = 5000;
/** Bytes that an invite may have; what is longer is none. */
const MOST_BYTES = 8192;

/** An authority to trust beside the known ones. Throws `unreadable`, `invalid_argument`. */
export async function readCa(path: string): Promise<string> {
  const pem = await readFile(path, 'utf8').catch((error: unknown) => {
    throw toFault(error, `reading the authority "${path}"`, 'unreadable');
  });
  try {
    new X509Certificate(pem);
    return pem;
  } catch (error) {
    throw new Fault('invalid_argument', `reading the authority "${path}": no certificate in PEM`, { cause: error });
  }
}

/**
 * Reads an invite link, `peerid@host:port` or `peerid@wss://host/path` (of a tracker of `zone`), or `host:port`, whose key is taken on first sight and
 * shown, or `wss://host/path`, for which an authority vouches; each may have its tier before it. Throws `bad_invite`, `tracker_down`,
 * `wrong_key`.
 */
export async function readTracker(
  written: string,
  options: { zone: string; ca: string | undefined },
  shell: Shell,
): Promise<ChosenTracker> {
  const { tier, text } = splitTier(written);
  return { tier, ...(await readOne(text, options, shell)) };
}

async function readOne(
  text: string,
  { zone, ca }: { zone: string; ca: string | undefined },
  shell: Shell,
): Promise<Invite> {
  if (isProxied(text)) return await askProxied(text, ca, shell);
  const [, peer, proxied] = /^([a-z2-7]{52})@(wss:.+)$/.exec(text) ?? [];
  if (peer !== undefined && proxied !== undefined) {
    return { peer, addresses: [formatProxied(parseProxied(proxied))], zone };
  }
  if (text.includes('://')) return parseInvite(text);
  if (text.includes('@')) return parseInvite(`netapp://${text}/?zone=${zone}`);
  if (!/:\d+$/.test(text)) {
    throw new Fault(
      'bad_invite',
      `reading the tracker "${text}": expected an invite link, peerid@host:port, host:port or wss://host/path`,
    );
  }
  const identity = await createIdentity(); // nobody has to know yet who asks
  const signal = AbortSignal.any([shell.signal, AbortSignal.timeout(ASK_MS)]);
  try {
    const peer = await keyAt({ address: text, identity, signal });
    const socket = await dial({ address: text, expect: peer, identity, signal });
    const invite = parseInvite(await ask(`https://${text}/invite`, socket));
    if (invite.peer !== peer)
      throw new Fault('wrong_key', `asking "${text}" for its invite: it names another key than its own`);
    await shell.notes.line(
      `netapp: the tracker at "${text}" shows the key "${peer}"; taken on first sight and remembered: compare it with what the tracker printed`,
    );
    return { ...invite, addresses: [...new Set([text, ...invite.addresses])].slice(0, MOST_ADDRESSES) };
  } catch (error) {
    throw notAnswered(error, text);
  }
}

/** Behind a proxy: an authority vouches for the host, and whoever answers there says which key the tracker has. */
async function askProxied(text: string, ca: string | undefined, shell: Shell): Promise<Invite> {
  const place = parseProxied(text);
  const at = formatProxied(place);
  const signal = AbortSignal.any([shell.signal, AbortSignal.timeout(ASK_MS)]);
  try {
    const socket = await dialProxy({ address: at, ca, signal });
    const invite = parseInvite(await ask(`https://${formatAddress(place)}${place.path}/invite`, socket));
    await shell.notes.line(
      `netapp: the tracker at "${at}" shows the key "${invite.peer}"; taken on first sight and remembered: compare it with what the tracker printed`,
    );
    const others = invite.addresses.filter((address) => address !== at);
    return { ...invite, addresses: [...others.slice(0, MOST_ADDRESSES - 1), at] };
  } catch (error) {
    throw notAnswered(error, text);
  }
}

function notAnswered(error: unknown, text: string): Fault {
  const fault = toFault(error, `asking the tracker at "${text}"`, 'tracker_down');
  return fault.code === 'peer_unreachable' || fault.code === 'cancelled'
    ? new Fault('tracker_down', `${fault.message}; see that it runs and that this machine reaches it`)
    : fault;
}

function ask(url: string, socket: Awaited<ReturnType<typeof dial>>): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const asking = request(url, { createConnection: () => socket, headers: { connection: 'close' }, timeout: ASK_MS });
  asking.on('error', reject);
  asking.on('timeout', () => asking.destroy(new Fault('timeout', `asking for "${url}": no answer`)));
  asking.on('response', (response) => {
    let bytes = 0;
    response.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > MOST_BYTES) response.destroy(new Fault('too_large', `asking for "${url}": more than an invite`));
    });
    textOf(response).then(resolve, reject);
  });
  asking.end();
  return promise;
}
