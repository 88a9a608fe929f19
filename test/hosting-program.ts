/** A gateway's node that says one thing after another, until it is killed: each line is what was answered as done. */
import { openHosting } from '../src/agent/hosting.ts';
import { systemClock } from '../src/base/clock.ts';
import { silentLog } from '../src/base/log.ts';
import { parseInvite } from '../src/directory/invite.ts';
import { Node } from '../src/node/node.ts';

const [home = '', text = ''] = process.argv.slice(2);
const invite = parseInvite(text);
const quiet = { clock: systemClock, log: silentLog() };
const node = await Node.start({
  home,
  handle: `gateway@${invite.zone}`,
  host: '127.0.0.1',
  port: 0,
  trackers: [invite],
  software: 'netapp/test',
  ...quiet,
});
await node.directory.ready();
const hosting = await openHosting(node, quiet);
const [alice] = await Promise.all([hosting.open('alice'), hosting.open('bob')]);
await alice.setOnline('online', '');
const first = await alice.backend.messages.say('bob', 'message 0', {});
await alice.backend.settled();
process.stdout.write(`${JSON.stringify({ conversation: first.conversation, text: 'message 0' })}\n`);
for (let number = 1; ; number++) {
  const said = `message ${number}`;
  await alice.say(first.conversation, said);
  process.stdout.write(`${JSON.stringify({ conversation: first.conversation, text: said })}\n`);
}
