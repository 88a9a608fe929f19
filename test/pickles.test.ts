/** Pickles against the real `pickle` modules, both ways, with generated data. [P-1] [P-10] */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ByteQueue } from '../src/im/bytes.ts';
import { PickleDecoder, type Pickled } from '../src/im/pickle.ts';
import { pickle } from '../src/im/pickle-encode.ts';

const SCRIPT = resolve(import.meta.dirname, 'pickles.py');

function isHere(program: string): boolean {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** What JSON and every pickle can hold alike. */
const { value: anyValue } = fc.letrec<{ value: Pickled }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger(),
    fc.double({ noNaN: true, noDefaultInfinity: true }).filter((n) => !Number.isInteger(n)),
    fc.string({ unit: 'grapheme' }),
    fc.string({ unit: 'grapheme-ascii', minLength: 200, maxLength: 300 }),
    fc.array(tie('value'), { maxLength: 5 }),
    fc
      .array(fc.tuple(fc.string({ unit: 'grapheme-ascii' }), tie('value')), { maxLength: 5 })
      .map((pairs) => new Map<Pickled, Pickled>(pairs)),
  ),
}));

const json = (value: Pickled): unknown =>
  value instanceof Map
    ? Object.fromEntries([...value].map(([key, held]) => [String(key), json(held)]))
    : Array.isArray(value)
      ? value.map(json)
      : value;

function unpickle(hex: string): Pickled | undefined {
  const queue = new ByteQueue();
  queue.push(Buffer.from(hex, 'hex'));
  const found = new PickleDecoder().next(queue);
  expect(queue.length).toBe(0);
  return found?.value;
}

describe.each(['python3', 'jython'])('%s', (program) => {
  const here = isHere(program);
  if (!here && process.env.CI) throw new Error(`${program} is needed here: install Debian's package of that name`);
  let child: ChildProcess;
  let lines: Interface;
  let answers: AsyncIterator<string>;

  beforeAll(() => {
    if (!here) return;
    child = spawn(program, [SCRIPT], { stdio: ['pipe', 'pipe', 'inherit'] });
    lines = createInterface({ input: child.stdout ?? expect.fail('no stdout') });
    answers = lines[Symbol.asyncIterator]();
  });
  afterAll(() => void child?.kill());

  async function ask(question: unknown): Promise<unknown> {
    child.stdin?.write(`${JSON.stringify(question)}\n`);
    const { value } = await answers.next();
    return JSON.parse(String(value));
  }

  test.skipIf(!here)('reads what is written here, by every protocol that it knows', { timeout: 120_000 }, async () => {
    const highest = program === 'jython' ? 2 : 5;
    await fc.assert(
      fc.asyncProperty(anyValue, async (value) => {
        for (let protocol = 0; protocol <= highest; protocol++) {
          expect(await ask({ load: pickle(value, protocol).toString('hex') })).toEqual(json(value));
        }
      }),
      { numRuns: 100 },
    );
  });

  test.skipIf(!here)('writes what is read here, by every protocol that it knows', { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(anyValue, async (value) => {
        const pickles = await ask({ dump: json(value) });
        if (!Array.isArray(pickles)) return expect.fail('no list');
        expect(pickles.length).toBeGreaterThan(2);
        for (const hex of pickles) expect(json(unpickle(String(hex)) ?? null)).toEqual(json(value));
      }),
      { numRuns: 100 },
    );
  });
});
