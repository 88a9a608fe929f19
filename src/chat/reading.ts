/** What a call of entries says before anything is known of their place: form, name, size, and the signatures that will be asked for. */
import { Fault, type FaultCode, toFault } from '../base/fault.ts';
import { type Entry, entryVerified, type Parsed, parseEntry } from './entry.ts';
import { Vouching } from './vouching.ts';

/** The entries of a call in their order, each read or the fault that refuses it. */
export type Reading = {
  readonly entries: readonly (Parsed | Fault)[];
  /** Whether an entry's own signature is good; each is checked once at most. */
  isSigned(parsed: Parsed): boolean;
};

/** A reading as a thread tells it: what costs time to find out, without what the asker has. */
export type Told = {
  entries: ({ id: string; bytes: number } | { code: FaultCode; message: string })[];
  /** Places of entries whose signature was looked at, and whether it is good. */
  signed: [number, boolean][];
};

/** Reads the entries of a call here and now. */
export function read(values: readonly unknown[]): Reading {
  return readingOf(values.map(readEntry), new Map());
}

function readingOf(entries: readonly (Parsed | Fault)[], checked: Map<Parsed, boolean>): Reading {
  return {
    entries,
    isSigned: (parsed) => {
      const signed = checked.get(parsed) ?? entryVerified(parsed.entry);
      checked.set(parsed, signed);
      return signed;
    },
  };
}

function readEntry(value: unknown): Parsed | Fault {
  try {
    return parseEntry(value);
  } catch (error) {
    return toFault(error, 'reading an entry', 'invalid_argument');
  }
}

/** In the thread: reads the entries of a call, and looks at the signatures that a reader will ask for if it keeps them all. */
export function tell(values: readonly unknown[]): Told {
  const entries = values.map(readEntry);
  const places = new Map(entries.flatMap((parsed, index) => (parsed instanceof Fault ? [] : [[parsed, index]])));
  const signed: Told['signed'] = [];
  const vouching = new Vouching([...places.keys()], {
    fits: () => true,
    isSigned: (parsed) => {
      const good = entryVerified(parsed.entry);
      signed.push([places.get(parsed) ?? 0, good]);
      return good;
    },
  });
  const stopped = new Set<string>();
  for (const parsed of places.keys()) {
    const chain = `${parsed.entry.conversation} ${parsed.entry.author}`;
    // What follows a bad one is not looked at by anybody.
    if (!stopped.has(chain) && vouching.of(parsed) === 'bad') stopped.add(chain);
  }
  return {
    entries: entries.map((it) =>
      it instanceof Fault ? { code: it.code, message: it.message } : { id: it.id, bytes: it.bytes },
    ),
    signed,
  };
}

/** What a thread told of these very values. */
export function readingTold(values: readonly unknown[], { entries, signed }: Told): Reading {
  const read = entries.map((told, index): Parsed | Fault => {
    if ('code' in told) return new Fault(told.code, told.message);
    return { entry: values[index] as Entry, ...told }; // the thread found it to be of that form
  });
  const checked = new Map<Parsed, boolean>();
  for (const [index, good] of signed) {
    const parsed = read[index];
    if (parsed && !(parsed instanceof Fault)) checked.set(parsed, good);
  }
  return readingOf(read, checked);
}
