import { pbkdf2 } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { Fault } from './fault.ts';
import { Store } from './sqlite.ts';

const derive = promisify(pbkdf2);

test('a transaction is all or nothing, and its listeners hear of it only after the commit', () => {
  using store = new Store(':memory:');
  store.migrate('test', ['CREATE TABLE t (n INTEGER) STRICT']);
  const insert = store.prepare('INSERT INTO t VALUES (?)');
  const count = store.prepare<{ n: number }>('SELECT count(*) AS n FROM t');
  const heard: string[] = [];
  expect(() =>
    store.transaction(() => {
      insert.run(1);
      store.afterCommit(() => heard.push('lost'));
      throw new Fault('cancelled', 'no');
    }),
  ).toThrow('no');
  expect(count.get()?.n).toBe(0);
  store.transaction(() => {
    store.transaction(() => insert.run(1));
    store.afterCommit(() => heard.push('kept'));
    expect(heard).toEqual([]);
    insert.run(2);
  });
  expect([count.get()?.n, heard]).toEqual([2, ['kept']]);
});

test('works of one turn share a commit, and each stands or falls by itself', async () => {
  using store = new Store(':memory:');
  store.migrate('test', ['CREATE TABLE t (n INTEGER) STRICT']);
  const insert = store.prepare('INSERT INTO t VALUES (?)');
  const all = store.prepare<{ n: number }>('SELECT n FROM t ORDER BY n');
  const heard: number[] = [];
  const add = (n: number): Promise<number> =>
    store.grouped(() => {
      insert.run(n);
      store.afterCommit(() => heard.push(n));
      if (n === 2) throw new Fault('cancelled', 'not this one');
      return n;
    });
  const [undone, works] = [store.undone, [add(1), add(2), add(3)]];
  expect(all.all()).toEqual([]);
  const ends = await Promise.allSettled(works);
  expect(ends.map((end) => (end.status === 'fulfilled' ? end.value : end.reason.message))).toEqual([
    1,
    'not this one',
    3,
  ]);
  expect([all.all().map(({ n }) => n), heard, store.undone - undone]).toEqual([[1, 3], [1, 3], 1]);
});

test('a chore is done once however often it is asked for, nobody waits for it, and one that fails leaves nothing', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'netapp-'));
  using _ = { [Symbol.dispose]: () => rmSync(folder, { recursive: true }) };
  using store = new Store(join(folder, 'store.db'));
  store.migrate('test', ['CREATE TABLE t (n INTEGER) STRICT']);
  const insert = store.prepare('INSERT INTO t VALUES (?)');
  const all = store.prepare<{ n: number }>('SELECT n FROM t ORDER BY n');
  const settled = async (): Promise<void> => {
    while (store.settled()) await store.settled();
  };
  const turns = async (): Promise<void> => {
    for (let n = 0; n < 4; n++) await new Promise((done) => setImmediate(done));
  };
  const chore = (): void => void insert.run(1);
  store.transaction(() => {
    store.meanwhile(chore);
    store.meanwhile(chore);
    insert.run(0);
  });
  await settled();
  await turns();
  expect([all.all().map(({ n }) => n), store.settled()]).toEqual([[0, 1], undefined]);
  store.meanwhile(() => {
    insert.run(2);
    throw new Fault('cancelled', 'no');
  });
  await turns();
  store.meanwhile(() => insert.run(3));
  await turns();
  insert.run(4);
  expect(store.settled()).toBeInstanceOf(Promise);
  await settled();
  expect(all.all().map(({ n }) => n)).toEqual([0, 1, 3, 4]);
  store.meanwhile(() => insert.run(5)); // the store is closed before
});

test('what comes while the disk is busy is written once, and synced with what is said to those who were told', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'netapp-'));
  using _ = { [Symbol.dispose]: () => rmSync(folder, { recursive: true }) };
  using store = new Store(join(folder, 'store.db'));
  store.migrate('test', ['CREATE TABLE t (n INTEGER) STRICT']);
  const insert = store.prepare('INSERT INTO t VALUES (?)');
  const happened: string[] = [];
  const add = (what: string): Promise<unknown> =>
    store.grouped(() => {
      insert.run(happened.length);
      happened.push(what);
      store.afterCommit(() => happened.push(`${what} committed`));
    });
  const turns = async (): Promise<void> => {
    for (let n = 0; n < 10; n++) await new Promise((done) => setImmediate(done));
  };
  insert.run(0);
  // The threads that the disk is written with are busy for a while.
  const busy = Array.from({ length: 8 }, () => derive('password', 'salt', 60_000, 32, 'sha256'));
  const settled = store.settled();
  const works = Array.from({ length: 30 }, () => add('early'));
  await turns();
  const early = store.settled()?.then(() => happened.push('early settled'));
  works.push(...Array.from({ length: 30 }, () => add('late')));
  await turns();
  await settled;
  happened.push('settled');
  setImmediate(() => works.push(add('answer')));
  await Promise.all(works);
  await early;
  expect([...new Set(happened)]).toEqual([
    'early',
    'early committed',
    'settled',
    'late',
    'answer',
    'late committed',
    'answer committed',
    'early settled',
  ]);
  await Promise.all(busy);
  await add('alone');
  expect(happened.slice(-2)).toEqual(['alone', 'alone committed']);
});

