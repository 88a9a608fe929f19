import { expect, test } from 'vitest';
import { operationList } from '../api/catalogue.ts';
import { commandOf } from './command-text.ts';

const read = (line: string) => {
  const { operation, input } = commandOf(line);
  return [operation.name, input];
};
const code = (expected: string) => expect.objectContaining({ code: expected });

test.each([
  ['get_list', 'people.list', {}],
  ['submit_info', 'people.announce', {}],
  ['send_info', 'people.announce', {}],
  ['PEOPLE.LIST', 'people.list', {}],
  ['people list', 'people.list', {}],
  ['people   find  bob', 'people.find', { handle: 'bob' }],
  ['people find "bob@lab"', 'people.find', { handle: 'bob@lab' }],
  ['people accept-key bob --key abc', 'people.acceptKey', { handle: 'bob', key: 'abc' }],
  ['messages show --history abcdef', 'messages.show', { id: 'abcdef', history: true }],
  ['rooms create team --members "bob, carol@lab"', 'rooms.create', { name: 'team', members: ['bob', 'carol@lab'] }],
  ['messages list bob --limit 3', 'messages.list', { handle: 'bob', limit: '3' }],
  ['say bob hello  there, "you"', 'messages.say', { handle: 'bob', text: 'hello  there, "you"' }],
  ['messages.say {"handle":"bob","text":"two\\nlines"}', 'messages.say', { handle: 'bob', text: 'two\nlines' }],
  ['messages.list {"limit":3}', 'messages.list', { limit: 3 }],
])('%s', (line, name, input) => {
  expect(read(line)).toEqual([name, input]);
});

test.each([
  ['make_coffee', 'unknown_operation'],
  ['people', 'unknown_operation'],
  ['people list everybody', 'invalid_argument'],
  ['people list --everybody', 'invalid_argument'],
  ['messages.list {"limit":', 'invalid_argument'],
])('%s is refused', (line, expected) => {
  expect(() => commandOf(line)).toThrow(code(expected));
});

test('every operation is found by its name, and with JSON', () => {
  expect(operationList.length).toBeGreaterThan(30);
  for (const { name } of operationList) expect(read(`${name} {}`)).toEqual([name, {}]);
});
