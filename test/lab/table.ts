/** All pairs of machines, and the rung that each reached. */
import type { LinkInfo } from '../../src/api/shapes.ts';
import { toFault } from '../../src/base/fault.ts';
import { expectedRung } from './expectation.ts';
import type { Machine } from './machine.ts';

export type Pair = {
  from: Machine;
  to: Machine;
  expected: string;
  /** `none` where no connection came about. */
  reached: string;
  rttMs: number | null;
  /** What the link stands on, as the side says that dialled it. */
  by: string | undefined;
  /** Milliseconds until the first connection, on whichever rung. */
  firstMs: number | null;
  /** What went wrong. */
  why: string | undefined;
};

/** Pairs that connect at once: they wait for each other's answers most of the time. */
const AT_ONCE = 12;
/** Milliseconds for one pair to get where it can, on a machine on which others work too: alone, it takes one or two seconds. */
const PATIENCE_MS = 90_000;
const ATTEMPT_MS = 30_000;
const LOOK_MS = 200;

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

async function linkTo(from: Machine, to: Machine): Promise<LinkInfo | undefined> {
  const links = await from.client.links.list();
  return links.find(({ handle }) => handle?.startsWith(`${to.name}@`));
}

async function meet(from: Machine, to: Machine, patienceMs: number): Promise<Pair> {
  const expected = expectedRung(from, to);
  const pair: Pair = { from, to, expected, reached: 'none', rttMs: null, by: undefined, firstMs: null, why: undefined };
  const began = performance.now();
  while (pair.reached !== expected && performance.now() - began < patienceMs) {
    const link = await linkTo(from, to);
    pair.reached = link?.rung ?? 'none';
    if (link) pair.firstMs ??= performance.now() - began;
    if (link) await pause(LOOK_MS);
    else {
      await from.client.links
        .connect({ target: to.name }, { signal: AbortSignal.timeout(ATTEMPT_MS) })
        .catch((error: unknown) => {
          pair.why = toFault(error).message;
        });
    }
  }
  return pair;
}

/** Has every machine connect to each after it in the list. */
export async function meetAll(
  machines: readonly Machine[],
  options: { atOnce?: number; patienceMs?: number; onPair?: (pair: Pair) => void } = {},
): Promise<Pair[]> {
  const { atOnce = AT_ONCE, patienceMs = PATIENCE_MS, onPair } = options;
  // Every second one the other way round, so that each kind dials and is dialled.
  const wanted = machines.flatMap((one, i) =>
    machines.slice(i + 1).map((other, j) => (j % 2 === 0 ? ([one, other] as const) : ([other, one] as const))),
  );
  const pairs: Pair[] = [];
  const work = wanted.values();
  const worker = async (): Promise<void> => {
    for (const [from, to] of work) {
      const pair = await meet(from, to, patienceMs);
      pairs.push(pair);
      onPair?.(pair);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  // A link knows its delay a moment after it stands.
  for (const pair of pairs) {
    const ends = await Promise.all([linkTo(pair.from, pair.to), linkTo(pair.to, pair.from)]);
    pair.rttMs = ends[0]?.rttMs ?? null;
    pair.by = ends.find((link) => link?.dialled)?.address;
  }
  return pairs;
}

export const isRight = (pair: Pair): boolean => pair.reached === pair.expected;

const cell = (pair: Pair): string =>
  isRight(pair) ? `${pair.reached} ${pair.rttMs === null ? '' : Math.round(pair.rttMs)}` : `${pair.reached}!`;

/** The table, and below it each pair that is not as expected. */
export function draw(machines: readonly Machine[], pairs: readonly Pair[]): string {
  const of = (one: Machine, other: Machine): Pair | undefined =>
    pairs.find(({ from, to }) => (from === one && to === other) || (from === other && to === one));
  const rows = machines.map((one, i) => [
    one.name,
    ...machines.slice(0, i).map((other) => {
      const pair = of(one, other);
      return pair ? cell(pair).trim() : '';
    }),
  ]);
  const head = ['', ...machines.slice(0, -1).map(({ name }) => name)];
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((text, column) => text.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  const wrong = pairs.filter((pair) => !isRight(pair));
  const notes = wrong.map(
    ({ from, to, expected, reached, why }) =>
      `${from.name} -> ${to.name}: expected ${expected}, reached ${reached}${why === undefined ? '' : `: ${why}`}`,
  );
  const count = new Map<string, number>();
  for (const { reached } of pairs) count.set(reached, (count.get(reached) ?? 0) + 1);
  const udp = pairs.filter(({ by }) => by === 'udp').map(({ from, to }) => `${from.name}-${to.name}`);
  const sums = [...count].map(([rung, n]) => `${n} ${rung}`).join(', ');
  return [
    ...[head, ...rows].map(line),
    '',
    `${pairs.length} pairs: ${sums}; ${wrong.length} not as expected`,
    `by UDP: ${udp.length === 0 ? 'none' : udp.join(', ')}`,
    ...notes,
  ].join('\n');
}
