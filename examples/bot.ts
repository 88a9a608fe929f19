// A bot in TypeScript, with the typed client: it answers "!roll 2d6", to people and in rooms.
//   node examples/bot.ts
import { homedir } from 'node:os';
import { createClient } from '../src/api/client.ts';

const home = process.env.NETAPP_HOME ?? `${homedir()}/.local/share/netapp`;
const client = createClient({ socketPath: process.env.NETAPP_AGENT_PATH || `${home}/agent.sock` });

function roll(text: string): string | undefined {
  const [, count, sides] = /^!roll (\d{1,2})d(\d{1,3})$/.exec(text.trim()) ?? [];
  if (!count || !Number(sides)) return undefined;
  const dice = Array.from({ length: Number(count) }, () => 1 + Math.floor(Math.random() * Number(sides)));
  return `${dice.join(' + ')} = ${dice.reduce((sum, one) => sum + one, 0)}`;
}

const events = await client.events.follow({ match: 'message.received' });
console.error('the bot listens');
for await (const { data } of events) {
  const answer = roll(String(data.text));
  if (answer) await client.messages.reply({ id: String(data.id), text: answer });
}
