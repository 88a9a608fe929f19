import { expect, test } from 'vitest';
import { operationList } from '../../api/catalogue.ts';
import { buildProgram } from '../commands.ts';
import { type Ask, complete } from './complete.ts';

const nothing = (): never => {
  throw new Error('nothing runs here');
};
const program = buildProgram({ shell: nothing, exit: nothing }, [], '0');
const ask: Ask = async (of, noun) => [{ value: `${of}:${noun}`, about: '' }];

async function offered(...line: string[]): Promise<string[]> {
  const { choices, paths } = await complete(program, line.slice(0, -1), line.at(-1) ?? '', ask);
  return [...choices.map(({ value }) => value), ...(paths === 'none' ? [] : [`<${paths}>`])];
}

test.each(operationList.map((operation) => [operation.name, operation] as const))(
  '%s is offered word by word, and each of its flags',
  async (_name, { meta, input }) => {
    const { words, positionals = [], phrase, secrets = {} } = meta.command;
    for (const [at, word] of words.entries()) expect(await offered(...words.slice(0, at), '')).toContain(word);
    const hidden = [...positionals, ...Object.keys(secrets), phrase?.choice, phrase?.text];
    const flags = Object.keys(input?.shape ?? {})
      .filter((field) => !hidden.includes(field))
      .map((field) => `--${field.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`);
    expect(await offered(...words, '--')).toEqual(expect.arrayContaining([...flags, '--json', '--help']));
  },
);

test('an argument is offered what its schema names, at any door’s spelling of it', async () => {
  expect(await offered('say', '')).toEqual(['target:messages']);
  expect(await offered('say', 'bob', '')).toEqual([]);
  expect(await offered('rooms', 'invite', '')).toEqual(['room:rooms']);
  expect(await offered('rooms', 'invite', 'team', '')).toEqual(['person:rooms']);
  expect(await offered('rooms', 'role', 'team', 'bob', 'm')).toEqual(['moderator', 'member']);
  expect(await offered('messages', 'list', '--before', '')).toEqual(['id:messages']);
  expect(await offered('messages', 'list', '--limit', '5', '--before=', 'bob', '')).toEqual([]);
  expect(await offered('files', 'get', '')).toEqual(['id:files']);
  expect(await offered('files', 'get', 'x', '--to', '')).toEqual(['<folders>']);
  expect(await offered('peer-transfer', 'bob', '')).toEqual(['<files>']);
  expect(await offered('--home', '')).toEqual(['<folders>']);
  expect(await offered('conversations', 'export', 'bob', '--format=m')).toEqual(['--format=markdown']);
});

test('options may stand anywhere; behind -- nothing is one', async () => {
  expect(await offered('--json', 'rooms', '--home', 'say', 'li')).toEqual(['list']);
  expect(await offered('say', '--', '-')).toEqual([]);
  expect(await offered('say', '--', 'target:')).toEqual(['target:messages']);
  expect(await offered('no', 'such', 'command', '')).toEqual([]);
});
