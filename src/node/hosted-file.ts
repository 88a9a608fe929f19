/** A file that somebody offered to a hosted account, read from its sender while it is wanted: nothing of it is kept here. */
import { hash } from '../base/encoding.ts';
import { Fault } from '../base/fault.ts';
import { BlobClient, type Bulk } from '../files/client.ts';
import { chunkLength, MOST_MANIFEST_BYTES, parseManifest } from '../files/manifest.ts';
import { encodeAccount, type Ticket } from '../files/wire.ts';
import type { Binding } from '../link/binding.ts';

export type HostedFile = {
  name: string;
  /** Bytes. */
  size: number;
  /** In order; each chunk is verified before it is given. Throws what keeps it from coming. */
  read(signal: AbortSignal): AsyncGenerator<Buffer, void, void>;
};

/** Throws `wrong_state` for a folder, which is many files. */
export function hostedFile(
  ticket: Ticket,
  options: { author: string; bulk: Bulk; binding: () => Binding },
): HostedFile {
  const { name, size, hash: manifestHash, folder } = ticket;
  if (folder) throw new Fault('wrong_state', `fetching "${name}": it is a folder; only a node can fetch it`);
  const { author, bulk, binding } = options;
  return {
    name,
    size,
    async *read(signal) {
      const client = await BlobClient.open({ bulk, account: author, credential: encodeAccount(binding()), signal });
      try {
        const bytes = await whole(client, `/blobs/${manifestHash}`, MOST_MANIFEST_BYTES);
        const { chunk, files } = parseManifest(bytes, manifestHash);
        const chunks = files[0]?.chunks ?? [];
        for (const [index, expected] of chunks.entries()) {
          const start = index * chunk;
          const end = start + chunkLength(size, chunk, index);
          const part = await whole(client, `/blobs/${manifestHash}/0`, end - start, { start, end, total: size });
          if (hash(part) !== expected) {
            throw new Fault('hash_mismatch', `fetching "${name}": chunk ${index} is not what was offered`);
          }
          yield part;
        }
      } finally {
        client.destroy(new Fault('cancelled', 'fetching: it is done'));
      }
    },
  };
}

async function whole(
  client: BlobClient,
  path: string,
  mostBytes: number,
  part?: { start: number; end: number; total: number },
): Promise<Buffer> {
  const pieces: Buffer[] = [];
  await client.get({
    path,
    mostBytes,
    ...(part && { range: { start: part.start, end: part.end }, total: part.total }),
    body: (buffer, from, to) => void pieces.push(Buffer.from(buffer.subarray(from, to))),
  });
  return Buffer.concat(pieces);
}
