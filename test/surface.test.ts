/** The surface that users and programs rely on: which operations there are, and that each one says what it must. */
import type { OpenAPI } from '@orpc/contract';
import { describe, expect, test } from 'vitest';
import { type Operation, operationList } from '../src/api/catalogue.ts';
import { openApi } from '../src/api/openapi.ts';
import { FAULTS_OF_ALL, faultsOf } from '../src/api/operation.ts';
import { FAULTS } from '../src/base/fault.ts';
import { processCommands } from '../src/bin/commands.ts';
import { buildProgram } from '../src/cli/commands.ts';

const noShell = (): never => {
  throw new Error('nothing runs here');
};
const { command: program, entries } = buildProgram({ shell: noShell, exit: noShell }, processCommands, '0');

function findCommand(words: readonly string[]) {
  return words.reduce<(typeof program.commands)[number] | undefined>(
    (at, word) => at?.commands.find((child) => child.name() === word),
    program,
  );
}

function fieldsOf({ input }: Operation): string {
  return Object.entries(input?.shape ?? {})
    .map(([name, schema]) => (schema.safeParse(undefined).success ? `${name}?` : name))
    .join(', ');
}

test('the operations, their routes, fields, faults and commands are the golden ones', async () => {
  const lines = operationList.map((operation) => {
    const { name, method, httpPath, meta, stream } = operation;
    const { words, textbook } = meta.command;
    return [
      `${name}(${fieldsOf(operation)})${stream ? ' stream' : ''}${meta.job ? ' job' : ''}`,
      `  ${method} ${httpPath}`,
      `  netapp ${words.join(' ')}${textbook ? `, netapp ${textbook}` : ''}`,
      `  ${meta.faults.join(' ') || '-'}`,
    ].join('\n');
  });
  const processes = processCommands.map(
    ({ name, input, faults }) => `netapp ${name}\n  --${Object.keys(input.shape).join(' --')}\n  ${faults.join(' ')}`,
  );
  await expect(`${[...lines, ...processes].join('\n\n')}\n`).toMatchFileSnapshot('surface.golden.txt');
});

describe.each(operationList.map((operation) => [operation.name, operation] as const))('%s', (_name, operation) => {
  const { meta, summary, httpPath, method } = operation;

  test('has a one-line summary, a route of its own, and faults each named once', () => {
    expect(summary).toMatch(/^[A-Z][^\n]{10,90}[^.\n]$/);
    expect(httpPath).toMatch(/^\/v1\//);
    expect(operationList.filter((o) => o.method === method && o.httpPath === httpPath)).toHaveLength(1);
    const faults = [...meta.faults, ...FAULTS_OF_ALL];
    expect(new Set(faults).size).toBe(faults.length);
  });

  test('describes every field', () => {
    for (const [field, schema] of Object.entries(operation.input?.shape ?? {})) {
      expect(Reflect.get(schema, 'description'), field).toBeTruthy();
    }
  });

  test('is a command with help and an example that names it', () => {
    const command = findCommand(meta.command.words);
    expect(command?.summary()).toBe(summary);
    expect(meta.example.startsWith(`netapp ${meta.command.words.join(' ')}`)).toBe(true);
    const { textbook } = meta.command;
    if (textbook) expect(findCommand([textbook])).toBeDefined();
    for (const argument of command?.registeredArguments ?? []) expect(argument.description).toBeTruthy();
    for (const option of command?.options ?? []) expect(option.description, option.flags).toBeTruthy();
  });
});

test('root help names every command', () => {
  const help = program.helpInformation();
  for (const { words, summary } of entries) {
    expect(
      help.split('\n').some((line) => line.startsWith(`  ${words} `) && line.endsWith(summary)),
      words,
    ).toBe(true);
  }
});

test('the textbook names that are a user’s are there', () => {
  const textbook = operationList.flatMap(({ meta }) => meta.command.textbook ?? []);
  expect(textbook.sort()).toEqual(['get-list', 'peer-connect', 'peer-transfer', 'send-info']);
});

describe('openapi.json', () => {
  const methods = ['get', 'post', 'put', 'patch'] as const;
  type Shown = { path: string; method: string; shown: OpenAPI.OperationObject };
  const shownIn = (document: OpenAPI.Document): Shown[] =>
    Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
      methods.flatMap((method) => (item?.[method] ? [{ path, method, shown: item[method] }] : [])),
    );

  test('is OpenAPI 3.1 with each operation, by its name', async () => {
    const document = await openApi();
    expect(document.openapi).toMatch(/^3\.1\.\d+$/);
    expect(document.info.title).toBeTruthy();
    const shown = shownIn(document).map(({ path, method, shown }) => `${shown.operationId} ${method} ${path}`);
    const meant = operationList.map(({ name, method, httpPath }) => `${name} ${method.toLowerCase()} ${httpPath}`);
    expect(shown.sort()).toEqual(meant.sort());
  });

  test('states the parameters, the answer and every fault of each', async () => {
    for (const { path, shown } of shownIn(await openApi())) {
      const operation = operationList.find(({ name }) => name === shown.operationId);
      expect(shown.summary).toBe(operation?.summary);
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const declared = (shown.parameters ?? []).flatMap((p) => ('in' in p && p.in === 'path' ? [p.name] : []));
      expect(declared, path).toEqual(inPath);
      expect(JSON.stringify(shown.responses?.['200']), path).toContain('schema');
      if (operation?.meta.job) expect(JSON.stringify(shown.responses?.['202']), path).toContain('Job');
      for (const code of operation ? faultsOf(operation.meta) : []) {
        expect(JSON.stringify(shown.responses?.[FAULTS[code].http]), `${path} ${code}`).toContain(`"${code}"`);
      }
    }
  });

  test('refers only to what it defines', async () => {
    const document = await openApi();
    const text = JSON.stringify(document);
    const named = new Set([...text.matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name));
    expect(named.size).toBeGreaterThan(3);
    expect(Object.keys(document.components?.schemas ?? {})).toEqual(expect.arrayContaining([...named]));
    expect([...text.matchAll(/"\$ref":"(?!#\/components\/schemas\/)/g)]).toEqual([]);
  });
});
