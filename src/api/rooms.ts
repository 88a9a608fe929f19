/** Rooms: conversations of many, whose members are asked in, and whose membership a tracker puts in order. */
import { z } from 'zod';
import { handleInput, operation, roomInput } from './operation.ts';
import { role, room } from './shapes.ts';

const tag = 'rooms';

/** What changing a room can come to. A tracker that is down is none of it: the change waits. */
const faults = ['unknown_id', 'exists', 'wrong_state', 'forked', 'too_many', 'queue_full', 'disk_full'] as const;
const ofPeople = ['unknown_handle', 'unknown_zone', 'tracker_down', ...faults] as const;

const one = z.object({ room: roomInput });
const withSomebody = one.extend({ handle: handleInput });

export const create = operation(
  {
    method: 'POST',
    path: '/v1/rooms',
    summary: 'Make a room, and ask people into it',
    description:
      'Its home is my first tracker. While that is down, I can write already; who is asked in hears of it later.',
    tag,
  },
  {
    faults: ['unknown_handle', 'unknown_zone', 'tracker_down', 'too_many', 'queue_full', 'disk_full'],
    job: { peer: 'name', ordered: true, long: true, spool: true },
    example: 'netapp rooms create team --members bob,carol',
    command: { words: ['rooms', 'create'], positionals: ['name'], forms: { members: 'list' } },
  },
)
  .input(
    z.object({
      name: z.string().min(1, 'expected a name').max(160, 'expected at most 80 characters').describe('what to call it'),
      members: z
        .array(handleInput)
        .max(1000, 'expected at most 1000 handles')
        .default([])
        .describe('the handles of those who are asked in'),
      history: z
        .string()
        .regex(/^(all|none|[1-9]\d{0,4})$/, 'expected all, none, or a number of entries')
        .default('all')
        .describe('what a new member gets of what was said before: all, none, or so many entries; default: all'),
    }),
  )
  .output(room);

export const list = operation(
  { method: 'GET', path: '/v1/rooms', summary: 'List the rooms that I am in, asked into, or was in', tag },
  { faults: [], example: 'netapp rooms list', command: { words: ['rooms', 'list'] } },
).output(z.array(room));

export const show = operation(
  { method: 'GET', path: '/v1/rooms/{room}', summary: 'Show a room: its members, and what waits', tag },
  {
    faults: ['unknown_id'],
    example: 'netapp rooms show team',
    command: { words: ['rooms', 'show'], positionals: ['room'] },
  },
)
  .input(one)
  .output(room);

export const invite = operation(
  { method: 'POST', path: '/v1/rooms/{room}/invite', summary: 'Ask somebody into a room', tag },
  {
    faults: ofPeople,
    job: { peer: 'room', ordered: true, long: true, spool: true },
    example: 'netapp rooms invite team bob',
    command: { words: ['rooms', 'invite'], positionals: ['room', 'handle'] },
  },
)
  .input(withSomebody.extend({ role: role.default('member').describe('what they will be: member or moderator') }))
  .output(room);

export const join = operation(
  { method: 'POST', path: '/v1/rooms/{room}/join', summary: 'Join a room that I am asked into', tag },
  {
    faults,
    job: { peer: 'room', ordered: true, long: true, spool: true },
    example: 'netapp rooms join team',
    command: { words: ['rooms', 'join'], positionals: ['room'] },
  },
)
  .input(one)
  .output(room);

export const decline = operation(
  { method: 'POST', path: '/v1/rooms/{room}/decline', summary: 'Decline to join a room', tag },
  {
    faults,
    job: { peer: 'room', ordered: true, long: true, spool: true },
    example: 'netapp rooms decline team',
    command: { words: ['rooms', 'decline'], positionals: ['room'] },
  },
)
  .input(one)
  .output(room);

export const leave = operation(
  {
    method: 'POST',
    path: '/v1/rooms/{room}/leave',
    summary: 'Leave a room',
    description: 'Its last owner makes somebody else an owner first, or closes it.',
    tag,
  },
  {
    faults,
    job: { peer: 'room', ordered: true, long: true, spool: true },
    example: 'netapp rooms leave team',
    command: { words: ['rooms', 'leave'], positionals: ['room'] },
  },
)
  .input(one)
  .output(room);

export const remove = operation(
  {
    method: 'POST',
    path: '/v1/rooms/{room}/remove',
    summary: 'Remove somebody from a room, or take an invitation back',
    tag,
  },
  {
    faults: ofPeople,
    job: { peer: 'room', ordered: true, long: true, spool: true },
    example: 'netapp rooms remove team bob',
    command: { words: ['rooms', 'remove'], positionals: ['room', 'handle'] },
  },
)
  .input(withSomebody)
  .output(room);

export const setRole = operation(
  { method: 'PUT', path: '/v1/rooms/{room}/role', summary: 'Make a member an owner, a moderator, or a member', tag },
  {
    faults: ofPeople,
    job: { peer: 'room', ordered: true, long: true, spool: true },
    example: 'netapp rooms role team bob moderator',
    command: { words: ['rooms', 'role'], positionals: ['room', 'handle', 'role'] },
  },
)
  .input(withSomebody.extend({ role: role.describe('owner, moderator or member') }))
  .output(room);

export const close = operation(
  { method: 'POST', path: '/v1/rooms/{room}/close', summary: 'Close a room for good; what was said stays', tag },
  {
    faults,
    job: { peer: 'room', ordered: true, long: true, spool: true },
    example: 'netapp rooms close team',
    command: { words: ['rooms', 'close'], positionals: ['room'] },
  },
)
  .input(one)
  .output(room);
