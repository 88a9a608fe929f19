/** What one side of ICE has to tell the other: said in members with a form each, so that no text of a stranger is read by native code. [N-40] */
import { isIP, isIPv6 } from 'node:net';
import { z } from 'zod';

/** Addresses of one side. */
export const MOST_CANDIDATES = 6;

const candidate = z.object({
  host: z
    .string()
    .max(45)
    .refine((text) => isIP(text) !== 0, 'an IP'),
  port: z.number().int().min(1).max(65_535),
  /** Its own address, or the one that STUN saw. */
  type: z.enum(['host', 'srflx']),
});
export type Candidate = z.infer<typeof candidate>;

export const iceSide = z.object({
  ufrag: z.string().regex(/^[A-Za-z0-9+/]{4,32}$/),
  pwd: z.string().regex(/^[A-Za-z0-9+/]{22,64}$/),
  /** SHA-256 of the certificate of its DTLS. */
  fingerprint: z.string().regex(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/),
  candidates: z.array(candidate).max(MOST_CANDIDATES),
});
export type IceSide = z.infer<typeof iceSide>;

/** Reads what the own library says of this side (RFC 8839 and 8841). */
export function readSide(sdp: string): IceSide {
  const [, ufrag] = /^a=ice-ufrag:(\S+)/m.exec(sdp) ?? [];
  const [, pwd] = /^a=ice-pwd:(\S+)/m.exec(sdp) ?? [];
  const [, fingerprint] = /^a=fingerprint:sha-256 (\S+)/m.exec(sdp) ?? [];
  const lines = sdp.matchAll(/^a=candidate:\S+ 1 UDP \d+ (\S+) (\d+) typ (host|srflx)/gm);
  const candidates = [...lines].map(([, host, port, type]) => ({ host, port: Number(port), type }));
  // What STUN saw is what is most likely to be reached from outside.
  candidates.sort((a, b) => Number(b.type === 'srflx') - Number(a.type === 'srflx'));
  return iceSide.parse({ ufrag, pwd, fingerprint, candidates: candidates.slice(0, MOST_CANDIDATES) });
}

/**
 * The other side, as the own library reads it. The side that was asked begins the handshake of DTLS: it is connected last, so that no
 * first packet comes before the other end knows of it.
 */
export function writeSide({ ufrag, pwd, fingerprint, candidates }: IceSide, setup: 'active' | 'passive'): string {
  return [
    'v=0',
    'o=netapp 1 0 IN IP4 127.0.0.1',
    's=-',
    't=0 0',
    'a=group:BUNDLE 0',
    'a=ice-options:ice2,trickle',
    `a=fingerprint:sha-256 ${fingerprint}`,
    'm=application 9 UDP/DTLS/SCTP webrtc-datachannel',
    'c=IN IP4 0.0.0.0',
    'a=mid:0',
    'a=sendrecv',
    'a=sctp-port:5000',
    'a=max-message-size:262144',
    `a=setup:${setup}`,
    `a=ice-ufrag:${ufrag}`,
    `a=ice-pwd:${pwd}`,
    ...writeCandidates(candidates).map((line) => `a=${line}`),
    '',
  ].join('\r\n');
}

export function writeCandidates(candidates: readonly Candidate[]): string[] {
  return candidates.map(({ host, port, type }, at) => {
    // RFC 8445, section 5.1.2.1, with the recommended preferences.
    const priority = (type === 'host' ? 126 : 100) * 2 ** 24 + (65_535 - at) * 2 ** 8 + 255;
    const base = type === 'host' ? '' : ` raddr ${isIPv6(host) ? '::' : '0.0.0.0'} rport 0`;
    return `candidate:${at + 1} 1 UDP ${priority} ${host} ${port} typ ${type}${base}`;
  });
}
