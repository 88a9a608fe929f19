/** `netapp demo`: a tracker and two nodes as processes of their own; every step is shown as it happens, and checked. */
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, open, rm, stat } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { z } from 'zod';
import { type Client, createClient } from '../api/client.ts';
import type { FileInfo, Message, Person } from '../api/shapes.ts';
import { abortable } from '../base/async.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Shell } from '../cli/shell.ts';
import { showBytes } from '../cli/units.ts';
import { createIdentity } from '../link/certificate.ts';
import { type Program, startProgram, type Wire } from './program.ts';

/** Bytes of the file that is made where none is given. */
const FILE_BYTES = 64 * 1024 * 1024;
/** Milliseconds that a step may take; a transfer that moves may take longer. */
const STEP_MS = 15_000;

const trackerLine = z.object({ address: z.string(), peer: z.string(), zone: z.string(), invite: z.string() });
const nodeLine = z.object({
  handle: z.string(),
  id: z.string(),
  node: z.string(),
  addresses: z.array(z.string()),
  agent: z.string(),
});

type Somebody = { name: string; program: Program<z.infer<typeof nodeLine>>; client: Client };

/** Exit code 0 only if every step was seen to work; else throws the fault of the step that did not. */
export async function demo(options: { file?: string | undefined }, shell: Shell): Promise<number> {
  await using opened = new AsyncDisposableStack();
  // Whatever a step waits for: who is told to end takes the programs along, and ends.
  await abortable(walk(options, shell, opened), shell.signal);
  return 0;
}

async function walk(options: { file?: string | undefined }, shell: Shell, opened: AsyncDisposableStack): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'netapp-demo-'));
  opened.defer(() => rm(work, { recursive: true, force: true }));
  const steps = new Steps(shell);
  const source =
    options.file === undefined ? await makeFile(join(work, 'generated.bin')) : await givenFile(options.file, shell.cwd);

  await steps.say('Starting a tracker and two nodes, each a process of its own, on 127.0.0.1');
  const tracker = opened.use(
    await startProgram({
      name: 'tracker',
      home: join(work, 'tracker'),
      args: ['tracker', '--zone', 'demo'],
      line: trackerLine,
      signal: shell.signal,
    }),
  );
  const { address, invite } = tracker.says;
  const someone = async (name: string): Promise<Somebody> => {
    const args = ['up', '--name', name, '--join', invite];
    const program = opened.use(
      await startProgram({ name, home: join(work, name), args, line: nodeLine, signal: shell.signal }),
    );
    return { name, program, client: createClient({ socketPath: program.says.agent }) };
  };
  const alice = await someone('alice');
  await sendInfo(steps, alice, tracker);
  await addList(steps, alice, tracker, address);
  const bob = await someone('bob');
  await getList(steps, bob, address);
  await peerConnect(steps, bob, alice);
  await message(steps, bob, alice, 'Hello Alice, nobody is in the middle of this.');
  await message(steps, alice, bob, 'Hello Bob, your receipt is signed.');
  await transfer(steps, alice, bob, source, join(work, 'received'));
  await steps.say('All of it was checked.');
}

async function sendInfo(steps: Steps, who: Somebody, tracker: Program<unknown>): Promise<void> {
  const wire = await who.program.wire((seen) => seen.method === 'directory.announce' && seen.sent, STEP_MS);
  const me = await who.client.people.announce();
  check(me.handle === `${who.name}@demo` && me.status === 'online', `${who.name} is not announced`);
  await steps.step('send_info', `${who.name} → ${tracker.name}: ${show(wire)}`, [
    `"${me.handle} is at node ${short(me.node)}, ${who.program.says.addresses.join(', ')}", signed by account ${short(me.id)}`,
  ]);
}

async function addList(steps: Steps, who: Somebody, tracker: Program<unknown>, address: string): Promise<void> {
  await tracker.wire((seen) => seen.method === 'directory.announce' && !seen.sent, STEP_MS);
  const { status, body } = await get(address, `/directory/records/${who.name}@demo`);
  const entry = z
    .object({ record: z.object({ handle: z.string(), account: z.string() }), verified: z.array(z.string()) })
    .parse(JSON.parse(body));
  check(status === 200 && entry.record.account === who.program.says.id, 'the tracker has bound another key');
  check(entry.verified.length > 0, `the tracker could not dial ${who.name} back`);
  await steps.step(
    'add_list',
    `${tracker.name}: bound ${entry.record.handle} to ${short(entry.record.account)} for good`,
    [`dialled ${entry.verified.join(', ')} back and met its key, so it is offered to others`],
  );
}

