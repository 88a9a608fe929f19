/** What a name that came from somebody else may be written as. Pure: nothing here touches a disk. [F-20] */
import { Fault } from '../base/fault.ts';

/** Bytes of UTF-8 that common file systems allow in one name. */
const MOST_NAME_BYTES = 255;
/** Bytes that an ending may have to survive the shortening of a name. */
const MOST_ENDING_BYTES = 32;
/** Names tried before a folder counts as full of them. */
const MOST_CANDIDATES = 10_000;

/** Ours, while a file is not whole: nobody else may bring a file so called. */
const PART_PREFIX = '.netapp-';

/** C0, DEL and C1 controls; line and paragraph separators; bidirectional controls, which make "exe.txt" of "txt.exe". */
const unseen = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g;
/** Devices on Windows, with any ending (Microsoft, "Naming Files, Paths, and Namespaces"). */
const device = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(\.|:|$)/i;
/** Letters, digits and what is as harmless. */
const plain = /^[\w .()+,=@~#/-]{1,255}$/;
/** Of these: a dot or a space at either end of a name, an empty name, a device. */
const awkward = /(?:^|\/)(?:[ ./]|$|(?:con|prn|aux|nul|com\d|lpt\d) *(?:[./]|$))|[ .](?:\/|$)/i;
/** Characters that Windows allows in no name. */
const windowsOnly = /[<>:"|?*]/g;

/**
 * The name under which a received file is written, directly in the folder that the receiver chose. Throws `bad_name` for
 * one that asks for a place (empty, `.`, `..`, a separator, NUL); maps what is only unfit (control and bidirectional
 * characters, device names, trailing dots and spaces, over 255 bytes) to something like it.
 */
export function safeName(name: string, platform: NodeJS.Platform = process.platform): string {
  if (name === '' || name === '.' || name === '..' || /[/\\\0]/.test(name) || !name.isWellFormed()) {
    throw new Fault('bad_name', `naming a received file ${JSON.stringify(name.slice(0, 100))}: not a plain file name`);
  }
  let safe = name.replace(unseen, '_');
  if (platform === 'win32') safe = safe.replace(windowsOnly, '_');
  safe = withoutTail(safe);
  if (safe === '') return '_';
  if (device.test(safe) || safe.toLowerCase().startsWith(PART_PREFIX)) safe = `_${safe}`;
  return withSuffix(safe, '');
}

/** Whether a look tells that `safeName` gives each name on the way back as it is, on any system: so with most paths. */
export const isPlainPath = (path: string): boolean => plain.test(path) && !awkward.test(path);

/** What a sender calls a file whose own name is `name`: a separator of other systems would be refused there. */
export function offeredName(name: string): string {
  return name.toWellFormed().replaceAll('\\', '_');
}

/** The name while the file is not whole. `id` is ours: letters and digits. */
export function partName(id: string): string {
  return `${PART_PREFIX}${id}.part`;
}

/** The id in the name of a part; undefined for any other name. */
export function partId(name: string): string | undefined {
  return /^\.netapp-([a-z2-7]{16})\.part$/.exec(name)?.[1];
}
/** Whether a name is one that `partName` gives. */
export const isPartName = (name: string): boolean => /^\.netapp-[a-z2-7]{16}\.part$/.test(name);

/** `name`, `name (2).ext`, `name (3).ext`...: what to try where a name is taken, for nothing is overwritten. [F-22] */
export function* candidates(name: string): Generator<string> {
  yield name;
  for (let count = 2; count < MOST_CANDIDATES; count++) yield withSuffix(name, ` (${count})`);
}

const withoutTail = (name: string): string => name.replace(/[. ]+$/, '');

/** `suffix` before the ending, the stem shortened so that the whole fits. */
function withSuffix(name: string, suffix: string): string {
  if (suffix === '' && Buffer.byteLength(name) <= MOST_NAME_BYTES) return name;
  const found = /(?:\.tar)?\.[^. ]+$/i.exec(name);
  const ending = found && found.index > 0 && Buffer.byteLength(found[0]) <= MOST_ENDING_BYTES ? found[0] : '';
  const stem = ending ? name.slice(0, -ending.length) : name;
  const room = MOST_NAME_BYTES - Buffer.byteLength(suffix + ending);
  return withoutTail(clip(stem, room) + suffix + ending) || '_';
}

/** At most `bytes` bytes of UTF-8, cut between characters. */
function clip(text: string, bytes: number): string {
  if (Buffer.byteLength(text) <= bytes) return text;
  const cut = Buffer.from(text).subarray(0, bytes).toString('utf8');
  return withoutTail(cut.replace(/\ufffd+$/, ''));
}
