import { expect, test } from 'vitest';
import { Fault } from '../../base/fault.ts';
import { engineText, parseEngine } from './engine.ts';

test('an engine is the embedded one, or NATS at some addresses, with a login or without', () => {
  expect(parseEngine('embedded')).toBeUndefined();
  expect(parseEngine('nats://a')).toEqual({ servers: ['a:4222'], tls: false });
  expect(parseEngine('nats://a:1,b,[::1]:2')).toEqual({ servers: ['a:1', 'b:4222', '[::1]:2'], tls: false });
  expect(parseEngine('tls://t0ken@a')).toEqual({ servers: ['a:4222'], tls: true, token: 't0ken' });
  expect(parseEngine('nats://me:p:w@a/')).toEqual({ servers: ['a:4222'], tls: false, user: 'me', pass: 'p:w' });
});

test.each(['', 'nats', 'nats://', 'redis://a', 'nats://a b', 'nats://a:99999999', 'nats://a,', 'nats://me:s3cret@'])(
  '"%s" is none, and what it says is not repeated',
  (text) => {
    const told = (): string => {
      try {
        parseEngine(text);
        return 'taken';
      } catch (error) {
        return error instanceof Fault ? `${error.code} ${error.message}` : 'thrown';
      }
    };
    expect(told()).toMatch(/^invalid_argument reading the engine: expected nats:/);
    expect(told()).not.toContain('s3cret');
  },
);

test('what is secret is not shown', () => {
  expect(engineText('nats://me:s3cr@t@a,b')).toBe('nats://…@a,b');
  expect(engineText('nats://a')).toBe('nats://a');
  expect(engineText('embedded')).toBe('embedded');
});