async function getList(steps: Steps, who: Somebody, address: string): Promise<void> {
  const people = await until(
    () => who.client.people.list(),
    (list) => list.filter(({ status }) => status === 'online').length === 2,
    'both are on the list',
  );
  const wire = await who.program.wire((seen) => seen.method === 'directory.list' && seen.sent, STEP_MS);
  const first = await get(address, '/directory/list');
  const second = await get(address, '/directory/list', { 'if-none-match': first.etag ?? '' });
  check(first.status === 200 && second.status === 304, 'an unchanged list was sent again');
  await steps.step('get_list', `${who.name} → tracker: ${show(wire)}`, [
    ...people.map(({ handle, status, addresses }: Person) => `${handle}  ${status}  ${addresses.join(', ')}`),
    `the same by HTTP: 200 with ETag ${first.etag}, ${first.body.length} bytes; asked again with it: 304, ${second.body.length} bytes`,
  ]);
}

async function peerConnect(steps: Steps, from: Somebody, to: Somebody): Promise<void> {
  const link = await from.client.links.connect({ target: `${to.name}@demo` });
  check(link.peer === to.program.says.node, 'another key answered');
  const wire = await from.program.wire((seen) => seen.method === 'hello' && seen.peer === short(link.peer), STEP_MS);
  await steps.step(
    'peer_connect',
    `${from.name} → ${to.name}: TLS 1.3 to ${link.address}, both keys proved; ${show(wire)}`,
    [`no server in between; rung: ${link.rung}`],
  );
}

async function message(steps: Steps, from: Somebody, to: Somebody, text: string): Promise<void> {
  const said = await from.client.messages.say({ handle: `${to.name}@demo`, text });
  const arrived = await eventAt(to, (type, data) => type === 'message.received' && data.id === said.id);
  check(arrived.text === text && arrived.from === `${from.name}@demo`, 'another text arrived');
  const delivered: Message = await until(
    () => from.client.messages.show({ id: said.id }),
    ({ state }) => state === 'delivered' || state === 'read',
    'the signed receipt is here',
  );
  const wire = await from.program.wire((seen) => seen.method === 'chat.deliver' && seen.sent, STEP_MS);
  await steps.step('peer_transfer', `${from.name} → ${to.name}: ${show(wire)}`, [
    `"${text}"`,
    `${delivered.state}: ${to.name} signed the receipt at ${delivered.deliveredAt}`,
  ]);
}

async function transfer(steps: Steps, from: Somebody, to: Somebody, source: string, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const sent = await from.client.files.send({ handle: `${to.name}@demo`, path: source });
  const offer = await eventAt(to, (type) => type === 'file.offered');
  const id = z.string().parse(offer.id);
  const started = performance.now();
  let end: FileInfo | undefined;
  for await (const snapshot of await to.client.files.get({ id, to: folder })) {
    end = snapshot;
    steps.progress(
      `${to.name} fetches ${snapshot.name}: ${showBytes(snapshot.progress)} of ${showBytes(snapshot.size)}`,
    );
  }
  const seconds = (performance.now() - started) / 1000;
  if (end?.state !== 'done')
    throw new Fault('hash_mismatch', `fetching the file: it ended as "${end?.state}": ${end?.error?.message}`);
  const [mine, theirs] = await Promise.all([sha256(source), sha256(end.path)]);
  check(mine === theirs, 'the file that arrived is another one');
  await until(
    () => from.client.files.show({ id: sent.id }),
    ({ state }) => state === 'done',
    'the sender knows that it is done',
  );
  const rate = end.size / Math.max(seconds, 0.001);
  await steps.step(
    'peer_transfer',
    `${from.name} → ${to.name}: ${end.name}, ${showBytes(end.size)} in ${seconds.toFixed(2)} s, ${showBytes(rate)}/s`,
    [
      `offered by its BLAKE3 ${short(end.hash)}, accepted, pulled by range, each chunk verified, synced to disk`,
      `SHA-256 of both files: ${mine.slice(0, 16)}…`,
    ],
  );
}

