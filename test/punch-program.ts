/** A node that tries each hole to somebody once, and says on stdout what came of it: `HOME NAME INVITE HANDLE`. */
import { systemClock } from '../src/base/clock.ts';
import { toFault } from '../src/base/fault.ts';
import { silentLog } from '../src/base/log.ts';
import { parseInvite } from '../src/directory/invite.ts';
import { Node } from '../src/node/node.ts';

const [home = '', name = '', invite = '', handle = ''] = process.argv.slice(2);
const signal = AbortSignal.timeout(60_000);

const tracker = parseInvite(invite);
await using node = await Node.start({
  home,
  handle: `${name}@${tracker.zone}`,
  port: 0,
  trackers: [tracker],
  software: 'netapp/test',
  dns: null,
  clock: systemClock,
  log: silentLog(),
});
await node.directory.ready({ signal });
const to = await node.directory.find(handle, { signal });
for (const way of node.punch.ways({ account: to.account, node: to.node })) {
  const began = performance.now();
  const outcome = await way.attempt(signal).then(
    (stream) => {
      stream.destroy();
      return { made: true, why: '' };
    },
    (error: unknown) => ({ made: false, why: toFault(error).message }),
  );
  process.stdout.write(
    `${JSON.stringify({ label: way.label, ...outcome, ms: Math.round(performance.now() - began) })}\n`,
  );
}
