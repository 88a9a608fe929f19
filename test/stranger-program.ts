/**
 * Somebody who says again and again that they are where a victim is: `node stranger-program.ts INVITE ADDRESS... `, one account for each
 * line `announce NAME` on stdin; prints the tracker's answer to each.
 */
import { createInterface } from 'node:readline';
import { toFault } from '../src/base/fault.ts';
import { parseInvite } from '../src/directory/invite.ts';
import { Visitor } from './visitor.ts';

const [invite = '', ...addresses] = process.argv.slice(2);
const tracker = parseInvite(invite);
const strangers = new Map<string, { visitor: Visitor; link: Awaited<ReturnType<Visitor['to']>> }>();

for await (const line of createInterface({ input: process.stdin })) {
  const [, name = ''] = line.split(' ');
  try {
    let stranger = strangers.get(name);
    if (!stranger) {
      const visitor = await Visitor.create(name, tracker.zone);
      stranger = { visitor, link: await visitor.to(tracker) };
      strangers.set(name, stranger);
    }
    const { checked } = await stranger.visitor.announce(stranger.link, { addresses });
    process.stdout.write(`${JSON.stringify({ name, checked })}\n`);
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ name, refused: toFault(error).code })}\n`);
  }
}
process.exit();
