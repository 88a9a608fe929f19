/** Folders of this machine's user that are being served: each read by a thread of its own, for as long as somebody reads. */
import { Fault } from '../base/fault.ts';
import { FolderThread } from './folder-thread.ts';
import type { Outline } from './folder-worker.ts';
import { Layout } from './layout.ts';
import type { Bytes } from './serve.ts';

/** Folders read at once: a thread each, with the list of its files in memory. */
const MOST_OPEN = 4;
/** Milliseconds after the last reader until a thread is ended: the next range comes sooner. */
const IDLE_MS = 10_000;

/** What was offered: where it is, and what shows that it is still the same. */
export type SharedFolder = { manifest: Uint8Array; path: string; stamps: Uint8Array; asSent: boolean };

type Open = { thread: FolderThread; layout: Promise<Layout>; readers: number; idle: NodeJS.Timeout | undefined };

export class FolderReaders implements AsyncDisposable {
  readonly #open = new Map<string, Open>();

  /** The bytes of one file of the folder, or of all; undefined where it has no such file. Throws `queue_full`, `changed`. */
  async open(hash: string, which: number | 'all', load: () => SharedFolder): Promise<Bytes | undefined> {
    const open = this.#open.get(hash) ?? (await this.#start(hash, load));
    open.readers += 1;
    clearTimeout(open.idle);
    const close = (): void => {
      open.readers -= 1;
      if (open.readers === 0) open.idle = setTimeout(() => void this.#end(hash, open), IDLE_MS).unref();
    };
    try {
      const layout = await open.layout;
      if (which !== 'all' && which >= layout.files) {
        close();
        return undefined;
      }
      const base = which === 'all' ? 0 : layout.start(which);
      const { thread } = open;
      const name = which === 'all' ? undefined : await thread.ask('nameOf', which);
      const read = async (buffer: Buffer, length: number, position: number): Promise<number> =>
        await thread.ask('read', buffer, base + position, base + position + length);
      return {
        name,
        layout,
        size: which === 'all' ? layout.size : layout.fileSize(which),
        read,
        begin: async ({ start }) => void (await read(Buffer.from(new SharedArrayBuffer(1)), 1, start)),
        check: async () => {}, // each file was checked when it was read
        [Symbol.asyncDispose]: async () => close(),
      };
    } catch (error) {
      close();
      await this.#end(hash, open);
      throw error;
    }
  }

  /** What is read of it is not what it was when it was opened: whoever comes next opens it anew. */
  async forget(hash: string): Promise<void> {
    const open = this.#open.get(hash);
    if (open) await this.#end(hash, open);
  }

  /** Takes over a thread that has hashed the folder, so that it is open for whoever asks soon; false if it has no place. */
  adopt(hash: string, thread: FolderThread, { chunk, sizes }: Outline): boolean {
    if (this.#open.size >= MOST_OPEN || this.#open.has(hash)) return false;
    const open: Open = { thread, layout: Promise.resolve(new Layout(chunk, sizes)), readers: 0, idle: undefined };
    open.idle = setTimeout(() => void this.#end(hash, open), IDLE_MS).unref();
    this.#open.set(hash, open);
    return true;
  }

  async #start(hash: string, load: () => SharedFolder): Promise<Open> {
    if (this.#open.size >= MOST_OPEN) {
      const [idle] = [...this.#open].filter(([, { readers }]) => readers === 0);
      if (!idle) throw new Fault('queue_full', `reading a folder: ${MOST_OPEN} others are being read`);
      await this.#end(...idle);
    }
    const known = this.#open.get(hash);
    if (known) return known;
    const thread = new FolderThread();
    const { manifest, path, stamps, asSent } = load();
    const layout = thread
      .ask('openSource', manifest, hash, path, stamps, asSent)
      .then(({ chunk, sizes }) => new Layout(chunk, sizes));
    layout.catch(() => {}); // whoever opened it hears of it
    const open: Open = { thread, layout, readers: 0, idle: undefined };
    this.#open.set(hash, open);
    return open;
  }

  async #end(hash: string, open: Open): Promise<void> {
    clearTimeout(open.idle);
    if (this.#open.get(hash) === open) this.#open.delete(hash);
    await open.thread[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#open].map(([hash, open]) => this.#end(hash, open)));
  }
}
