import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, test } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { silentLog } from '../base/log.ts';
import { routerInGet, routerInPrint, routerInProc } from './gateway.ts';
import type { Lease } from './lease.ts';
import { PortMapping } from './mapping.ts';
import { leaseByPcp } from './pcp.ts';
import { leaseByUpnp } from './upnp.ts';

const ROUTER = '127.0.0.2';
const OWN = '127.0.0.1';
const WISH = { port: 33_357, outside: 33_357 };
const limit = (): AbortSignal => AbortSignal.timeout(20_000);

const opened: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

async function bound(address: string, port = 0): Promise<Socket> {
  const socket = createSocket({ type: 'udp4' }).bind(port, address);
  await once(socket, 'listening');
  opened.push(() => socket.close());
  return socket;
}

/** A router at an address of its own; `answers` gives what it says to each packet, and `heard` is all that it was told. */
async function router(answers: (packet: Buffer, index: number) => Buffer | undefined) {
  const socket = await bound(ROUTER);
  const heard: Buffer[] = [];
  socket.on('message', (packet, from) => {
    heard.push(packet);
    const answer = answers(packet, heard.length - 1);
    if (answer) socket.send(answer, from.port, from.address);
  });
  return { place: { ip: ROUTER, own: OWN, port: socket.address().port }, heard, socket };
}

/** As RFC 6887, section 11.3, says it. */
function pcpGrant(
  request: Buffer,
  { port, seconds = 1200, code = 0 }: { port: number; seconds?: number; code?: number },
) {
  const answer = Buffer.from(request);
  answer[1] = 0x81;
  answer[3] = code;
  answer.writeUInt32BE(seconds, 4);
  answer.fill(0, 8, 24);
  answer.writeUInt16BE(port, 42);
  Buffer.from([0xff, 0xff, 203, 0, 113, 9]).copy(answer, 54);
  return answer;
}

/** As RFC 6886, sections 3.2 and 3.3. */
function pmpAnswer(request: Buffer): Buffer {
  if (request[0] !== 0) return Buffer.from([0, 0x80, 0, 1, 0, 0, 0, 9]);
  if (request[1] === 0) return Buffer.from([0, 0x80, 0, 0, 0, 0, 0, 9, 203, 0, 113, 8]);
  const answer = Buffer.alloc(16);
  answer[1] = 0x82;
  request.copy(answer, 8, 4, 6);
  answer.writeUInt16BE(40_001, 10);
  request.copy(answer, 12, 8, 12);
  return answer;
}

describe('PCP', () => {
  test('a port is mapped, renewed and given back by one nonce; a lost packet is said again [N-61] [N-62]', async () => {
    const { place, heard } = await router((packet, index) =>
      index === 0 ? undefined : pcpGrant(packet, { port: 40_000, seconds: packet.readUInt32BE(4) === 0 ? 0 : 1200 }),
    );
    const lease = await leaseByPcp(place, WISH, limit());
    expect(lease).toMatchObject({ by: 'pcp', outside: { host: '203.0.113.9', port: 40_000 }, seconds: 1200 });
    expect(heard[0]).toEqual(heard[1]);
    const again = await lease.renew(limit());
    expect(heard[2]?.readUInt16BE(42)).toBe(40_000);
    await again.release(limit());
    expect(heard[3]?.readUInt32BE(4)).toBe(0);
    expect(new Set(heard.map((packet) => packet.toString('hex', 24, 36))).size).toBe(1);
    expect(heard.map((packet) => packet.toString('hex', 8, 24))).toEqual(
      heard.map(() => `${'0'.repeat(20)}ffff7f000001`),
    );
  });

  test('a refusal says why, and nobody is asked by another protocol', async () => {
    const { place, heard } = await router((packet) => pcpGrant(packet, { port: 1, code: 2 }));
    await expect(leaseByPcp(place, WISH, limit())).rejects.toMatchObject({
      code: 'forbidden',
      message: `asking the router "${ROUTER}" for a port by PCP: it is not allowed`,
    });
    expect(heard).toHaveLength(1);
  });

  test('who is not the router, or answers another question, is not believed [N-61]', async () => {
    const stranger = await bound('127.0.0.9');
    const { place, socket } = await router((packet, index) => {
      const wrong = pcpGrant(packet, { port: 6666 });
      if (index === 1) wrong[25] = (wrong[25] ?? 0) ^ 1; // another nonce
      if (index === 2) wrong.writeUInt16BE(1, 40); // another port
      if (index === 0) return undefined;
      if (index === 3) return Buffer.from([2, 0x81]);
      return index === 4 ? pcpGrant(packet, { port: 40_000 }) : wrong;
    });
    socket.on('message', (packet, { port }) => stranger.send(pcpGrant(packet, { port: 6666 }), port, OWN));
    // Asked four times in all: the fifth question, with the true answer, never comes.
    await expect(leaseByPcp(place, WISH, limit())).rejects.toMatchObject({ code: 'peer_unreachable' });
  });

  test('nobody at that port of the router is known at once', async () => {
    const free = await bound(ROUTER);
    const { port } = free.address();
    opened.pop();
    free.close();
    const began = performance.now();
    await expect(leaseByPcp({ ip: ROUTER, own: OWN, port }, WISH, limit())).rejects.toMatchObject({
      code: 'peer_unreachable',
    });
    expect(performance.now() - began).toBeLessThan(3700);
  });

  test('a router that knows NAT-PMP alone is asked by it [N-62]', async () => {
    const { place, heard } = await router(pmpAnswer);
    const lease = await leaseByPcp(place, WISH, limit());
    expect(lease).toMatchObject({ by: 'nat-pmp', outside: { host: '203.0.113.8', port: 40_001 }, seconds: 3600 });
    expect((await lease.renew(limit())).outside.port).toBe(40_001);
    await lease.release(limit());
    expect(heard.at(-1)).toEqual(Buffer.from([0, 2, 0, 0, 0x82, 0x4d, 0, 0, 0, 0, 0, 0]));
  });
});

