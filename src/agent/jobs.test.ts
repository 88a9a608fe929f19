/** Jobs against a clock that is set, and a backend that fails when told to. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { StubBackend } from '../../test/stub.ts';
import type { Job, JobState } from '../api/job.ts';
import { Fault } from '../base/fault.ts';
import { silentLog } from '../base/log.ts';
import { Store } from '../base/sqlite.ts';
import { JobStore } from './job-store.ts';
import { Jobs } from './jobs.ts';
import type { World } from './needs.ts';

let store: Store;
let backend: StubBackend;
let jobs: Jobs;
let offset: number;
let changed: Parameters<World['watch']>[0];
let isThere: boolean;
const events: string[] = [];

function begin(restored?: number): Jobs {
  const world: World = {
    missing: async () => (isThere ? undefined : 'nobody is there'),
    watch: async (listener) => {
      changed = listener;
    },
  };
  const begun: Jobs = new Jobs(
    {
      jobs: new JobStore(store),
      world,
      clock: { now: () => Date.now() + offset },
      log: silentLog(),
      emit: (type, data) => events.push(`${type} ${data.id}`),
      restored: () => restored,
      lookMs: 10,
      againMs: 5,
    },
    () => backend,
  );
  begun.start();
  return begun;
}

beforeEach(() => {
  store = new Store(':memory:');
  backend = new StubBackend();
  offset = 0;
  isThere = true;
  events.length = 0;
  jobs = begin();
});
afterEach(async () => {
  await jobs[Symbol.asyncDispose]();
  store[Symbol.dispose]();
});

const say = (text: string, handle = 'bob') => ({ operation: 'messages.say', input: { handle, text } });
const HOUR = 3_600_000;
const later = (ms: number): string => new Date(Date.now() + offset + ms).toISOString();

async function reaches(id: string, state: JobState): Promise<Job> {
  for await (const job of jobs.follow(id, { signal: AbortSignal.timeout(10_000) })) if (job.state === state) return job;
  throw new Error(`it came to ${JSON.stringify(jobs.show(id))}`);
}

test('the clock is set forward: what is due runs, and says that it is late', async () => {
  const { id } = jobs.create({ ...say('later'), at: later(HOUR) });
  expect(jobs.show(id)).toMatchObject({ state: 'scheduled', missed: 0 });
  offset += 2 * HOUR;
  expect(await reaches(id, 'done')).toMatchObject({ missed: 1 });
  expect(backend.said).toEqual([{ handle: 'bob', text: 'later' }]);
});

test('the clock is set back: a schedule runs no time twice', async () => {
  const schedule = jobs.create({ ...say('each minute'), every: '* * * * *' });
  const due = Date.parse(schedule.due ?? '');
  offset = due - Date.now();
  await expect.poll(() => backend.said.length).toBe(1);
  offset -= HOUR;
  const other = jobs.create(say('now'));
  await reaches(other.id, 'done');
  expect(Date.parse(jobs.show(schedule.id).due ?? '')).toBeGreaterThan(due);
  expect(backend.said.filter(({ text }) => text === 'each minute')).toHaveLength(1);
});

test('a schedule whose last run has not ended leaves the next one out', async () => {
  isThere = false;
  const schedule = jobs.create({ ...say('slow', 'fault-peer-unreachable'), every: '* * * * *' });
  const forward = () => {
    offset = Date.parse(jobs.show(schedule.id).due ?? '') - Date.now();
  };
  forward();
  const made = () => jobs.list({ limit: 10 }).filter((job) => job.schedule === schedule.id);
  await expect.poll(() => made().map(({ state }) => state)).toEqual(['waiting']);
  forward();
  await expect.poll(() => jobs.show(schedule.id).missed).toBe(1);
  expect(made()).toHaveLength(1);
});

test('what fails by a passing trouble is tried again; a job that does not want that fails at once', async () => {
  const passing = jobs.create(say('x', 'fault-timeout'));
  await expect.poll(() => jobs.show(passing.id).attempts).toBeGreaterThan(3);
  expect(jobs.show(passing.id)).toMatchObject({ error: null });
  await jobs.cancel(passing.id);
  const once = jobs.create({ ...say('x', 'fault-timeout'), retry: false });
  expect(await reaches(once.id, 'failed')).toMatchObject({
    attempts: 1,
    error: { code: 'timeout', data: { number: 7 } },
  });
  const wrong = jobs.create(say('x', 'fault-unknown-handle'));
  expect(await reaches(wrong.id, 'failed')).toMatchObject({ attempts: 1, error: { code: 'unknown_handle' } });
  const defect = jobs.create(say('x', 'defect'));
  expect(await reaches(defect.id, 'failed')).toMatchObject({ error: { code: 'internal' } });
});

test('what waits for an event is not tried before it', async () => {
  isThere = false;
  const job = jobs.create({ ...say('hello'), when: ['peer'] });
  const waits = await reaches(job.id, 'waiting');
  expect(waits).toMatchObject({ attempts: 1, waitingFor: { what: 'peer', who: 'bob', message: 'nobody is there' } });
  changed('tracker', () => true);
  changed('peer', (who) => who === 'carol');
  await reaches(jobs.create(say('between', 'alice')).id, 'done');
  expect(jobs.show(job.id)).toMatchObject({ state: 'waiting', attempts: 1 });
  isThere = true;
  changed('peer', (who) => who === 'bob');
  expect(await reaches(job.id, 'done')).toMatchObject({ attempts: 2 });
});

test('an agent that ends takes up again what waited and what ran; events tell each end once', async () => {
  isThere = false;
  const waits = jobs.create({ ...say('waits'), when: ['peer'] });
  await reaches(waits.id, 'waiting');
  const later = jobs.create({ ...say('behind') });
  await jobs[Symbol.asyncDispose]();
  isThere = true;
  jobs = begin();
  changed('peer', () => true);
  await reaches(later.id, 'done');
  expect(backend.said.map(({ text }) => text)).toEqual(['waits', 'behind']);
  expect(events.filter((event) => event.startsWith('job.done'))).toEqual([
    `job.done ${waits.id}`,
    `job.done ${later.id}`,
  ]);
});

test('a job that ends the agent each time it runs is given up', async () => {
  await jobs[Symbol.asyncDispose]();
  const { id } = jobs.create(say('poison'));
  const kept = new JobStore(store);
  const row = kept.get(id) ?? expect.fail('it is not kept');
  kept.change(row, { state: 'running', begun: 20 });
  jobs = begin();
  expect(jobs.show(id)).toMatchObject({ state: 'failed', error: { code: 'internal' } });
  expect(backend.said).toEqual([]);
});

test('a key is kept for a day', () => {
  const asked = { ...say('keyed'), key: 'k' };
  const { id } = jobs.create(asked);
  expect(jobs.create(asked).id).toBe(id);
  expect(() => jobs.create({ ...asked, priority: 1 })).toThrow(expect.objectContaining({ code: 'key_reused' }));
  offset += 25 * HOUR;
  expect(jobs.create({ ...asked, priority: 1 }).id).not.toBe(id);
});

test('a passing trouble is no answer that the same key gets again', async () => {
  const asked = { ...say('x', 'fault-timeout'), key: 'k', retry: false };
  const { id } = jobs.create(asked);
  await reaches(id, 'failed');
  expect(jobs.create(asked)).toMatchObject({ id, state: 'queued' });
  expect(await reaches(id, 'failed')).toMatchObject({ attempts: 2 });
});

test('ended jobs are let go of after a week', async () => {
  const { id } = jobs.create(say('old'));
  await reaches(id, 'done');
  offset += 8 * 24 * HOUR;
  await jobs[Symbol.asyncDispose]();
  jobs = begin();
  expect(() => jobs.show(id)).toThrow(Fault);
});

test('a restored home does not do again what may have been done; what is still to come stays', async () => {
  isThere = false;
  const waits = jobs.create({ ...say('waits'), when: ['peer'] });
  await reaches(waits.id, 'waiting');
  const coming = jobs.create({ ...say('tomorrow'), in: '1d' });
  await jobs[Symbol.asyncDispose]();
  isThere = true;
  jobs = begin(Date.parse('2026-03-01T10:00:00Z'));
  expect(jobs.show(waits.id)).toMatchObject({ state: 'cancelled', error: { code: 'cancelled' } });
  expect(jobs.show(waits.id).error?.message).toContain('backup of 2026-03-01T10:00:00.000Z');
  expect(jobs.show(coming.id)).toMatchObject({ state: 'scheduled' });
  expect(backend.said).toEqual([]);
  jobs.retry(waits.id);
  await reaches(waits.id, 'done');
});
