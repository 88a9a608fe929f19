/** The home: there, private, whole. */
import { stat } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { toFault } from '../base/fault.ts';
import { Lock } from '../base/lock.ts';
import { homePaths, readConfig } from '../node/home.ts';
import { bad, type Check, type Finding, isUp, note, ok } from './check.ts';

const OTHERS = 0o077;

const found = (path: string) =>
  stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw toFault(error, `looking at "${path}"`, 'unreadable');
  });

export const home: Check = {
  name: 'home',
  run: async ({ home }) => {
    const there = await found(home);
    if (!there)
      return [bad('home', 'unreadable', `there is no "${home}"`, 'netapp up makes it; or name another with --home')];
    if (!there.isDirectory()) return [bad('home', 'unreadable', `"${home}" is no folder`, 'name another with --home')];
    const { accountKey, nodeKey, store, token } = homePaths(home);
    const opened: Finding[] = [];
    for (const path of [home, accountKey, nodeKey, store, token]) {
      const state = await found(path);
      if (!state) continue;
      const mode = (state.mode & 0o777).toString(8);
      if (process.getuid && state.uid !== process.getuid()) {
        opened.push(
          bad('home', 'forbidden', `"${path}" belongs to another user, with id ${state.uid}`, `chown it to yourself`),
        );
      } else if (state.mode & OTHERS && path !== store) {
        const private_ = state.isDirectory() ? '700' : '600';
        opened.push(
          bad('home', 'forbidden', `"${path}" is open to others: mode ${mode}`, `chmod ${private_} "${path}"`),
        );
      }
    }
    return opened.length > 0 ? opened : [ok('home', `"${home}", private`)];
  },
};

export const settings: Check = {
  name: 'settings',
  run: async ({ home }) => {
    const config = await readConfig(home);
    const count = Object.keys(config).length;
    return [ok('settings', count === 0 ? 'none are remembered' : `config.json can be read: ${count} settings`)];
  },
};

export const lock: Check = {
  name: 'lock',
  run: async ({ home, agent }) => {
    const path = homePaths(home).lock;
    // Nothing else in a process may open a file that it holds a lock on, so it is looked at only where no agent answers.
    if (isUp(agent) || !(await found(path))) return [];
    try {
      Lock.take(path, 'agent')[Symbol.dispose]();
      return [ok('lock', 'no program holds the home')];
    } catch (error) {
      const { code } = toFault(error);
      const says = 'a program holds the home, but no agent answers at its socket';
      return [bad('lock', code, says, 'wait if it has just been started; else end that program, and start it again')];
    }
  },
};

export const store: Check = {
  name: 'store',
  run: async ({ home }) => {
    const path = homePaths(home).store;
    const there = await found(path);
    if (!there) return [note('store', 'there is none yet')];
    const what = `checking "${path}"`;
    const todo = 'end the agent, move the home away, and make it again with netapp restore';
    try {
      using db = new DatabaseSync(path, { readOnly: true });
      const [row] = db.prepare('PRAGMA quick_check(1)').all();
      const result = String(row?.quick_check);
      if (result !== 'ok') return [bad('store', 'corrupt', `${what}: ${result}`, todo)];
      return [ok('store', 'netapp.db is whole')];
    } catch (error) {
      const fault = toFault(error, what, 'unreadable');
      return [bad('store', fault.code, fault.message, fault.code === 'corrupt' ? todo : null)];
    }
  },
};
