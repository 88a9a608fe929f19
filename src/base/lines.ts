/** A text file, line by line. */
import { createReadStream } from 'node:fs';
import { Fault, toFault } from './fault.ts';

/** Bytes of a line, at most: far over what any file of ours has, and no reader's memory ends. */
const LINE_BYTES = 4 * 1024 * 1024;

/** Lines without their ends. Throws `unreadable`, `too_large`. */
export async function* linesOf(path: string): AsyncGenerator<string, void, void> {
  let held = '';
  try {
    for await (const chunk of createReadStream(path, { encoding: 'utf8' })) {
      const lines = (held + String(chunk)).split('\n');
      held = lines.pop() ?? '';
      if (held.length > LINE_BYTES)
        throw new Fault('too_large', `reading "${path}": a line has over ${LINE_BYTES} bytes`);
      yield* lines;
    }
  } catch (error) {
    throw toFault(error, `reading "${path}"`, 'unreadable');
  }
  if (held !== '') yield held;
}
