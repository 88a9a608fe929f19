/**
 * A stream sealed with a passphrase: scrypt (RFC 7914) makes the key, AES-256-GCM seals pieces of 64 KiB. Each piece's
 * nonce counts, and says whether it is the last, so that none can be left out, moved or cut off. [H-13]
 */
import { createCipheriv, createDecipheriv, randomBytes, type ScryptOptions, scrypt } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { Fault, toFault } from '../base/fault.ts';

/** The first line of a sealed file; a tar never begins so. */
const MAGIC = 'netapp sealed 1 ';
const PIECE = 64 * 1024;
const TAG = 16;
const PREFIX = 7;

/** 128 MiB and about half a second for one try of a passphrase. */
const COST = { N: 2 ** 17, r: 8, p: 1 };
/** A file may not make its reader spend more than that. */
const MOST_N = 2 ** 20;
const MOST_HEADER = 500;
/** Characters of a passphrase, at least. */
const SHORTEST = 8;

const parameters = z.object({
  N: z.int().min(2).max(MOST_N),
  r: z.int().min(1).max(8),
  p: z.int().min(1).max(4),
  salt: z.string().regex(/^[0-9a-f]{32}$/),
  prefix: z.string().regex(/^[0-9a-f]{14}$/),
});

function keyOf(passphrase: string, { N, r, p, salt }: z.infer<typeof parameters>): Promise<Buffer> {
  const options: ScryptOptions = { N, r, p, maxmem: 256 * N * r };
  return new Promise((resolve, reject) => {
    scrypt(passphrase.normalize('NFC'), Buffer.from(salt, 'hex'), 32, options, (error, key) =>
      error ? reject(error) : resolve(key),
    );
  });
}

function nonceOf(prefix: Buffer, index: number, last: boolean): Buffer {
  const nonce = Buffer.alloc(12);
  prefix.copy(nonce);
  nonce.writeUInt32BE(index, PREFIX);
  nonce[11] = Number(last);
  return nonce;
}

/** The first line of a file. Throws `unreadable`, `invalid_argument` where it is too short to protect anything. */
export async function readPassphrase(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw toFault(error, `reading the passphrase file "${path}"`, 'unreadable');
  });
  const [first = ''] = text.split(/\r?\n/);
  if (first.length >= SHORTEST) return first;
  throw new Fault(
    'invalid_argument',
    `reading the passphrase file "${path}": expected at least ${SHORTEST} characters in its first line`,
  );
}

/** The sealed form of a stream. `cost` is for tests. */
export async function* seal(
  source: AsyncIterable<Uint8Array>,
  passphrase: string,
  cost = COST,
): AsyncGenerator<Buffer, void, void> {
  const prefix = randomBytes(PREFIX);
  const given = { ...cost, salt: randomBytes(16).toString('hex'), prefix: prefix.toString('hex') };
  const header = Buffer.from(`${MAGIC}${JSON.stringify(given)}\n`);
  const key = await keyOf(passphrase, given);
  yield header;
  let index = 0;
  for await (const { bytes, last } of pieces(source, PIECE)) {
    const cipher = createCipheriv('aes-256-gcm', key, nonceOf(prefix, index, last));
    cipher.setAAD(header);
    yield Buffer.concat([cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
    index += 1;
  }
}

/**
 * The stream as it was before it was sealed; one that is not sealed as it is. Throws `unauthenticated` without the
 * right passphrase, `corrupt` for a damaged or shortened stream.
 */
export async function* unseal(
  source: AsyncIterable<Uint8Array>,
  passphrase: () => Promise<string | undefined>,
): AsyncGenerator<Buffer, void, void> {
  const chunks = source[Symbol.asyncIterator]();
  let start: Buffer = Buffer.alloc(0);
  let done = false;
  while (!done && start.length < MAGIC.length + MOST_HEADER) {
    const next = await chunks.next();
    if (next.done) done = true;
    else start = Buffer.concat([start, next.value]);
  }
  const rest = async function* (): AsyncGenerator<Uint8Array> {
    yield start;
    while (!done) {
      const next = await chunks.next();
      if (next.done) return;
      yield next.value;
    }
  };
  if (!start.subarray(0, MAGIC.length).equals(Buffer.from(MAGIC))) {
    for await (const chunk of rest()) yield Buffer.from(chunk);
    return;
  }
  const end = start.indexOf('\n');
  const given = parameters.safeParse(parseJson(start.subarray(MAGIC.length, end).toString()));
  if (end < 0 || !given.success) throw new Fault('corrupt', 'opening the backup: its first line is damaged');
  const words = await passphrase();
  if (words === undefined) {
    throw new Fault(
      'unauthenticated',
      'opening the backup: it is encrypted; give the passphrase in NETAPP_PASSPHRASE or with --passphrase-file',
    );
  }
  const key = await keyOf(words, given.data);
  const header = start.subarray(0, end + 1);
  start = start.subarray(end + 1);
  const prefix = Buffer.from(given.data.prefix, 'hex');
  let index = 0;
  for await (const { bytes, last } of pieces(rest(), PIECE + TAG)) {
    if (bytes.length < TAG) throw new Fault('corrupt', 'opening the backup: it was cut off');
    const decipher = createDecipheriv('aes-256-gcm', key, nonceOf(prefix, index, last));
    decipher.setAAD(header);
    decipher.setAuthTag(bytes.subarray(-TAG));
    try {
      yield Buffer.concat([decipher.update(bytes.subarray(0, -TAG)), decipher.final()]);
    } catch {
      if (index === 0) {
        throw new Fault('unauthenticated', 'opening the backup: the passphrase is wrong, or the file is damaged');
      }
      throw new Fault('corrupt', 'opening the backup: it is damaged or was cut off');
    }
    index += 1;
  }
}

/** The same bytes in pieces of one size; the last may be shorter, and there is always one. */
async function* pieces(
  source: AsyncIterable<Uint8Array>,
  size: number,
): AsyncGenerator<{ bytes: Buffer; last: boolean }> {
  let held: Buffer = Buffer.alloc(0);
  for await (const chunk of source) {
    held = Buffer.concat([held, chunk]);
    let at = 0;
    for (; held.length - at > size; at += size) yield { bytes: held.subarray(at, at + size), last: false };
    held = held.subarray(at);
  }
  yield { bytes: held, last: true };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
