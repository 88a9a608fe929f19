import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatAddress } from '../link/address.ts';
import { Key } from '../link/identity.ts';
import { formatInvite, parseInvite } from './invite.ts';

const peer = Key.generate().id;
const host = fc.oneof(
  fc.ipV4(),
  fc.ipV6().filter((ip) => !ip.includes('%')),
  fc.domain(),
);
const address = fc
  .tuple(host, fc.integer({ min: 1, max: 65_535 }))
  .map(([h, port]) => formatAddress({ host: h, port }));
const zone = fc.constantFrom('lab', 'cse.hcmut', 'lab1.cse-2.hcmut');

test('an invite says after a round trip what it said before [D-40]', () => {
  fc.assert(
    fc.property(fc.array(address, { minLength: 1, maxLength: 8 }), zone, (addresses, z) => {
      const invite = { peer, addresses, zone: z };
      expect(parseInvite(` ${formatInvite(invite)}\n`)).toEqual(invite);
    }),
  );
});

test('unknown parameters are skipped, and the slash may be missing', () => {
  expect(parseInvite(`netapp://${peer}@10.0.0.1:22236?zone=lab&later=1`)).toEqual({
    peer,
    addresses: ['10.0.0.1:22236'],
    zone: 'lab',
  });
});

test.each([
  ['', 'expected netapp://'],
  ['https://example.org', 'expected netapp://'],
  [`netapp://${peer}`, 'expected netapp://'],
  [`netapp://${peer.slice(1)}@10.0.0.1:1/?zone=lab`, 'peer id'],
  [`netapp://@10.0.0.1:1/?zone=lab`, 'peer id'],
  [`netapp://${peer}@10.0.0.1/?zone=lab`, '"10.0.0.1" is not host:port'],
  [`netapp://${peer}@10.0.0.1:70000/?zone=lab`, 'not host:port'],
  [`netapp://${peer}@10.0.0.1:1/?zone=lab&addr=x`, '"x" is not host:port'],
  [`netapp://${peer}@10.0.0.1:1/`, 'zone'],
  [`netapp://${peer}@10.0.0.1:1/?zone=a%20b`, 'zone'],
  [`netapp://${peer}@10.0.0.1:1/?zone=lab${'&addr=h:1'.repeat(8)}`, 'at most 8'],
])('%j is refused, and told why', (text, why) => {
  expect(() => parseInvite(text)).toThrow(
    expect.objectContaining({ code: 'bad_invite', message: expect.stringContaining(why) }),
  );
});

test('garbage is always bad_invite, never another error', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary-ascii' }), (tail) => {
      try {
        parseInvite(`netapp://${peer}@${tail}`);
      } catch (error) {
        expect(error).toMatchObject({ code: 'bad_invite' });
      }
    }),
  );
});

test('a token goes with the invite, and those who know none read the rest [A-10]', () => {
  const invite = { peer, addresses: ['10.0.0.1:22236'], zone: 'lab', token: 'abc_-9' };
  expect(formatInvite(invite)).toBe(`netapp://${peer}@10.0.0.1:22236/?zone=lab&token=abc_-9`);
  expect(parseInvite(formatInvite(invite))).toEqual(invite);
  expect(() => parseInvite(`netapp://${peer}@10.0.0.1:1/?zone=lab&token=a%20b`)).toThrow('token is not whole');
});
