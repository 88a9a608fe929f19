import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { expect, test } from 'vitest';
import { type ForwardedHeader, TrustedProxies } from './forwarded.ts';

function clientOf(header: ForwardedHeader, said: string[], trusted?: readonly string[]): string | undefined {
  const request = new IncomingMessage(new Socket());
  request.headersDistinct[header] = said;
  return new TrustedProxies(trusted, header).clientOf(request);
}
const inFor = (...said: string[]) => clientOf('x-forwarded-for', said);
const inForwarded = (...said: string[]) => clientOf('forwarded', said);

test('the client is the last one named that is no trusted proxy: what stands before it is its own word [L-45]', () => {
  expect(inFor('192.0.2.9')).toBe('192.0.2.9');
  expect(inFor('127.0.0.1, 192.0.2.9')).toBe('192.0.2.9');
  expect(inFor('10.0.0.1, 192.0.2.9, 127.0.0.1')).toBe('192.0.2.9');
  expect(inFor('127.0.0.1', '192.0.2.9')).toBe('192.0.2.9'); // the header twice
  expect(inFor('127.0.0.1')).toBe('127.0.0.1'); // on the proxy’s own machine
  expect(inFor('2001:db8::7')).toBe('2001:db8::7');
  expect(inFor('[2001:db8::7]:4711')).toBe('2001:db8::7');
  expect(inFor('192.0.2.9:4711')).toBe('192.0.2.9');
  expect(inFor('::ffff:192.0.2.9')).toBe('192.0.2.9');
  expect(clientOf('x-forwarded-for', ['192.0.2.9, 10.1.2.3'], ['10.0.0.0/8'])).toBe('192.0.2.9');
});

test('what cannot be read is nobody [L-45]', () => {
  for (const said of ['', 'unknown', 'localhost', '192.0.2.300', '192.0.2.9, ', '<script>']) {
    expect(inFor(said), said).toBeUndefined();
  }
  const none = new IncomingMessage(new Socket());
  expect(new TrustedProxies().clientOf(none)).toBeUndefined();
});

test('Forwarded is read where the proxy is said to write it, and not elsewhere [L-45]', () => {
  expect(inForwarded('for=192.0.2.60;proto=https;by=203.0.113.43')).toBe('192.0.2.60');
  expect(inForwarded('for=127.0.0.1, For="[2001:db8:cafe::17]:4711"')).toBe('2001:db8:cafe::17');
  expect(inForwarded('proto=https')).toBeUndefined();
  const request = new IncomingMessage(new Socket());
  request.headersDistinct.forwarded = ['for=127.0.0.1']; // the client’s own, passed on as it came
  expect(new TrustedProxies().clientOf(request)).toBeUndefined();
});

test('a trusted proxy is an IP or a net; what is neither is refused', () => {
  const proxies = new TrustedProxies(['192.0.2.0/24', '2001:db8::1']);
  expect([proxies.has('192.0.2.77'), proxies.has('2001:db8::1'), proxies.has('127.0.0.1'), proxies.has('')]).toEqual([
    true,
    true,
    false,
    false,
  ]);
  for (const wrong of ['proxy.example', '10.0.0.0/33', '10.0.0.0/x', '']) {
    expect(() => new TrustedProxies([wrong]), wrong).toThrow(/expected an IP/);
  }
});
