import { expect, test } from 'vitest';
import type { Status } from '../api/shapes.ts';
import { mapped } from './mapping.ts';

type Mapping = Status['reach']['mapping'];

const held: Mapping = {
  state: 'mapped',
  by: 'nat-pmp',
  outside: '203.0.113.9:33357',
  isPublic: true,
  until: '2026-03-01T10:00:00.000Z',
  gateway: '192.168.1.1',
  error: null,
  code: null,
};

test('a mapping is told with its address, its protocol and its end', () => {
  expect(mapped(held)).toMatchObject({
    level: 'ok',
    says: 'the router at 192.168.1.1 lets others in at 203.0.113.9:33357 by NAT-PMP, renewed before 2026-03-01T10:00:00.000Z',
  });
});

test('one that leads to a second router is no way in', () => {
  expect(mapped({ ...held, isPublic: false })).toMatchObject({
    level: 'note',
    todo: expect.stringContaining('router'),
  });
});

test('nobody has to act where there is none, and it is said why', () => {
  const states = ['asking', 'none', 'needless', 'off'] as const;
  const findings = states.map((state) => mapped({ ...held, state, error: 'nobody answers' }));
  expect(findings.map(({ level }) => level)).toEqual(['note', 'note', 'ok', 'note']);
  expect(findings[1]?.says).toContain(': nobody answers');
  expect(findings[1]?.todo).not.toBeNull();
});
