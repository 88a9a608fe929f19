/** Writes invitation.json: an invitation that any implementation must read and make. Run: node test/vectors/make-invitation.ts */
import { writeFileSync } from 'node:fs';
import { canonical } from '../../src/base/encoding.ts';
import { encodeInvitation } from '../../src/directory/invitation.ts';
import { formatInvite } from '../../src/directory/invite.ts';
import { fixedKey } from './fixed-key.ts';

const tracker = fixedKey(3);
const claim = { id: 'abcdefghijklmnopqrstuvwxy4', zone: 'lab', uses: 5, until: 1_800_000_000_000, by: tracker.id };
const invitation = { ...claim, sig: tracker.sign('invitation', claim) };
const token = encodeInvitation(invitation);

writeFileSync(
  new URL('invitation.json', import.meta.url),
  `${JSON.stringify(
    {
      pem: tracker.pem,
      signed: canonical(claim),
      invitation,
      token,
      invite: formatInvite({ peer: tracker.id, addresses: ['192.0.2.1:22236'], zone: 'lab', token }),
    },
    null,
    2,
  )}\n`,
);
