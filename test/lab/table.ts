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
  /** Milliseconds until the first connection. */
  firstMs: number | null;
  /** What went wrong. */
  why: string | undefined;
};

/** Pairs that connect at once: more, and two cores time out what a network would not. */
const AT_ONCE = 6;
/** Milliseconds that a connection may take to come about, and a better one to take its place. */
const CONNECT_MS = 20_000;
const BETTER_MS = 20_000;

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

async function linkTo(from: Machine, to: Machine): Promise<LinkInfo | undefined> {
  const links = await from.client.links.list();
  return links.find(({ handle }) => handle?.startsWith(`${to.name}@`));
}

async function meet(from: Machine, to: Machine, options: { connectMs: number; betterMs: number }): Promise<Pair> {
  const expected = expectedRung(from, to);
  const pair: Pair = { from, to, expected, reached: 'none', rttMs: null, firstMs: null, why: undefined };
  const began = performance.now();
  try {
    await from.client.links.connect({ target: to.name }, { signal: AbortSignal.timeout(options.connectMs) });
  } catch (error) {
    pair.why = toFault(error).message;
    return pair;
  }
  pair.firstMs = performance.now() - began;
  for (const end = performance.now() + options.betterMs; ; await pause(200)) {
    const link = await linkTo(from, to);
    pair.reached = link?.rung ?? 'none';
    pair.rttMs = link?.rttMs ?? null;
    if (pair.reached === expected || performance.now() > end) return pair;
  }
}

/** Has every machine connect to each after it in the list. */
export async function meetAll(
  machines: readonly Machine[],
  options: { atOnce?: number; connectMs?: number; betterMs?: number; onPair?: (pair: Pair) => void } = {},
): Promise<Pair[]> {
  const { atOnce = AT_ONCE, connectMs = CONNECT_MS, betterMs = BETTER_MS, onPair } = options;
  // Every second one the other way round, so that each kind dials and is dialled.
  const wanted = machines.flatMap((one, i) =>
    machines.slice(i + 1).map((other, j) => (j % 2 === 0 ? ([one, other] as const) : ([other, one] as const))),
  );
  const pairs: Pair[] = [];
  const work = wanted.values();
  const worker = async (): Promise<void> => {
    for (const [from, to] of work) {
      const pair = await meet(from, to, { connectMs, betterMs });
      pairs.push(pair);
      onPair?.(pair);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
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
  const sums = [...count].map(([rung, n]) => `${n} ${rung}`).join(', ');
  return [
    ...[head, ...rows].map(line),
    '',
    `${pairs.length} pairs: ${sums}; ${wrong.length} not as expected`,
    ...notes,
  ].join('\n');
}
