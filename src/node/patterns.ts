/** Which events a follower wants: by type (`file.done`), by prefix (`message.*`), or by conversation (`conversation:ID`). [E-4] */

type Seen = { type: string; data: Record<string, unknown> };

/** True for an event that fits at least one of the patterns; none, or `*`, stands for all. */
export function matcher(patterns: readonly string[] | undefined): (event: Seen) => boolean {
  if (patterns === undefined || patterns.length === 0 || patterns.includes('*')) return () => true;
  const tests = patterns.map(testOf);
  return (event) => tests.some((fits) => fits(event));
}

const CONVERSATION = 'conversation:';

function testOf(pattern: string): (event: Seen) => boolean {
  if (pattern.startsWith(CONVERSATION)) {
    const id = pattern.slice(CONVERSATION.length);
    return (event) => conversationOf(event) === id;
  }
  if (!pattern.endsWith('*')) return ({ type }) => type === pattern;
  const prefix = pattern.slice(0, -1);
  return ({ type }) => type.startsWith(prefix);
}

/** Changes of a room, and what was read in a conversation, are about the conversation itself. */
function conversationOf({ type, data }: Seen): unknown {
  return type.startsWith('room.') || type.startsWith('conversation.') ? data.id : data.conversation;
}
