import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Fault } from '../../src/base/fault.ts';
import {
  changeId,
  changeVerified,
  creationVerified,
  follow,
  founded,
  orderedId,
  roomId,
} from '../../src/chat/membership.ts';
import { type RoomVectors, roomVectors, shown } from './make-rooms.ts';

const vectors: RoomVectors = JSON.parse(readFileSync(new URL('./rooms.json', import.meta.url), 'utf8'));

test('the vectors are what this program makes [R-1] [R-4]', () => {
  expect(vectors).toEqual(JSON.parse(JSON.stringify(roomVectors())));
  expect(vectors.order.some(({ effect }) => !effect)).toBe(true);
});

test('the order proves itself, and says who is in the room after each change [R-5] [R-6]', () => {
  const { creation, id } = vectors.creation;
  expect(creationVerified(creation)).toBe(true);
  expect(roomId(creation)).toBe(id);
  let state = founded(creation);
  for (const { ordered, id, change, after } of vectors.order) {
    expect(changeVerified(ordered.change)).toBe(true);
    expect([orderedId(ordered), changeId(ordered.change)]).toEqual([id, change]);
    state = follow(state, ordered);
    expect(shown(state)).toEqual(after);
  }
  const codes = vectors.refused.map(({ ordered }) => {
    try {
      follow(state, ordered);
    } catch (error) {
      return error instanceof Fault ? error.code : 'internal';
    }
    return 'taken';
  });
  expect(codes).toEqual(vectors.refused.map(({ code }) => code));
});