test('each step of a room’s schema runs once ever', () => {
  using store = new Store(':memory:');
  store.migrate('a', ['CREATE TABLE a (n INTEGER) STRICT']);
  store.migrate('a', ['CREATE TABLE a (n INTEGER) STRICT', 'ALTER TABLE a ADD COLUMN m INTEGER']);
  store.migrate('b', ['CREATE TABLE b (n INTEGER) STRICT']);
  store.prepare('INSERT INTO a (n, m) VALUES (1, 2)').run();
});

test('a failing write is a fault', () => {
  using store = new Store(':memory:');
  store.migrate('a', ['CREATE TABLE a (n INTEGER PRIMARY KEY) STRICT; INSERT INTO a VALUES (1)']);
  expect(() => store.prepare('INSERT INTO a VALUES (1)').run()).toThrow(Fault);
  store.prepare('PRAGMA query_only = 1').get();
  expect(() => store.prepare('INSERT INTO a VALUES (2)').run()).toThrow(
    expect.objectContaining({ code: 'unwritable' }),
  );
});

test('a listener that fails undoes nothing and keeps nobody else from hearing of it', async () => {
  using store = new Store(':memory:');
  store.migrate('test', ['CREATE TABLE t (n INTEGER) STRICT']);
  const warned = new Promise<Error>((resolve) => process.once('warning', resolve));
  const heard: string[] = [];
  const result = store.transaction(() => {
    store.prepare('INSERT INTO t VALUES (1)').run();
    store.afterCommit(() => {
      throw new Error('a defect');
    });
    store.afterCommit(() => heard.push('told'));
    return 'done';
  });
  expect([result, heard, store.prepare<{ n: number }>('SELECT count(*) AS n FROM t').get()?.n]).toEqual([
    'done',
    ['told'],
    1,
  ]);
  expect((await warned).message).toContain('a defect');
});

test('what is settled is in a file that another program reads, also after the log was moved into it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'netapp-store-'));
  try {
    const path = join(folder, 'x.db');
    using store = new Store(path);
    store.migrate('test', ['CREATE TABLE t (n INTEGER) STRICT']);
    const insert = store.prepare('INSERT INTO t VALUES (?)');
    for (let n = 0; n < 3000; n++) insert.run(n);
    await Promise.all([store.settled(), store.settled()]);
    expect(store.settled()).toBeUndefined();
    insert.run(3000);
    const settling = store.settled();
    expect(settling).toBeInstanceOf(Promise);
    store.transaction(() => insert.run(3001)); // meanwhile
    await settling;
    await store.settled();
    expect(store.settled()).toBeUndefined();
    using other = new DatabaseSync(path, { readOnly: true });
    expect(other.prepare('SELECT count(*) AS n FROM t').get()?.n).toBe(3002);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('what is written in bulk is moved out of the log meanwhile, and the end of the store leaves no log', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'netapp-store-'));
  const path = join(folder, 'bulk.db');
  try {
    const store = new Store(path);
    store.migrate('test', ['CREATE TABLE t (n INTEGER, data TEXT) STRICT']);
    const before = statSync(path).size;
    const insert = store.prepare('INSERT INTO t VALUES (?, ?)');
    let written = 0;
    // Nobody but the thread moves it: the log has not reached the bound at which the store does.
    const moved = (): boolean => statSync(path).size > before + 4096 * 100;
    for (let patience = 0; !moved() && patience < 3000; patience++) {
      if (written < 25_000) {
        store.transaction(() => {
          for (let n = 0; n < 500; n++) insert.run(written++, 'x'.repeat(500));
        });
      }
      await new Promise((done) => setTimeout(done, 10));
    }
    expect(moved()).toBe(true);
    store[Symbol.dispose]();
    expect(readdirSync(folder)).toEqual(['bulk.db']);
    using again = new Store(path);
    expect(again.prepare('SELECT count(*) AS n FROM t').get()).toEqual({ n: written });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
