/** Hands files of the browser over to the agent, piece by piece, and offers each once it is whole there. */
import { useSyncExternalStore } from 'react';
import { client, troubleOf } from '../agent/client.ts';
import { tell } from '../shell/agent.tsx';
import { cleanLine } from '../words/clean.ts';
import type { Dropped } from './dropped.ts';

/** Bytes of a piece: as base64, with room, what one request may carry. */
const PIECE = 720_000;
/** Milliseconds between two tries while the agent is away. */
const RETRY_MS = 1_000;

export type Upload = { key: number; target: string; name: string; size: number; done: number; stop: AbortController };

let uploads: readonly Upload[] = [];
let keys = 0;
const listeners = new Set<() => void>();

const subscribe = (listener: () => void): (() => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};

export const useUploads = (): readonly Upload[] => useSyncExternalStore(subscribe, () => uploads);

function set(next: readonly Upload[]): void {
  uploads = next;
  for (const listener of listeners) listener();
}

/** One after another, in the order in which they were given; a folder is one, with all that is in it. */
export function offer(target: string, given: readonly Dropped[]): void {
  for (const dropped of given) {
    keys += 1;
    const upload = {
      key: keys,
      target,
      name: dropped.folder ?? (dropped.files[0]?.file.name || 'picture.png'),
      size: dropped.files.reduce((sum, { file }) => sum + file.size, 0),
      done: 0,
      stop: new AbortController(),
    };
    set([...uploads, upload]);
    turn = turn.then(() => carry(upload, dropped));
  }
}

let turn = Promise.resolve();

async function carry({ key, target, name, stop: { signal } }: Upload, { folder, files }: Dropped): Promise<void> {
  try {
    const id = folder === undefined ? undefined : crypto.randomUUID();
    let path: string | undefined;
    let before = 0;
    for (const { file, path: as } of files) {
      path = await staged(file, id === undefined ? {} : { folder: id, as }, signal, (done) =>
        set(uploads.map((each) => (each.key === key ? { ...each, done: before + done } : each))),
      );
      before += file.size;
    }
    if (path !== undefined) await client.files.send({ handle: target, path, name }, { signal });
  } catch (error) {
    if (!signal.aborted) tell(`${cleanLine(name)}: ${troubleOf(error).message}`);
  } finally {
    set(uploads.filter((each) => each.key !== key));
  }
}

type Place = { folder?: string; as?: string };

/** Where the agent keeps it. An agent that restarts meanwhile is asked how far it is. */
async function staged(file: File, place: Place, signal: AbortSignal, told: (done: number) => void): Promise<string> {
  let upload: string | undefined;
  let at = 0;
  let next = pieceAt(file, at);
  for (;;) {
    signal.throwIfAborted();
    const piece = await (next.at === at ? next : pieceAt(file, at)).data;
    // The next one is made ready while this one is on its way.
    next = pieceAt(file, at + PIECE);
    const last = at + PIECE >= file.size;
    try {
      const stands = await client.files.stage({ ...place, upload, at, last, data: piece }, { signal });
      upload = stands.upload;
      at = stands.size;
      told(at);
      if (stands.path !== null) return stands.path;
    } catch (error) {
      if (troubleOf(error).code !== 'agent_down') throw error;
      await new Promise((done) => setTimeout(done, RETRY_MS));
    }
  }
}

function pieceAt(file: File, at: number): { at: number; data: Promise<string> } {
  const data = base64(file.slice(at, at + PIECE));
  data.catch(() => {}); // whoever waits for it hears of it
  return { at, data };
}

/** The browser does this in native code, and many times as fast as a script. */
function base64(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^[^,]*,?/, ''));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}
