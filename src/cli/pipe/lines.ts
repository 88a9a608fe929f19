/** The lines of a stream that somebody else writes: each is bounded, and one that is too long costs only itself. */
import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

/** A line without its end; undefined for one of over `most` characters, of which nothing was kept. Empty ones are left out. */
export async function* boundedLines(stream: Readable, most: number): AsyncGenerator<string | undefined, void, void> {
  const decoder = new StringDecoder('utf8');
  let held = '';
  let skipping = false;
  const whole = function* (line: string): Generator<string | undefined> {
    const tooLong = skipping || held.length + line.length > most;
    const text = held + line;
    held = '';
    skipping = false;
    if (tooLong) yield undefined;
    else if (text.trim() !== '') yield text;
  };
  for await (const chunk of stream) {
    const parts = (typeof chunk === 'string' ? chunk : decoder.write(chunk)).split('\n');
    const rest = parts.pop() ?? '';
    for (const part of parts) yield* whole(part);
    if (skipping) continue;
    held += rest;
    if (held.length <= most) continue;
    held = '';
    skipping = true;
  }
  yield* whole('');
}
