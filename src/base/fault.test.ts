import { statSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { FAULTS, Fault, faultCodeOfRpc, isFaultCode, toFault } from './fault.ts';

test('each code has its own exit code and JSON-RPC code, so that every door can tell them apart', () => {
  const rows = Object.values(FAULTS);
  expect(new Set(rows.map((row) => row.exit)).size).toBe(rows.length);
  expect(new Set(rows.map((row) => row.rpc)).size).toBe(rows.length);
  for (const row of rows) expect(row.exit).toBeLessThan(126); // shells keep the rest for themselves
  for (const [code, row] of Object.entries(FAULTS)) expect(faultCodeOfRpc(row.rpc)).toBe(code);
  expect([isFaultCode('timeout'), isFaultCode('toString')]).toEqual([true, false]);
});

test('system errors become the code that they stand for', () => {
  const failing = (run: () => void): Fault => {
    try {
      run();
    } catch (error) {
      return toFault(error, 'trying');
    }
    return expect.fail('nothing was thrown');
  };
  expect(failing(() => statSync('/nowhere/at/all')).code).toBe('unreadable');
  expect(failing(() => writeFileSync('/dev/full', 'x')).code).toBe('disk_full');
  expect(failing(() => JSON.parse('{')).code).toBe('internal');
  const fault = new Fault('name_taken', 'taken');
  expect(toFault(fault)).toBe(fault);
  expect(failing(() => statSync('/nowhere/at/all')).message).toMatch(/^trying: /);
});