/** A router that describes itself and does as it is told; `says` is what it answers to an action: a number is an error. */
async function upnpRouter(
  says: (action: string, body: string) => string | number,
  { location }: { location?: string } = {},
) {
  const actions: { action: string; body: string }[] = [];
  const server: Server = createServer(async (request, response) => {
    if (request.method === 'GET') {
      const service = (type: string, url: string) =>
        `<service><serviceType>urn:schemas-upnp-org:service:${type}</serviceType><controlURL>${url}</controlURL></service>`;
      const list = `${service('WANCommonInterfaceConfig:1', '/other')}${service('WANIPConnection:1', '/control?a=1&amp;b=2')}`;
      return response.end(`<?xml version="1.0"?><root><device><serviceList>${list}</serviceList></device></root>`);
    }
    const body = await text(request);
    const action = /#(\w+)"$/.exec(String(request.headers.soapaction))?.[1] ?? '';
    actions.push({ action: `${request.url} ${action}`, body });
    const answer = says(action, body);
    if (typeof answer === 'number') {
      response.statusCode = 500;
      return response.end(
        `<s:Fault><UPnPError><errorCode>${answer}</errorCode><errorDescription>no</errorDescription></UPnPError></s:Fault>`,
      );
    }
    return response.end(`<s:Envelope><s:Body>${answer}</s:Body></s:Envelope>`);
  });
  server.listen(0, ROUTER);
  await once(server, 'listening');
  opened.push(() => server.close());
  const { port } = server.address() as AddressInfo; // a TCP server's address is never a string
  const search = await bound(ROUTER);
  search.on('message', (_packet, from) => {
    const at = location ?? `http://${ROUTER}:${port}/desc.xml`;
    search.send(`HTTP/1.1 200 OK\r\nST: x\r\nLocation: ${at}\r\n\r\n`, from.port, from.address);
  });
  const place = { ip: ROUTER, own: OWN, search: { host: ROUTER, port: search.address().port } };
  return { place, actions };
}

const OUTSIDE = '<NewExternalIPAddress>203.0.113.7</NewExternalIPAddress>';

describe('UPnP', () => {
  test('a port is mapped, renewed and given back', async () => {
    const { place, actions } = await upnpRouter((action) => (action === 'GetExternalIPAddress' ? OUTSIDE : ''));
    const lease = await leaseByUpnp(place, WISH, limit());
    expect(lease).toMatchObject({ by: 'upnp', outside: { host: '203.0.113.7', port: 33_357 }, seconds: 3600 });
    await (await lease.renew(limit())).release(limit());
    expect(actions.map(({ action }) => action)).toEqual(
      ['GetExternalIPAddress', 'AddPortMapping', 'GetExternalIPAddress', 'AddPortMapping', 'DeletePortMapping'].map(
        (action) => `/control?a=1&b=2 ${action}`,
      ),
    );
    expect(actions[1]?.body).toContain(`<NewInternalClient>${OWN}</NewInternalClient>`);
  });

  test('where the port is somebody’s it takes another one; where leases are not known, one that holds for good', async () => {
    const answers: (string | number)[] = [718, 725, ''];
    const { place, actions } = await upnpRouter((action) =>
      action === 'GetExternalIPAddress' ? OUTSIDE : (answers.shift() ?? ''),
    );
    const { outside, seconds } = await leaseByUpnp(place, WISH, limit());
    expect(outside.port).toBeGreaterThanOrEqual(20_000);
    expect(outside.port).not.toBe(33_357);
    expect(seconds).toBe(Infinity);
    expect(actions.at(-1)?.body).toContain('<NewLeaseDuration>0</NewLeaseDuration>');
  });

  test('a refusal says why', async () => {
    const { place } = await upnpRouter((action) => (action === 'GetExternalIPAddress' ? OUTSIDE : 606));
    await expect(leaseByUpnp(place, WISH, limit())).rejects.toMatchObject({
      code: 'forbidden',
      message: `asking the router "${ROUTER}" for "AddPortMapping": no (606)`,
    });
  });

  test('nobody is fetched from but the router: neither where it points elsewhere, nor where another one answers [N-60] [N-61]', async () => {
    let asked = 0;
    const victim = createServer((_request, response) => {
      asked++;
      response.end();
    }).listen(0, '127.0.0.9');
    await once(victim, 'listening');
    opened.push(() => victim.close());
    const { port } = victim.address() as AddressInfo; // as above
    const elsewhere = await upnpRouter(() => OUTSIDE, { location: `http://127.0.0.9:${port}/desc.xml` });
    await expect(leaseByUpnp(elsewhere.place, WISH, limit())).rejects.toMatchObject({ code: 'peer_unreachable' });
    const other = await upnpRouter(() => OUTSIDE);
    await expect(leaseByUpnp({ ...other.place, ip: '127.0.0.9' }, WISH, limit())).rejects.toMatchObject({
      code: 'peer_unreachable',
    });
    expect([asked, elsewhere.actions, other.actions]).toEqual([0, [], []]);
    await expect(leaseByUpnp({ ip: '198.51.100.1', own: '8.8.8.8' }, WISH, limit())).rejects.toMatchObject({
      code: 'wrong_state',
    });
  });
});

