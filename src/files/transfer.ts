/** One file on its way to or from somebody: what is shown of it, and which states it may go through. */

export type TransferState =
  | 'preparing'
  | 'offered'
  | 'accepted'
  | 'fetching'
  | 'serving'
  | 'done'
  | 'declined'
  | 'cancelled'
  | 'failed';

/** What is known of a folder on its way. */
export type Contents = {
  /** Files, folders and links, as its ticket says. */
  readonly entries: number;
  /** Files in all, and those that are whole; `entries` and 0 until the manifest is here. */
  readonly files: number;
  readonly filesDone: number;
  /** What is not taken along: how many, and the first of them with why. */
  readonly leftOut: { readonly count: number; readonly paths: readonly { path: string; why: string }[] };
};

/** A snapshot: nobody changes one that was given out. */
export type Transfer = {
  readonly id: string;
  readonly direction: 'in' | 'out';
  /** Account id of the other side. */
  readonly peer: string;
  /** Id of the entry that carries the ticket; null until there is one. */
  readonly entry: string | null;
  /** BLAKE3 of the manifest; empty while preparing. */
  readonly hash: string;
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly state: TransferState;
  /** Bytes: verified on this disk (in); verified as the receiver says, and served since (out). */
  readonly progress: number;
  /** Bytes a second over the last seconds; 0 when nothing moves. */
  readonly rate: number;
  /** The file on this machine: its source (out); where it is or will be (in), empty until accepted. */
  readonly path: string;
  /** Folder that the receiver chose; empty until accepted, and at the sender. */
  readonly folder: string;
  /** Unix milliseconds. */
  readonly at: number;
  /** Of a folder alone. */
  readonly contents?: Contents | undefined;
  /** Why it failed, or what an accepted one waits for. */
  readonly error: { readonly code: string; readonly message: string } | null;
};

/** Bytes for which each entry of a folder counts where a limit of bytes is asked: what has no bytes takes room too. */
const ENTRY_BYTES = 4096;

/** Bytes that a file or folder counts for where a limit is asked. */
export const roomOf = ({ size, contents }: Pick<Transfer, 'size' | 'contents'>): number =>
  size + (contents?.entries ?? 0) * ENTRY_BYTES;

const ENDS: ReadonlySet<TransferState> = new Set(['done', 'declined', 'cancelled', 'failed']);

export const isEnd = (state: TransferState): boolean => ENDS.has(state);
