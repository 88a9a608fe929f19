/** The protocol's pages and the program say the same: every rule stands in code and in a test, every fault in the table. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { FAULTS } from '../src/base/fault.ts';

const root = resolve(import.meta.dirname, '..');

function textOf(folder: string, fits: (name: string) => boolean): string {
  return readdirSync(join(root, folder))
    .map((name) => {
      const path = join(folder, name);
      if (statSync(join(root, path)).isDirectory()) return textOf(path, fits);
      return fits(name) ? readFileSync(join(root, path), 'utf8') : '';
    })
    .join('\n');
}

const pages = readdirSync(join(root, 'docs')).filter((name) => /^protocol.*\.md$/.test(name));
const page = pages.map((name) => readFileSync(join(root, 'docs', name), 'utf8')).join('\n');
const isTest = (name: string): boolean => name.endsWith('.test.ts');
const code = textOf('src', (name) => name.endsWith('.ts') && !isTest(name));
const tests = textOf('src', isTest) + textOf('test', (name) => name.endsWith('.ts'));

const rulesOf = (text: string): Set<string> =>
  new Set([...text.matchAll(/\[([A-Z]-\d+)\]/g)].map((match) => match[1] ?? ''));
const stated = [...page.matchAll(/\*\*\[([A-Z]-\d+)\]\*\*/g)].map((match) => match[1] ?? '');

test('each rule is stated once', () => {
  expect(stated.length).toBeGreaterThan(50);
  expect(stated.filter((rule, at) => stated.indexOf(rule) !== at)).toEqual([]);
});

test('each rule stands in the code that keeps it, and in the test that proves it', () => {
  expect({
    notInCode: stated.filter((rule) => !rulesOf(code).has(rule)),
    notInTests: stated.filter((rule) => !rulesOf(tests).has(rule)),
  }).toEqual({ notInCode: [], notInTests: [] });
});

test('code and tests name no rule that is not stated', () => {
  const named = new Set([...rulesOf(code), ...rulesOf(tests)]);
  expect([...named].filter((rule) => !stated.includes(rule))).toEqual([]);
});

test('the table of faults is the program’s own', () => {
  const rows = Object.entries(FAULTS).map(
    ([code, { rpc, http, exit, retry, means }]) =>
      `| \`${code}\` | ${rpc} | ${http} | ${exit} | ${retry ? 'yes' : 'no'} | ${means} |`,
  );
  const table = page.replaceAll(/ +/g, ' '); // columns may be aligned
  for (const row of rows) expect(table).toContain(row);
});
