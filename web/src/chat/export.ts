import { client } from '../agent/client.ts';
import { cleanLine } from '../words/clean.ts';
import type { Place } from './places.ts';

/** Saves a whole conversation as a file of the browser. */
export async function exportOf({ target, name }: Place, format: 'markdown' | 'ndjson'): Promise<void> {
  const lines: string[] = [];
  for await (const { line } of await client.conversations.export({ target, format })) lines.push(line, '\n');
  const address = URL.createObjectURL(new Blob(lines, { type: 'text/plain' }));
  const link = document.createElement('a');
  link.href = address;
  link.download = `${cleanLine(name).replace(/[^\p{L}\p{N}._@-]+/gu, '-')}.${format === 'markdown' ? 'md' : 'ndjson'}`;
  link.click();
  URL.revokeObjectURL(address);
}
