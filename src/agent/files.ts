/** What the operations on files need beside sending and taking, of a running node. */
import type { Backend } from '../api/backend.ts';
import type { FileCheck, FileInfo, Person } from '../api/shapes.ts';
import { Fault } from '../base/fault.ts';
import { idOf } from '../base/prefix.ts';
import { homePaths } from '../node/home.ts';
import type { Node } from '../node/node.ts';
import { Staging } from './staging.ts';

type Wait = { signal?: AbortSignal | undefined };

type FileControlOperations = Omit<
  Backend['files'],
  'send' | 'list' | 'show' | 'accept' | 'decline' | 'cancel' | 'follow'
>;

export function fileControlOf(
  node: Node,
  people: { account(handle: string, wait: Wait): Promise<string>; find(handle: string, wait: Wait): Promise<Person> },
): FileControlOperations {
  const { files } = node;
  const control = () => files.control;
  const idOfFile = (text: string): string => files.idOf(text);
  const time = (ms: number): string => new Date(ms).toISOString();

  const linkView = ({ id, transfer, at, until }: { id: string; transfer: string; at: number; until: number }) => ({
    id,
    file: transfer,
    name: files.show(transfer).name,
    at: time(at),
    until: time(until),
  });

  async function* watch({ signal, untilIdle }: Wait & { untilIdle: boolean }): AsyncGenerator<FileInfo> {
    for await (const transfer of control().watch({ signal, untilIdle })) yield node.fileView(transfer);
  }

  async function* verify(options: Wait & { id?: string | undefined; refetch: boolean }): AsyncGenerator<FileCheck> {
    const id = options.id === undefined ? undefined : idOfFile(options.id);
    for await (const { transfer, ...found } of control().verify({ ...options, id })) {
      const { id, name, direction, path } = transfer;
      yield { id, name, direction, path, ...found };
    }
  }

  const staging = new Staging(homePaths(node.home).outgoing);

  return {
    stage: (piece) => staging.take(piece),
    watch,
    pause: async (id) => node.fileView(await control().pause(idOfFile(id))),
    resume: async (id) => node.fileView(control().resume(idOfFile(id))),
    priority: async (id, priority) => node.fileView(control().prioritize(idOfFile(id), priority)),
    limit: async (id, rate) => node.fileView(control().limit(idOfFile(id), rate)),
    async limits(change) {
      const { up, down, atOnce } = control().setLimits(change);
      return { up, down, atOnce };
    },
    async quota({ handle, bytes, ...wait }) {
      const contact = handle === undefined ? undefined : await people.account(handle, wait);
      if (bytes !== undefined && contact !== undefined) control().setQuota(contact, bytes);
      else if (bytes !== undefined) control().setLimits({ quota: bytes });
      const { received, spooled, byContact } = await control().usage();
      const bounds = new Map<string, number>(
        control()
          .quotas()
          .map((each) => [each.account, each.quota]),
      );
      const accounts = contact === undefined ? new Set([...bounds.keys(), ...byContact.keys()]) : [contact];
      const contacts = [...accounts].map((account) => ({
        handle: node.handleOf(account),
        quota: bounds.get(account) ?? null,
        used: byContact.get(account) ?? 0,
      }));
      return { quota: control().limits.quota, used: received + spooled, received, spooled, contacts };
    },
    async autoAccept(handle, { upTo, into, ...wait }) {
      const account = await people.account(handle, wait);
      files.setAutoAccept(account, upTo);
      control().setFolderFor(account, into ?? null);
      return await people.find(handle, wait);
    },
    async link(id, { ttlMs }) {
      const made = await control().link(idOfFile(id), ttlMs);
      const [address = ''] = node.addresses;
      const urls = node.addresses.map((each) => `https://${each}${made.path}`);
      const contents = made.files.map((file) => ({ path: file.name, url: `https://${address}${file.path}` }));
      const { pin } = node;
      const sent = files.show(made.transfer);
      const name = quoted(`./${sent.name}${sent.contents ? '.manifest.json' : ''}`);
      const command = `curl --insecure --pinnedpubkey '${pin}' -C - -o ${name} '${urls[0] ?? ''}'`;
      return { ...linkView(made), urls, files: contents, pin, command };
    },
    links: async () => control().links().map(linkView),
    async revoke(text) {
      const links = control().links();
      const id = idOf('link', text, {
        known: (each) => links.some((link) => link.id === each),
        beginning: (start, most) =>
          links
            .map((link) => link.id)
            .filter((each) => each.startsWith(start))
            .slice(0, most),
      });
      const link = links.find((each) => each.id === id);
      control().revoke(id);
      if (!link) throw new Fault('unknown_id', `revoking the link "${text}": there is none with this id`);
      return linkView(link);
    },
    certificate: async (id, wait) =>
      await node.certificate(id === undefined ? undefined : files.show(idOfFile(id)), wait),
    async gc({ dryRun }) {
      return (await control().gc({ dryRun })).map((each) => ({ ...each, removed: !dryRun }));
    },
    verify,
  };
}

/** As one word of a POSIX shell. */
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
