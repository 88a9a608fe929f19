/** For tests: a person with a node of files alone, over real TLS; a map of addresses stands for the directory. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { afterEach, beforeEach } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { silentLog } from '../base/log.ts';
import { Store } from '../base/sqlite.ts';
import { type Binding, bind } from '../link/binding.ts';
import { createIdentity, type Identity } from '../link/certificate.ts';
import { dial, dialLink } from '../link/dial.ts';
import { type HelloInfo, PROTOCOL } from '../link/hello.ts';
import { Key } from '../link/identity.ts';
import type { Link } from '../link/link.ts';
import { type HttpHandler, Listener } from '../link/listen.ts';
import { Router } from '../link/router.ts';
import { isBetter, type Rung } from '../link/rung.ts';
import type { Bulk } from './client.ts';
import { FileService } from './service.ts';
import { isEnd, type Transfer, type TransferState } from './transfer.ts';
import type { FileEvent } from './transfers.ts';
import type { Ticket } from './wire.ts';

/** Who is reachable where, by account. */
export type Town = Map<string, Person>;

/** Rooms of a town, by id, and in which room or between whom each entry stands. */
type Rooms = { members: Map<string, Set<string>>; entries: Map<string, readonly string[] | string> };
const roomsOf = new WeakMap<Town, Rooms>();

function rooms(town: Town): Rooms {
  const known = roomsOf.get(town) ?? { members: new Map(), entries: new Map() };
  roomsOf.set(town, known);
  return known;
}

/** Makes a room of these people, or changes who is in it. */
export function room(town: Town, id: string, people: readonly Person[]): string {
  rooms(town).members.set(id, new Set(people.map((person) => person.id)));
  return id;
}

/** A request for bytes as a holder saw it. */
export type Served = { path: string; range: string | undefined; bytes: number };

export class Person implements AsyncDisposable {
  readonly account = Key.generate();
  readonly identity: Identity;
  readonly home: string;
  readonly downloads: string;
  readonly spool: string;
  readonly events: { type: FileEvent; transfer: Transfer }[] = [];
  readonly served: Served[] = [];
  readonly tickets: { entryId: string; from: string; ticket: Ticket }[] = [];
  /** Bulk connections that were dialled, newest last. */
  readonly sockets: TLSSocket[] = [];
  /** Gives the stream below each bulk connection, and where it stands; undefined: TCP to the other's port. */
  way: ((address: string) => { stream: Duplex; rung: Rung }) | undefined;
  /** Told when a nearer way may be had. */
  readonly hints = new Set<() => void>();
  /** Bytes after which the next bulk connection is cut. */
  cutAfter: number | undefined;
  /** Changes what bulk bytes arrive; for holders that lie. */
  onBulk: ((buffer: Buffer, length: number, holder: string) => void) | undefined;
  /** What a request for bytes waits for before it is answered. */
  beforeServing: ((path: string) => Promise<void>) | undefined;
  stallMs = 20_000;
  service: FileService;
  store: Store;
  #listener: Listener | undefined;
  #router = new Router();
  readonly #town: Town;
  readonly #links = new Map<string, Promise<Link>>();
  #watchers = new Set<() => void>();

  private constructor(town: Town, identity: Identity, home: string) {
    this.#town = town;
    this.identity = identity;
    this.home = home;
    this.downloads = join(home, 'downloads');
    this.spool = join(home, 'spool');
    this.store = new Store(join(home, 'store.db'));
    this.service = this.#make();
  }

  static async create(town: Town, options: { stallMs?: number } = {}): Promise<Person> {
    const home = await mkdtemp(join(tmpdir(), 'netapp-files-'));
    const person = new Person(town, await createIdentity(), home);
    if (options.stallMs) person.stallMs = options.stallMs;
    await mkdir(join(home, 'own'));
    person.service = person.#make();
    await person.up();
    return person;
  }

  get id(): string {
    return this.account.id;
  }

