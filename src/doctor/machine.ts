/** The machine: its Node.js, and the room on its disk. */
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { showBytes } from '../cli/units.ts';
import { bad, type Check, isUp, note, ok } from './check.ts';

/** Bytes below which the next message may not find room, and below which the next file may not. */
const ROOM_FOR_MESSAGES = 100_000_000;
const ROOM_FOR_FILES = 1_000_000_000;

export const versions: Check = {
  name: 'versions',
  run: async ({ version, agent }) => {
    const mine = ok('versions', `NetApp ${version} on Node.js ${process.versions.node}`);
    if (!isUp(agent) || agent.version === version) return [mine];
    const says = `the agent that runs is NetApp ${agent.version}, this program is ${version}`;
    return [mine, bad('versions', 'unsupported_version', says, 'end the agent and start it again')];
  },
};

export const disk: Check = {
  name: 'disk',
  run: async ({ home }) => {
    const { bavail, bsize } = await statfs(home).catch(() => statfs(dirname(home)));
    const free = bavail * bsize;
    const says = `${showBytes(free)} free where the home is`;
    if (free < ROOM_FOR_MESSAGES) return [bad('disk', 'disk_full', says, 'make room, before messages are refused')];
    return [free < ROOM_FOR_FILES ? note('disk', `${says}: little for files`) : ok('disk', says)];
  },
};