describe('a mapping', () => {
  const lease = (host: string, of: Partial<Lease> = {}): Lease => ({
    by: 'pcp',
    outside: { host, port: 40_000 },
    seconds: 3600,
    renew: async () => lease(host, of),
    release: async () => {},
    ...of,
  });

  /** Told of each change; `next` waits for one more. */
  function mapping(
    way: () => Promise<Lease>,
    gateway: { ip: string; own: string } | undefined = { ip: '10.0.0.1', own: '10.0.0.2' },
  ) {
    let tell = (): void => {};
    const made = new PortMapping({
      port: () => 33_357,
      onChange: () => tell(),
      clock: systemClock,
      log: silentLog(),
      gateway: async () => gateway,
      ways: [way],
    });
    const next = () => new Promise<void>((done) => (tell = done));
    return { made, next };
  }

  test('is shown, followed when it changes, and given back at the end [N-62] [N-63]', async () => {
    const released: string[] = [];
    let host = '203.0.113.7';
    const give = (): Lease => lease(host, { renew: async () => give(), release: async () => void released.push(host) });
    const { made, next } = mapping(async () => give());
    let changed = next();
    made.start();
    await changed;
    expect(made.address).toBe('203.0.113.7:40000');
    expect(made.state).toMatchObject({ state: 'mapped', by: 'pcp', isPublic: true, gateway: '10.0.0.1', error: null });
    host = '10.9.9.9';
    changed = next();
    made.renew();
    await changed;
    expect(made.state).toMatchObject({ outside: '10.9.9.9:40000', isPublic: false });
    await made[Symbol.asyncDispose]();
    expect(released).toEqual(['10.9.9.9']);
  });

  test('that a router gives at an address which is nobody’s is none [N-63]', async () => {
    for (const host of ['127.0.0.1', '0.0.0.0', '224.0.0.1', '255.255.255.255']) {
      const asked = Promise.withResolvers<void>();
      const { made } = mapping(async () => {
        asked.resolve();
        return lease(host);
      });
      made.start();
      await asked.promise;
      await made[Symbol.asyncDispose]();
      expect([made.address, made.state.state]).toEqual([undefined, 'none']);
    }
  });

  test('is not asked for where there is no router, or no private network', async () => {
    const never = (): Promise<Lease> => expect.fail('nobody is to be asked');
    for (const [gateway, state] of [
      [{ ip: '198.51.100.1', own: '8.8.8.8' }, 'needless'],
      [undefined, 'none'],
    ] as const) {
      const made = new PortMapping({
        port: () => 1,
        onChange: () => {},
        clock: systemClock,
        log: silentLog(),
        gateway: async () => gateway,
        ways: [never],
      });
      made.start();
      while (made.state.state === 'asking') await new Promise((done) => setImmediate(done));
      expect(made.state).toMatchObject({ state, error: null });
      await made[Symbol.asyncDispose]();
    }
  });
});

test('the router is read from what each system says of its routes', () => {
  const head = 'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n';
  const line = (by: string, flags: string, metric: number, to = '00000000', mask = '00000000') =>
    `eth0\t${to}\t${by}\t${flags}\t0\t0\t${metric}\t${mask}\t0\t0\t0\n`;
  expect(routerInProc(head)).toBeUndefined();
  expect(routerInProc(`${head}${line('00000000', '0001', 0)}`)).toBeUndefined();
  const routes = `${line('0101A8C0', '0003', 600)}${line('0100000A', '0003', 100)}${line('020010AC', '0003', 0, '0000A8C0', '0000FFFF')}`;
  expect(routerInProc(head + routes)).toBe('10.0.0.1');
  expect(routerInGet('   route to: default\n    gateway: 192.168.1.1\n  interface: en0\n')).toBe('192.168.1.1');
  expect(routerInGet('    gateway: link#4\n')).toBeUndefined();
  const windows =
    'Network Destination        Netmask          Gateway       Interface  Metric\n          0.0.0.0          0.0.0.0      192.168.1.1     192.168.1.23     35\n';
  expect(routerInPrint(windows)).toBe('192.168.1.1');
});
