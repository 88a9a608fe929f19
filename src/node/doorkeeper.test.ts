import { expect, test } from 'vitest';
import { Store } from '../base/sqlite.ts';
import { Doorkeeper } from './doorkeeper.ts';

const MINUTE = 60_000;

function setUp() {
  const store = new Store(':memory:');
  const clock = { time: Date.parse('2026-03-01T00:00:00Z'), now: () => clock.time };
  const open = () => new Doorkeeper({ store, clock, account: 'abcdefghijkl' });
  return { store, clock, open, keeper: open() };
}

const coded = (code: string) => expect.objectContaining({ code });

test('a token opens what it says until its time is over, also after a restart, and is kept as a hash [E-12]', () => {
  const { store, clock, open, keeper } = setUp();
  const { token, id } = keeper.createToken({ scopes: ['people:list'], ttlMs: 10 * MINUTE, name: 'bot' });
  expect(keeper.ofToken(token)).toMatchObject({ name: 'the token "bot"', scopes: ['people:list'] });
  expect(open().ofToken(token)).toMatchObject({ scopes: ['people:list'] });
  expect(keeper.ofToken(`${token}x`)).toBeUndefined();
  expect(keeper.ofToken('something else')).toBeUndefined();
  const rows = store.prepare('SELECT * FROM passes').all();
  expect(rows).toHaveLength(1);
  const secret = token.slice('nat_'.length);
  for (const value of Object.values(rows[0] ?? {})) {
    const bytes = value instanceof Uint8Array ? Buffer.from(value) : Buffer.from(String(value));
    expect(bytes.includes(secret)).toBe(false);
    expect(bytes.equals(Buffer.from(secret, 'base64url'))).toBe(false);
  }
  clock.time += 10 * MINUTE;
  expect(() => keeper.ofToken(token)).toThrow(coded('unauthenticated'));
  expect(keeper.tokens()).toMatchObject([{ id, usedAt: expect.any(Number) }]);
  clock.time += 31 * 24 * 60 * MINUTE;
  expect(keeper.tokens()).toEqual([]);
});

test('revoking a token ends what it follows', () => {
  const { keeper } = setUp();
  const { token, id } = keeper.createToken({ scopes: ['*'], ttlMs: MINUTE, name: '' });
  const signal = keeper.ofToken(token)?.signal;
  expect(signal?.aborted).toBe(false);
  expect(keeper.revoke(id)).toMatchObject({ id, ended: true });
  expect(signal?.reason).toEqual(coded('unauthenticated'));
  expect(() => keeper.ofToken(token)).toThrow(coded('unauthenticated'));
  expect(() => keeper.revoke('nothing')).toThrow(coded('unknown_id'));
  expect(() => keeper.revoke('')).toThrow(coded('unknown_id'));
});

test('there are at most 256 tokens at once', () => {
  const { keeper, clock } = setUp();
  const make = () => keeper.createToken({ scopes: ['*'], ttlMs: MINUTE, name: '' });
  for (let n = 0; n < 256; n++) make();
  expect(make).toThrow(coded('too_many'));
  clock.time += MINUTE;
  expect(make).not.toThrow();
});

test('a one-time code opens one session, once, for two minutes [E-13]', () => {
  const { keeper, clock, open } = setUp();
  const { code } = keeper.issue({ scopes: ['*'], ttlMs: 60 * MINUTE });
  const { value, seconds } = keeper.redeem(code);
  expect(seconds).toBe(3600);
  expect(keeper.ofCookie(value)).toMatchObject({ scopes: ['*'] });
  expect(open().ofCookie(value)).toMatchObject({ scopes: ['*'] });
  expect(() => keeper.redeem(code)).toThrow(coded('unauthenticated'));
  const late = keeper.issue({ scopes: ['*'], ttlMs: MINUTE });
  clock.time += 2 * MINUTE;
  expect(() => keeper.redeem(late.code)).toThrow(coded('unauthenticated'));
  clock.time += 60 * MINUTE;
  expect(() => keeper.ofCookie(value)).toThrow(coded('unauthenticated'));
});

test('a cookie that was not signed here, a token as a cookie and a cookie as a token are nothing', () => {
  const { keeper } = setUp();
  const { value } = keeper.redeem(keeper.issue({ scopes: ['*'], ttlMs: MINUTE }).code);
  const [secret = '', signature = ''] = value.split('.');
  const other = setUp().keeper;
  expect(other.ofCookie(value)).toBeUndefined();
  for (const wrong of [secret, `${secret}.`, `${secret}.${signature.slice(1)}`, `x${secret}.${signature}`, '', '.']) {
    expect(keeper.ofCookie(wrong)).toBeUndefined();
  }
  const { token } = keeper.createToken({ scopes: ['*'], ttlMs: MINUTE, name: '' });
  expect(keeper.ofCookie(token)).toBeUndefined();
  expect(keeper.ofToken(`nat_${secret}`)).toBeUndefined();
  const [session] = keeper.sessions();
  keeper.endSession(session?.id ?? '');
  expect(() => keeper.ofCookie(value)).toThrow(coded('unauthenticated'));
});

test('codes that wait are bounded: the oldest gives way', () => {
  const { keeper } = setUp();
  const codes = Array.from({ length: 17 }, () => keeper.issue({ scopes: ['*'], ttlMs: MINUTE }).code);
  expect(() => keeper.redeem(codes[0] ?? '')).toThrow(coded('unauthenticated'));
  expect(keeper.redeem(codes[1] ?? '').seconds).toBe(60);
});
