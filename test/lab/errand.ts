/** A file that goes from one machine to another while both talk: what must hold of it, whatever happens to the network meanwhile. */
import { createReadStream, createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as pause } from 'node:timers/promises';
import type { FileInfo, Message } from '../../src/api/shapes.ts';
import type { Rung } from '../../src/link/rung.ts';
import { until } from '../testnet.ts';
import type { Machine } from './machine.ts';
import { sh } from './space.ts';

/** Milliseconds between two messages of one side. */
const TALK_MS = 200;
/** Milliseconds that a transfer may take to go on after a trouble: a dead connection is known after 20 s without a byte. */
const PATIENCE_MS = 120_000;
const MiB = 1024 * 1024;

export class Errand {
  readonly from: Machine;
  readonly to: Machine;
  readonly #source: string;
  readonly #id: string;
  readonly #talking: Promise<string[]>[];
  #isOver = false;

  private constructor(from: Machine, to: Machine, source: string, id: string) {
    this.from = from;
    this.to = to;
    this.#source = source;
    this.#id = id;
    this.#talking = [this.#talk(from, to), this.#talk(to, from)];
    for (const talk of this.#talking) talk.catch(() => {}); // `end` waits for it, if it comes to that
  }

  /** Offers so many MiB of noise, has them taken, and begins the talk. */
  static async begin(from: Machine, to: Machine, mib: number): Promise<Errand> {
    const source = join(from.home, 'load.bin');
    await pipeline(createReadStream('/dev/urandom', { end: mib * MiB - 1 }), createWriteStream(source));
    await from.client.files.send({ handle: to.name, path: source });
    const [offer] = await until(
      () => to.client.files.list(),
      (files) => files.length === 1,
      PATIENCE_MS,
    );
    if (!offer) throw new Error('the offer is gone');
    await to.client.files.accept({ id: offer.id });
    return new Errand(from, to, source, offer.id);
  }

  async #talk(who: Machine, whom: Machine): Promise<string[]> {
    const said: string[] = [];
    while (!this.#isOver) {
      const text = `${who.name} says ${said.length}`;
      await who.client.messages.say({ handle: whom.name, text });
      said.push(text);
      await pause(TALK_MS);
    }
    return said;
  }

  /** The file as its receiver has it. */
  file(): Promise<FileInfo> {
    return this.to.client.files.show({ id: this.#id });
  }

  /** Waits until so many more MiB are there; the file must not be whole before, else nothing is proved. */
  async goesOn(mib: number): Promise<void> {
    const { progress, ...file } = await this.file();
    mustBeUnderWay(file);
    await until(
      () => this.file(),
      (now) => now.progress >= progress + mib * MiB || !isUnderWay(now.state),
      PATIENCE_MS,
    );
  }

  /** Waits until the file moves on this rung, and the link stands on it. */
  async standsOn(rung: Rung): Promise<void> {
    const seen = await until(
      async () => {
        const links = await this.to.client.links.list();
        const { links: lines, state, progress, error } = await this.file();
        const link = links.find(({ handle }) => handle?.startsWith(`${this.from.name}@`));
        return { link: link?.rung, file: lines.map((line) => line.rung), state, progress, error };
      },
      ({ link, file, state }) => (link === rung && file.includes(rung)) || !isUnderWay(state),
      PATIENCE_MS,
    );
    mustBeUnderWay(seen);
  }

  /** Waits until all has arrived. Gives what is wrong with it: nothing should be. */
  async end(): Promise<{ messages: number; wrong: string[] }> {
    await until(
      () => this.file(),
      ({ state }) => !isUnderWay(state),
      10 * PATIENCE_MS,
    );
    this.#isOver = true;
    const wrong: string[] = [];
    const { state, path, error } = await this.file();
    if (state !== 'done') wrong.push(`the file is ${state}: ${error?.message}`);
    else await sh('cmp', path, this.#source).catch((different: unknown) => wrong.push(String(different)));
    const said = await Promise.all(this.#talking);
    for (const [n, [who, whom]] of [[this.from, this.to] as const, [this.to, this.from] as const].entries()) {
      const texts = said[n] ?? [];
      const isFrom = (message: Message): boolean => message.from.startsWith(`${who.name}@`) && message.text !== '';
      const all = async (at: Machine, other: Machine): Promise<Message[]> =>
        (await everything(at, other)).filter(isFrom);
      const got = await until(
        () => all(whom, who),
        (messages) => messages.length >= texts.length,
        PATIENCE_MS,
      ).catch(() => all(whom, who));
      const heard = got.map(({ text }) => text).filter((text) => text.includes(' says '));
      const missing = texts.filter((text) => !heard.includes(text));
      if (missing.length > 0) wrong.push(`${whom.name} never got: ${missing.join(', ')}`);
      const twice = heard.filter((text, at) => heard.indexOf(text) !== at);
      if (twice.length > 0) wrong.push(`${whom.name} got twice: ${twice.join(', ')}`);
    }
    return { messages: said.flat().length, wrong };
  }
}

const isUnderWay = (state: FileInfo['state']): boolean => state === 'accepted' || state === 'fetching';

/** Throws where there is nothing more to come, so that nothing would be proved. */
function mustBeUnderWay({ state, error }: Pick<FileInfo, 'state' | 'error'>): void {
  if (!isUnderWay(state)) throw new Error(`the file is ${state} already: ${error?.message ?? 'make it larger'}`);
}

async function everything(at: Machine, other: Machine): Promise<Message[]> {
  const pages: Message[][] = [];
  for (let before: string | undefined; ; ) {
    const page: Message[] = await at.client.messages.list({ handle: other.name, limit: 1000, before });
    pages.unshift(page);
    if (page.length < 1000) return pages.flat();
    before = page[0]?.id;
  }
}