  get address(): string {
    if (!this.#listener) throw new Fault('peer_unreachable', 'this person is away');
    return `127.0.0.1:${this.#listener.port}`;
  }

  binding = (): Binding => bind(this.account, 'x@test', this.identity.id, Date.now());

  #hello = (): HelloInfo => ({ protocol: PROTOCOL, software: 'test', role: 'node', account: this.binding() });

  #make(): FileService {
    return new FileService({
      binding: this.binding,
      store: this.store,
      downloads: this.downloads,
      outgoing: this.spool,
      key: this.identity.key,
      clock: systemClock,
      log: silentLog(),
      stallMs: this.stallMs,
      retry: { firstMs: 10, mostMs: 100 },
      bulk: this.#bulk,
      reach: (account) => this.link(account),
      offer: async (account, ticket, { id, recorded }) => {
        const entryId = `entry-${id}`;
        recorded(entryId);
        const entry = { entryId, from: this.id, ticket };
        this.tickets.push(entry);
        const { members, entries } = rooms(this.#town);
        entries.set(entryId, members.has(account) ? account : [this.id, account]);
        for (const to of members.get(account) ?? [account]) {
          if (to !== this.id) this.#town.get(to)?.service.takeTicket(entry);
        }
        return { entryId };
      },
      audience: {
        has: (id) => rooms(this.#town).members.has(id),
        isMember: (id, account) => rooms(this.#town).members.get(id)?.has(account) ?? false,
      },
      members: (entry) => {
        const place = rooms(this.#town).entries.get(entry) ?? [];
        return typeof place === 'string' ? [...(rooms(this.#town).members.get(place) ?? [])] : place;
      },
      emit: (type, transfer) => {
        this.events.push({ type, transfer });
        for (const look of this.#watchers) look();
      },
    });
  }

  #find(account: string): Person {
    const person = this.#town.get(account);
    if (person) return person;
    throw new Fault('peer_unreachable', `finding "${account.slice(0, 8)}": away`);
  }

  #bulk: Bulk = async (account, { signal, onread, than, onBetter }) => {
    const person = this.#find(account);
    const over = this.way?.(person.address);
    if (than !== undefined && !isBetter(over?.rung ?? 'local', than)) {
      over?.stream.destroy();
      throw new Fault('peer_unreachable', `dialling "${person.address}": there is no nearer way`);
    }
    if (onBetter) this.hints.add(onBetter);
    let left = this.cutAfter ?? Number.POSITIVE_INFINITY;
    this.cutAfter = undefined;
    const socket = await dial({
      address: person.address,
      expect: person.identity.id,
      identity: this.identity,
      signal,
      over,
      onread: {
        buffer: onread.buffer,
        callback: (length, buffer) => {
          left -= length;
          if (left <= 0) {
            setImmediate(() => socket.destroy());
            return false;
          }
          this.onBulk?.(buffer as Buffer, length, account);
          return onread.callback(length, buffer);
        },
      },
    });
    this.sockets.push(socket);
    return socket;
  };

  /** One link to each account, dialled when needed. */
  async link(account: string): Promise<Link> {
    const kept = await this.#links.get(account)?.catch(() => undefined);
    if (kept?.open) return kept;
    const dialled = Promise.resolve().then(() => {
      const person = this.#find(account);
      return dialLink({
        address: person.address,
        expect: person.identity.id,
        identity: this.identity,
        router: this.#router,
        self: this.#hello,
        clock: systemClock,
        log: silentLog(),
      });
    });
    this.#links.set(account, dialled);
    return await dialled;
  }

  /** Starts, as after a boot: a new service on what the store holds. */
  async up(): Promise<void> {
    this.service = this.#make();
    await this.service.start();
    const router = new Router();
    this.#router = router;
    this.service.attach(router);
    this.#listener = new Listener({
      host: '127.0.0.1',
      port: 0,
      identity: this.identity,
      router,
      self: this.#hello,
      clock: systemClock,
      log: silentLog(),
      onLink: () => {},
    });
    this.#listener.route('/blobs/', this.#counted);
    await this.#listener.start();
    this.#town.set(this.id, this);
  }

  #counted: HttpHandler = async (request, response, context) => {
    const seen: Served = { path: context.path, range: request.headers.range, bytes: 0 };
    this.served.push(seen);
    const write = response.write.bind(response);
    response.write = ((chunk: Uint8Array, ...rest: []) => {
      seen.bytes += chunk.length;
      return write(chunk, ...rest);
    }) as typeof response.write; // an overloaded function; only this form of it is used
    await this.beforeServing?.(context.path);
    await this.service.handler(request, response, context);
  };

  /** Stops answering and working, as a killed process does, but keeps the store. */
  async down(): Promise<void> {
    this.#town.delete(this.id);
    for (const link of this.#links.values()) (await link.catch(() => undefined))?.close();
    this.#links.clear();
    await this.service[Symbol.asyncDispose]();
    await this.#listener?.[Symbol.asyncDispose]();
    this.#listener = undefined;
  }

  /** Waits for a transfer to be in a state; throws if it ends in another. */
  async until(id: string, state: TransferState): Promise<Transfer> {
    for await (const transfer of this.service.follow(id)) {
      if (transfer.state === state) return transfer;
      if (isEnd(transfer.state)) {
        throw new Error(`waiting for ${state}: it is ${transfer.state}, ${JSON.stringify(transfer.error)}`);
      }
    }
    throw new Error('the service stopped');
  }

  /** Waits for something that events bring about. */
  async when<T>(look: () => T | undefined | false): Promise<T> {
    for (;;) {
      const found = look();
      if (found) return found;
      await new Promise<void>((resolve) => {
        const once = (): void => {
          this.#watchers.delete(once);
          resolve();
        };
        this.#watchers.add(once);
      });
    }
  }

  /** The newest incoming transfer. */
  async offered(): Promise<Transfer> {
    return await this.when(() => this.service.list().findLast(({ direction }) => direction === 'in'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
    this.store[Symbol.dispose]();
    await rm(this.home, { recursive: true, force: true });
  }
}

/** Accepts; gives the bytes that came from each holder, heads of answers included, as they come. */
export async function begin(receiver: Person): Promise<{ got: Transfer; from: Map<string, number> }> {
  const got = await receiver.offered();
  const from = new Map<string, number>();
  const before = receiver.onBulk;
  receiver.onBulk = (buffer, length, holder) => {
    before?.(buffer, length, holder);
    from.set(holder, (from.get(holder) ?? 0) + length);
  };
  await receiver.service.accept(got.id);
  return { got, from };
}

type Two = { alice: Person; bob: Person };

/** Alice and Bob, there for each test of the file that calls it; `take` is given them. */
export function eachWithTwo(take: (two: Two) => void): void {
  let two: Two | undefined;
  beforeEach(async () => {
    const town: Town = new Map();
    two = { alice: await Person.create(town), bob: await Person.create(town) };
    take(two);
  });
  afterEach(async () => {
    await two?.alice[Symbol.asyncDispose]();
    await two?.bob[Symbol.asyncDispose]();
  });
}
