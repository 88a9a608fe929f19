/**
 * Loaded into a measured program with `--import`: watches its event loop, and on SIGUSR2 writes what it saw since the last
 * time into the file that NETAPP_BENCH_PROBE names.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';

const path = process.env.NETAPP_BENCH_PROBE ?? '';
const delay = monitorEventLoopDelay({ resolution: 5 });
delay.enable();
process.on('SIGUSR2', () => {
  const { user, system } = process.cpuUsage();
  writeFileSync(
    `${path}.new`,
    JSON.stringify({
      longestMs: delay.max / 1e6,
      p99Ms: delay.percentile(99) / 1e6,
      cpuSeconds: (user + system) / 1e6,
    }),
  );
  renameSync(`${path}.new`, path);
  delay.reset();
});
