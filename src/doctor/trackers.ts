/** Each tracker: whether it answers, with the key that it must have, how fast, and by which clock. */
import { readFile } from 'node:fs/promises';
import { request } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { Fault, toFault } from '../base/fault.ts';
import { type Invite, parseInvite, splitTier } from '../directory/invite.ts';
import { isProxied } from '../link/address.ts';
import { createIdentity, type Identity } from '../link/certificate.ts';
import { dial } from '../link/dial.ts';
import { dialProxy } from '../link/dial-proxied.ts';
import { bad, type Check, type Finding, isUp, note, ok } from './check.ts';

/** Milliseconds that a tracker has to answer. */
const ASK_MS = 5000;
/** Milliseconds by which two clocks may differ: records are refused beyond minutes, and the answer tells whole seconds. */
const SKEW_MS = 60_000;

/** Milliseconds before the end of a certificate at which whoever renews it by hand, or meant to by a program, should hear of it. */
const RENEW_MS = 14 * 86_400_000;
const RENEW = 'let whoever runs the proxy renew it: nobody gets to the tracker when it is over';

export const trackers: Check = {
  name: 'trackers',
  run: async ({ agent, config, signal }) => {
    const links = isUp(agent) ? agent.trackers.map(({ invite }) => invite) : (config.trackers ?? []);
    if (links.length === 0)
      return [note('tracker', isUp(agent) ? 'none' : 'none is remembered: netapp up runs one inside')];
    const identity = await createIdentity();
    const ca = config.trackerCa === undefined ? undefined : await readFile(config.trackerCa, 'utf8');
    const others = (peer: string | undefined): boolean =>
      isUp(agent) && agent.trackers.some((other) => other.used && other.peer !== peer);
    const findings: Finding[] = [];
    for (const link of links) {
      const invite = parseInvite(splitTier(link).text);
      const said = isUp(agent) ? agent.trackers.find(({ peer }) => peer === invite.peer) : undefined;
      const found = await look(invite, { identity, ca, signal });
      // Where others do its work, nobody has to act for one that does not answer.
      findings.push(...(others(said?.peer) ? found.map(asNote) : found));
      if (!said) continue;
      const words = `${invite.zone}, tier ${said.tier}: ${said.used ? 'used' : 'not used'}: ${said.why}`;
      if (!said.used && said.state !== 'rest' && !others(said.peer))
        findings.push(bad('tracker', 'tracker_down', words));
      else if (links.length > 1) findings.push(note('tracker', words));
    }
    return findings;
  },
};

const asNote = (finding: Finding): Finding =>
  finding.code === 'tracker_down' || finding.code === 'timeout' ? note(finding.about, finding.says) : finding;

/** One address that answers is enough. */
async function look(
  invite: Invite,
  { identity, ca, signal }: { identity: Identity; ca: string | undefined; signal: AbortSignal },
): Promise<Finding[]> {
  const faults: Fault[] = [];
  for (const address of invite.addresses) {
    try {
      const began = performance.now();
      const proxied = isProxied(address);
      const socket = proxied
        ? await dialProxy({ address, ca, signal })
        : await dial({ address, expect: invite.peer, identity, signal });
      const dialled = performance.now() - began;
      const shown = proxied ? certificateOf(socket) : undefined;
      const { delay, skew } = await ask(proxied ? address.replace('wss://', 'https://') : `https://${address}`, socket);
      const where = `${invite.zone} at ${address}`;
      const says = `${where} answers in ${delay.toFixed(1)} ms (${dialled.toFixed(1)} ms to connect), ${shown ? shown.says : `with the pinned key ${invite.peer.slice(0, 8)}…`}`;
      const clock =
        skew === undefined
          ? note('clock', `${where} does not say what time it is`)
          : Math.abs(skew) > SKEW_MS
            ? bad(
                'clock',
                'clock_ahead',
                `this clock and that of ${where} differ by ${Math.round(skew / 1000)} s`,
                'set the one that is wrong',
              )
            : ok('clock', `the same as at ${where}, within ${Math.max(1, Math.ceil(Math.abs(skew) / 1000))} s`);
      const answers = shown?.endsSoon ? note('tracker', says, RENEW) : ok('tracker', says);
      return [answers, clock, ...faults.map(({ message }) => note('tracker', message))];
    } catch (error) {
      signal.throwIfAborted();
      const fault = toFault(error, `asking the tracker at "${address}"`, 'tracker_down');
      faults.push(fault.code === 'peer_unreachable' ? new Fault('tracker_down', fault.message) : fault);
    }
  }
  return faults.map(({ code, message }) =>
    bad(
      'tracker',
      code,
      `${invite.zone}: ${message}`,
      code === 'wrong_key'
        ? 'something else answers there, or the tracker has lost its key: ask whoever runs it for a new invite'
        : 'see that it runs, and that this machine reaches it',
    ),
  );
}

/** What a proxy showed, which an authority has signed for its host: by whom, and until when it holds. */
function certificateOf(socket: TLSSocket): { says: string; endsSoon: boolean } {
  const { validTo, issuer } = socket.getPeerX509Certificate() ?? {};
  if (validTo === undefined) return { says: 'with a trusted certificate', endsSoon: false };
  const [, by = 'an authority'] = /^(?:O|CN)=(.+)$/m.exec(issuer ?? '') ?? [];
  const until = new Date(validTo);
  return {
    says: `with a trusted certificate of ${by}, until ${until.toISOString().slice(0, 10)}`,
    endsSoon: until.getTime() - Date.now() < RENEW_MS,
  };
}

/** Milliseconds of the answer, and how far its clock is from ours. */
function ask(base: string, socket: TLSSocket): Promise<{ delay: number; skew: number | undefined }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ delay: number; skew: number | undefined }>();
  const began = performance.now();
  const url = `${base}/healthz`;
  const asking = request(url, { createConnection: () => socket, headers: { connection: 'close' }, timeout: ASK_MS });
  asking.on('error', reject);
  asking.on('timeout', () => asking.destroy(new Fault('timeout', `asking for "${url}": no answer`)));
  asking.on('response', (response) => {
    const delay = performance.now() - began;
    const theirs = Date.parse(response.headers.date ?? '');
    response.resume();
    if (response.statusCode === 200) {
      // Its clock was read about when half of the delay was over, and cut to the second.
      const skew = Number.isNaN(theirs) ? undefined : theirs + 500 - (Date.now() - delay / 2);
      response.on('end', () => resolve({ delay, skew }));
    } else reject(new Fault('tracker_down', `asking for "${url}": it answered ${response.statusCode}`));
  });
  asking.end();
  return promise;
}
