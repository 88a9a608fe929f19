/** One person with files, as a process of its own, over real TLS: what bench/file.ts measures. See `FilePeer` there. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { systemClock } from '../src/base/clock.ts';
import { createLog } from '../src/base/log.ts';
import { Store } from '../src/base/sqlite.ts';
import { FileService } from '../src/files/service.ts';
import type { Ticket } from '../src/files/wire.ts';
import { bind } from '../src/link/binding.ts';
import { loadIdentity } from '../src/link/certificate.ts';
import { dial, dialLink } from '../src/link/dial.ts';
import type { HelloInfo } from '../src/link/hello.ts';
import { loadOrCreateKey } from '../src/link/identity.ts';
import type { Link } from '../src/link/link.ts';
import { Listener } from '../src/link/listen.ts';
import { Router } from '../src/link/router.ts';
import { answer } from './child.ts';

const [home = ''] = process.argv.slice(2);
mkdirSync(home, { recursive: true });
// Kept in the home, so that a process that is started again is the same person.
const account = await loadOrCreateKey(join(home, 'account.key'));
const identity = await loadIdentity(join(home, 'node.key'));
const log = createLog({ name: 'bench', level: 'warn' });
const binding = () => bind(account, 'bench@test', identity.id, Date.now());
const hello = (): HelloInfo => ({ protocol: { min: 1, max: 1 }, software: 'bench', role: 'node', account: binding() });
const router = new Router();
const delay = monitorEventLoopDelay({ resolution: 5 });
let other = { account: '', node: '', address: '' };
let link: Promise<Link> | undefined;
let offer: Ticket | undefined;

const target = () => ({ address: other.address, expect: other.node, identity });
const service = new FileService({
  binding,
  store: new Store(join(home, 'store.db')),
  downloads: join(home, 'downloads'),
  key: identity.key,
  bulk: (_account, wait) => dial({ ...target(), ...wait }),
  reach: () => {
    link ??= dialLink({ ...target(), router, self: hello, clock: systemClock, log });
    link.catch(() => {
      link = undefined;
    });
    return link;
  },
  offer: async (_account, ticket, { id }) => {
    offer = ticket;
    return { entryId: id };
  },
  clock: systemClock,
  log,
  emit: () => {},
});
service.attach(router);
await service.start();
const listener = new Listener({
  host: '127.0.0.1',
  port: 0,
  identity,
  router,
  self: hello,
  clock: systemClock,
  log,
  onLink: () => {},
});
/** First bytes of the ranges that were asked for. */
const asked: number[] = [];
listener.route('/blobs/', (request, response, context) => {
  const start = /^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1];
  if (start !== undefined) asked.push(Number(start));
  return service.handler(request, response, context);
});
await listener.start();

async function until(id: string, state: string): Promise<void> {
  for await (const transfer of service.follow(id)) {
    if (transfer.state === state) return;
    if (transfer.state === 'failed') throw new Error(JSON.stringify(transfer.error));
  }
}

answer({
  who: () => ({ account: account.id, node: identity.id, address: `127.0.0.1:${listener.port}` }),
  meet: (whom: typeof other) => {
    other = whom;
    link = undefined;
    service.peerOnline(whom.account);
  },
  send: async (path: string) => {
    const { id } = await service.send(other.account, path);
    await until(id, 'offered');
    return { entryId: id, ticket: offer };
  },
  take: (entryId: string, ticket: Ticket) => service.takeTicket({ entryId, from: other.account, ticket }).id,
  accept: async (id: string) => {
    await service.accept(id);
    await until(id, 'done');
    return service.show(id).path;
  },
  begin: (id: string) => service.accept(id),
  until,
  show: (id: string) => service.show(id),
  asked: () => asked,
  watch: () => {
    delay.enable();
    delay.reset();
  },
  /** Longest turn of the event loop since `watch`, in milliseconds. */
  blocked: () => delay.max / 1e6,
});
