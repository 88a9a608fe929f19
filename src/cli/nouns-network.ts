/** How networks, and the ways to somebody, look to a person. */
import { type NetworkInfo, networkInfo, type PeerReach, peerReach } from '../api/network.ts';
import { type Noun, noun, state } from './noun.ts';
import type { Cell } from './term.ts';
import { showAgo } from './units.ts';

const networks = noun<NetworkInfo>(networkInfo, {
  head: ['INTERFACES', 'LISTENING'],
  none: '',
  row: (n) => [n.interfaces.map(({ name }) => name).join(' ') || '-', n.listening.join(' ')],
  detail: (n) => [
    ...n.interfaces.map(({ name, addresses, isDefault }): [string, Cell] => [
      'interface',
      `${name} ${addresses.join(' ')}${isDefault ? ', the way out' : ''}`,
    ]),
    ['listening', n.listening.join(' ') || '-'],
    ...n.trackers.map((t): [string, Cell] => [
      'tracker',
      t.observed === null
        ? `${t.zone} at ${t.address}: ${t.error ?? 'not up'}`
        : `${t.zone} sees ${t.observed}, and reached ${t.reached.join(' ') || 'none of its addresses'}`,
    ]),
    ['nat', `${n.nat.kind}, as ${n.nat.hosts} trackers see it`],
    ...n.multicast.map(({ network, heard, others }): [string, Cell] => [
      'multicast',
      `${network}: ${heard ? 'heard' : 'not heard'}, ${others} others`,
    ]),
  ],
});

const reaches = noun<PeerReach>(peerReach, {
  head: ['WHO', 'STATUS', 'LINK'],
  none: '',
  row: (r) => [{ text: r.handle, style: 'bold' }, state(r.status), r.link?.rung ?? '-'],
  detail: (r) => [
    ['who', { text: r.handle, style: 'bold' }],
    ['status', r.status === 'offline' ? `offline, seen ${showAgo(r.lastSeen)}` : state(r.status)],
    ['link', r.link ? `${r.link.rung}, ${r.link.dialled ? 'to' : 'from'} ${r.link.address}` : '-'],
    ...r.ways.map(({ rung, label, works, ms, reason }): [string, Cell] => [
      rung,
      { text: `${label}: ${works ? 'works' : reason}, ${ms} ms`, style: works ? 'green' : 'red' },
    ]),
    ['waiting', `${r.waiting.queued} messages here, ${r.waiting.held} held, ${r.waiting.files} files`],
  ],
});

export const networkNouns: readonly (readonly [unknown, Noun])[] = [
  [networkInfo, networks],
  [peerReach, reaches],
];
