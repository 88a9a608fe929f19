import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { canonical } from '../base/encoding.ts';
import { Key } from '../link/identity.ts';
import { encodeInvitation, readInvitation, signInvitation } from './invitation.ts';
import { parseInvite } from './invite.ts';

test('the test vector is read as it was made [A-10]', async () => {
  const text = await readFile(new URL('../../test/vectors/invitation.json', import.meta.url), 'utf8');
  const { pem, signed, invitation, token, invite } = JSON.parse(text);
  const { sig, ...claim } = invitation;
  expect(canonical(claim)).toBe(signed);
  expect(Key.fromPem(pem).sign('invitation', claim)).toBe(sig);
  expect(readInvitation(token)).toEqual(invitation);
  expect(encodeInvitation(invitation)).toBe(token);
  expect(parseInvite(invite)).toMatchObject({ peer: claim.by, token });
});

test('what is no invitation, or not of whom it names, is none [A-10]', () => {
  fc.assert(fc.property(fc.string({ maxLength: 2000 }), (text) => readInvitation(text) === undefined));
  const made = signInvitation(Key.generate(), { zone: 'lab', uses: 1, until: 1 });
  expect(readInvitation(encodeInvitation(made))).toEqual(made);
  const forged = [{ zone: 'lib' }, { uses: 2 }, { until: 2 }, { id: 'a'.repeat(26) }, { by: Key.generate().id }];
  for (const change of forged) expect(readInvitation(encodeInvitation({ ...made, ...change }))).toBeUndefined();
  expect(readInvitation(`${encodeInvitation(made)}A`)).toBeUndefined();
});
