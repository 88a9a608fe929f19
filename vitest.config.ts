import { defineConfig } from 'vitest/config';
import { SecondTry } from './test/second-try.ts';

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    // Real processes and sockets share two cores in CI: a hang must fail, slowness must not.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // No program that a test starts looks at the network around this machine, unless the test says so.
    env: { NETAPP_LAN: 'off', NETAPP_PORT_MAPPING: 'off' },
    pool: 'forks',
    maxWorkers: 2,
    // One that passes only the second time is a bug to find, but tells nothing of the change at hand.
    retry: process.env.CI ? 1 : 0,
    reporters: ['default', new SecondTry()],
  },
});
