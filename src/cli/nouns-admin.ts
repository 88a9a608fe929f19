/** How what admins of a zone see looks to a person. */
import {
  type FreedHandle,
  freedHandle,
  type HandleInfo,
  handleInfo,
  type TakenBackInvite,
  takenBackInvite,
  type ZoneInvite,
  type ZonePolicy,
  zoneInvite,
  zonePolicy,
} from '../api/shapes.ts';
import { type Noun, noun, state } from './noun.ts';
import { showAgo, showTime } from './units.ts';

const handles = noun<HandleInfo>(handleInfo, {
  head: ['HANDLE', 'STATE', 'SEEN', 'SINCE', 'ACCOUNT'],
  none: 'no names are bound yet',
  row: (h) => [
    { text: h.handle, style: 'bold' },
    h.renamedTo === null ? state(h.state) : `renamed to ${h.renamedTo}`,
    h.online ? state('online') : h.lastSeen === null ? '' : showAgo(h.lastSeen),
    showTime(h.since),
    h.id,
  ],
});

const freed = noun<FreedHandle>(freedHandle, { head: ['FREE'], none: '', row: (f) => [f.handle] });

const policies = noun<ZonePolicy>(zonePolicy, {
  head: ['ZONE', 'POLICY'],
  none: '',
  row: (p) => [{ text: p.zone, style: 'bold' }, p.policy],
});

const invites = noun<ZoneInvite>(zoneInvite, {
  head: ['INVITE', 'USES', 'UNTIL'],
  none: '',
  row: (i) => [i.invite, String(i.uses), showTime(i.until)],
});

const takenBack = noun<TakenBackInvite>(takenBackInvite, {
  head: ['ZONE', 'WOULD HAVE ENDED'],
  none: '',
  row: (t) => [{ text: t.zone, style: 'bold' }, showTime(t.until)],
});

export const adminNouns: readonly (readonly [unknown, Noun])[] = [
  [handleInfo, handles],
  [freedHandle, freed],
  [zonePolicy, policies],
  [zoneInvite, invites],
  [takenBackInvite, takenBack],
];