/** Prints what happened: numbered steps with the textbook's names. */
class Steps {
  readonly #shell: Shell;
  #number = 0;

  constructor(shell: Shell) {
    this.#shell = shell;
  }

  async say(text: string): Promise<void> {
    if (!this.#shell.json) await this.#shell.out.line(text);
  }

  progress(text: string): void {
    this.#shell.notes.transient(text);
  }

  async step(name: string, what: string, details: readonly string[]): Promise<void> {
    this.#number += 1;
    this.#shell.notes.clear();
    if (this.#shell.json) {
      await this.#shell.out.line(JSON.stringify({ step: this.#number, name, what, details }));
      return;
    }
    const title = this.#shell.out.style(name.padEnd(14), 'bold');
    await this.#shell.out.line(`${String(this.#number).padStart(2)}  ${title} ${what}`);
    for (const detail of details) await this.#shell.out.line(`    ${' '.repeat(14)} ${detail}`);
  }
}

const short = (id: string): string => id.slice(0, 8);
const show = ({ method, bytes, ms }: Wire): string => `${method}, ${bytes} bytes, answered in ${ms.toFixed(1)} ms`;

function check(holds: boolean, otherwise: string): void {
  if (!holds) throw new Fault('internal', `checking the demo: ${otherwise}`);
}

async function until<T>(ask: () => Promise<T>, holds: (value: T) => boolean, what: string): Promise<T> {
  const end = performance.now() + STEP_MS;
  for (;;) {
    const value = await ask();
    if (holds(value)) return value;
    if (performance.now() > end) throw new Fault('timeout', `waiting until ${what}: not within ${STEP_MS} ms`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

/** Data of the first event that fits, kept ones included. */
async function eventAt(
  who: Somebody,
  matches: (type: string, data: Record<string, unknown>) => boolean,
): Promise<Record<string, unknown>> {
  const signal = AbortSignal.timeout(STEP_MS);
  try {
    for await (const { type, data } of await who.client.events.follow({ from: 0 }, { signal })) {
      if (matches(type, data)) return data;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  throw new Fault('timeout', `waiting for an event at ${who.name}: none within ${STEP_MS} ms`);
}

/** A directory read as any HTTP client would make it, with a key of its own. */
async function get(
  address: string,
  path: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; etag: string | undefined; body: string }> {
  const { key, cert } = await createIdentity();
  const { promise, resolve, reject } = Promise.withResolvers<{
    status: number;
    etag: string | undefined;
    body: string;
  }>();
  const asking = request(`https://${address}${path}`, {
    key: key.pem,
    cert,
    rejectUnauthorized: false,
    headers,
    timeout: STEP_MS,
    agent: false,
  });
  asking.on('error', (error) => reject(toFault(error, `asking for "${path}"`, 'tracker_down')));
  asking.on('response', (response) => {
    let body = '';
    response.setEncoding('utf8');
    response.on('data', (text) => (body += text));
    response.on('end', () => resolve({ status: response.statusCode ?? 0, etag: response.headers.etag, body }));
  });
  asking.end();
  return promise;
}

async function makeFile(path: string): Promise<string> {
  const file = await open(path, 'w');
  try {
    for (let made = 0; made < FILE_BYTES; made += 1024 * 1024) await file.write(randomBytes(1024 * 1024));
  } catch (error) {
    throw toFault(error, `making "${basename(path)}"`, 'unwritable');
  } finally {
    await file.close();
  }
  return path;
}

async function givenFile(file: string, cwd: string): Promise<string> {
  const path = resolve(cwd, file);
  const found = await stat(path).catch((error: unknown) => {
    throw toFault(error, `reading "${file}"`, 'unreadable');
  });
  if (!found.isFile()) throw new Fault('invalid_argument', `sending "${file}": expected a file`);
  return path;
}

async function sha256(path: string): Promise<string> {
  const digest = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) digest.update(chunk);
  return digest.digest('hex');
}
