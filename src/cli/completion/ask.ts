/** Names for a completion, from a running agent. Without one, or without a quick answer, there are none. */
import { z } from 'zod';
import { callByName } from '../../api/call.ts';
import { operationList } from '../../api/catalogue.ts';
import { createClient } from '../../api/client.ts';
import { cleanLine } from '../clean.ts';
import type { Ask, Choice } from './complete.ts';

/** Milliseconds: longer, and whoever pressed the key would take the terminal for dead. */
const PATIENCE_MS = 2000;
/** More is no choice any more. */
const MOST_CHOICES = 200;
/** Characters of what a thing is, beside its name. */
const ABOUT_CHARS = 60;
/** Characters of an id, where those are enough to tell it from the others; fewer than any agent takes would be no name. */
const ID_CHARS = 8;

const things = z.array(z.record(z.string(), z.unknown()));

export function askAgent(socketPath: string, stop: AbortSignal): Ask {
  const signal = AbortSignal.any([stop, AbortSignal.timeout(PATIENCE_MS)]);
  const client = createClient({ socketPath });
  const list = async (noun: string) => {
    const there = operationList.some(({ path, stream }) => path[0] === noun && path[1] === 'list' && !stream);
    if (!there) return [];
    const parsed = things.safeParse(await callByName(client, [noun, 'list'], {}, { signal }).catch(() => []));
    return parsed.data ?? [];
  };
  const people = async () => (await list('people')).map((each) => choice(each.handle, each, ['status', 'text']));
  const rooms = async (mark: string) =>
    (await list('rooms')).map((each) => choice(`${mark}${each.name}`, each, ['standing']));
  const ids = async (noun: string) => {
    const found = (await list(noun)).toReversed(); // lists end with the newest, which is the likeliest to be meant
    const all = found.map(({ id }) => String(id));
    return found.map((each) =>
      choice(shortest(String(each.id), all), each, ['state', 'from', 'to', 'kind', 'name', 'text']),
    );
  };
  return async (of, noun) => {
    const found = await (of === 'person'
      ? people()
      : of === 'room'
        ? rooms('')
        : of === 'target'
          ? Promise.all([people(), rooms('#')]).then((both) => both.flat())
          : ids(noun));
    return found.filter((each) => each !== undefined).slice(0, MOST_CHOICES);
  };
}

function shortest(id: string, all: readonly string[]): string {
  for (let length = ID_CHARS; length < id.length; length += 1) {
    const beginning = id.slice(0, length);
    if (!all.some((other) => other !== id && other.startsWith(beginning))) return beginning;
  }
  return id;
}

/** Undefined for a name that cannot be typed. */
function choice(value: unknown, thing: Record<string, unknown>, parts: readonly string[]): Choice | undefined {
  if (typeof value !== 'string' || value === '' || value !== cleanLine(value)) return undefined;
  const words = parts.map((part) => thing[part]).filter((word) => typeof word === 'string' && word !== '');
  return { value, about: cleanLine(words.join(' ')).slice(0, ABOUT_CHARS) };
}
