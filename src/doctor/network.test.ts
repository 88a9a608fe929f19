import { expect, test } from 'vitest';
import type { NetworkInfo } from '../api/network.ts';
import { told } from './network.ts';

const well: NetworkInfo = {
  interfaces: [{ name: 'eth0', addresses: ['192.168.1.5'], isDefault: true }],
  listening: ['192.168.1.5:33357'],
  trackers: [
    {
      peer: 'p',
      zone: 'lab',
      address: '198.51.100.1:22236',
      observed: '203.0.113.9',
      scope: 'public',
      reached: ['203.0.113.9:33357'],
      error: null,
    },
  ],
  nat: { kind: 'endpoint-independent', seen: [{ by: '198.51.100.1:22236', as: '203.0.113.9:4000' }], hosts: 2 },
  multicast: [{ network: 'eth0', heard: true, others: 3 }],
};
const brief = (info: NetworkInfo) => told(info).map(({ about, level }) => `${about} ${level}`);
const of = (info: NetworkInfo, about: string) => told(info).find((finding) => finding.about === about);

test('a machine that is reached from outside', () => {
  expect(brief(well)).toEqual(['network ok', 'reached ok', 'nat ok', 'lan ok']);
  expect(of(well, 'reached')?.says).toContain('reaches it from outside at 203.0.113.9:33357');
});

test('one that is reached by a tracker on itself is not said to be reached from outside [N-90]', () => {
  const [tracker] = well.trackers;
  if (!tracker) throw new Error('there is one');
  const here = { ...well, trackers: [{ ...tracker, scope: 'loopback' as const }] };
  expect(of(here, 'reached')?.says).toContain('reaches it on this machine');
});

test('one that nobody can dial hears what to do, and of which port', () => {
  const [tracker] = well.trackers;
  if (!tracker) throw new Error('there is one');
  const shut = { ...well, trackers: [{ ...tracker, reached: [] }] };
  expect(of(shut, 'reached')).toMatchObject({ level: 'note', todo: expect.stringContaining('33357 (TCP)') });
});

test('a tracker that is down is left to its own check', () => {
  const [tracker] = well.trackers;
  if (!tracker) throw new Error('there is one');
  expect(brief({ ...well, trackers: [{ ...tracker, observed: null, scope: null }] })).not.toContain('reached note');
});

test('each kind of NAT has its words, and an unknown one says why', () => {
  const kinds = ['none', 'endpoint-independent', 'address-dependent', 'address-and-port-dependent', 'unknown'] as const;
  const nats = kinds.map((kind) => of({ ...well, nat: { ...well.nat, kind } }, 'nat'));
  expect(nats.map((finding) => finding?.level)).toEqual(['ok', 'ok', 'note', 'note', 'note']);
  expect(new Set(nats.map((finding) => finding?.says)).size).toBe(5);
  const none = of({ ...well, nat: { kind: 'unknown', seen: [], hosts: 0 } }, 'nat');
  expect(none?.says).not.toBe(nats[4]?.says);
});

test('a machine without a network, and one that does not hear multicast', () => {
  const alone = { ...well, interfaces: [], multicast: [{ network: 'eth0', heard: false, others: 0 }] };
  expect(of(alone, 'network')).toMatchObject({ level: 'note' });
  expect(of(alone, 'lan')).toMatchObject({ level: 'note', todo: expect.stringContaining('5353') });
  expect(of({ ...well, multicast: [] }, 'lan')).toMatchObject({ level: 'note', todo: null });
  const inside = { ...well, interfaces: [{ name: 'eth0', addresses: ['192.168.1.5'], isDefault: false }] };
  expect(of(inside, 'network')).toMatchObject({ level: 'note', says: expect.stringContaining('no way out') });
});
