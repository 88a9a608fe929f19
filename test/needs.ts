import { expect } from 'vitest';

/** What a test needs of the machine: where it is not there, the test is skipped and says why; in CI it fails. */
export function needs(isThere: boolean, otherwise: string, skip: (note: string) => void): void {
  if (!isThere && process.env.CI !== 'true') skip(otherwise);
  expect(isThere, otherwise).toBe(true);
}
