/** The commands that try a path and nothing else: a server that says again what it is told, and a client that measures. */
import { once } from 'node:events';
import { z } from 'zod';
import { FAULTS, type FaultCode } from '../base/fault.ts';
import { jsonLine } from '../cli/clean.ts';
import { type ProcessCommand, processCommand } from '../cli/process-command.ts';
import type { Shell } from '../cli/shell.ts';
import { parseBytes, parseSpan, showBytes } from '../cli/units.ts';
import type { EchoCounts } from '../reach/echo.ts';
import type { ProbeResult } from '../reach/probe.ts';
import { port } from './port.ts';

/** As in reach/echo.ts and reach/probe.ts, which are not loaded to show help. */
const MOST_CONNECTIONS = 900;

const connections = z
  .string()
  .regex(/^\d{1,3}$/, `expected a number from 1 to ${MOST_CONNECTIONS}`)
  .transform(Number)
  .refine((number) => number >= 1 && number <= MOST_CONNECTIONS, `expected a number from 1 to ${MOST_CONNECTIONS}`);

const seconds = z
  .string()
  .regex(/^\d{1,4}(?:\.\d{1,3})?$/, 'expected seconds, such as 10')
  .transform(Number)
  .refine((number) => number >= 0.1 && number <= 3600, 'expected 0.1 to 3600 seconds');

const bytes = z
  .string()
  .transform(parseBytes)
  .refine((number) => number === null || number > 0, 'expected at least one byte');

const span = z
  .string()
  .refine((text) => (parseSpan(text) ?? null) !== null, 'expected 1s to 24h, such as 90s, 10m or 1h')
  .transform((text) => parseSpan(text) ?? undefined);

const echo = processCommand({
  name: 'echo',
  summary: 'Say again whatever is said: the other end of "netapp probe"',
  description:
    'Plain TCP, for nc as well. It listens on this machine alone unless --host names another address; 0.0.0.0 or :: are all. Ends on ctrl-C and shows what came.',
  example: 'netapp echo --port 7777',
  faults: ['port_taken'],
  input: z.object({
    host: z.string().optional().describe('IP to listen on; default: 127.0.0.1, this machine alone'),
    port: port.optional().describe('port to listen on; 0: any; default: 7777'),
    connections: connections.optional().describe(`connections at once; default: ${MOST_CONNECTIONS}`),
    mostBytes: bytes.optional().describe('bytes that one connection may say; none: no bound; default: 64GiB'),
    idle: span.optional().describe('time after which a connection on which nothing moves is ended; default: 60s'),
  }),
  async run({ host, port, connections, mostBytes, idle }, shell) {
    const { EchoServer } = await import('../reach/echo.ts');
    const limits = { connections, bytes: mostBytes === null ? Number.POSITIVE_INFINITY : mostBytes, idleMs: idle };
    await using server = new EchoServer({ host, port, limits });
    await server.start();
    const { address } = server;
    if (shell.json) await shell.out.line(JSON.stringify({ listening: address }));
    else await shell.out.line(`listening on ${address}; try: nc ${address.replace(/:(\d+)$/, ' $1')}`);
    if (!shell.signal.aborted) await once(shell.signal, 'abort');
    await server[Symbol.asyncDispose]();
    const { open: _, ...counts } = server.counts;
    await shell.out.line(shell.json ? JSON.stringify(counts) : countsLine(counts));
    return 0;
  },
});

function countsLine({ taken, refused, idle, overlong, bytes }: Omit<EchoCounts, 'open'>): string {
  const ended = [
    ...(refused > 0 ? [`${refused} refused as too many`] : []),
    ...(idle > 0 ? [`${idle} ended as idle`] : []),
    ...(overlong > 0 ? [`${overlong} ended as too long`] : []),
  ];
  return [`${taken} connections, ${showBytes(bytes)} said again`, ...ended].join('; ');
}

const probe = processCommand({
  name: 'probe',
  summary: 'Measure a path: connections, round trips, throughput, drops',
  description:
    'To "netapp echo", or any server that says again what it is told. Half of the time each connection asks and waits, the other half it keeps the path full. Ctrl-C ends it and shows what was measured so far. The exit code is 0 where all connections came about, held, and brought back what was said.',
  example: 'netapp probe 127.0.0.1:7777 --connections 8 --seconds 10',
  faults: ['peer_unreachable', 'link_closed', 'timeout', 'malformed'],
  input: z.object({
    address: z.string().meta({ positional: true, description: 'host:port, or [IPv6]:port' }),
    connections: connections.optional().describe(`connections at once, 1 to ${MOST_CONNECTIONS}; default: 1`),
    seconds: seconds.optional().describe('seconds to measure for; default: 4'),
  }),
  async run({ address, connections = 1, seconds = 4 }, shell) {
    const { probe } = await import('../reach/probe.ts');
    const result = await probe({ address, connections, seconds, signal: shell.signal });
    if (shell.json) await shell.out.line(jsonLine(result));
    else await showProbe(result, shell);
    const code = troubleOf(result);
    return code === undefined ? 0 : FAULTS[code].exit;
  },
});

/** The worst first: what came back wrong, nobody there, no word, an end before the end. */
function troubleOf({ connections }: ProbeResult): FaultCode | undefined {
  if (connections.wrong > 0) return 'malformed';
  if (connections.failed > 0) return 'peer_unreachable';
  if (connections.dropped > 0) return 'link_closed';
  return connections.silent > 0 ? 'timeout' : undefined;
}

async function showProbe(result: ProbeResult, { out }: Shell): Promise<void> {
  const { connections: all, connect, roundTrips, throughput } = result;
  const ms = ({ p50Ms, p99Ms, mostMs }: { p50Ms: number; p99Ms: number; mostMs: number }): string =>
    `p50 ${p50Ms} ms, p99 ${p99Ms} ms, most ${mostMs} ms`;
  const bad = [
    ...(all.failed > 0 ? [`${all.failed} failed`] : []),
    ...(all.dropped > 0 ? [`${all.dropped} dropped`] : []),
    ...(all.wrong > 0 ? [`${all.wrong} brought back something else`] : []),
    ...(all.silent > 0 ? [`${all.silent} said nothing`] : []),
  ];
  const rows: [string, string][] = [
    ['connections', [`${all.made} of ${all.asked} made`, ...bad].join(', ')],
    ...(connect ? [['to connect', ms(connect)] as [string, string]] : []),
    ['round trips', roundTrips ? `${roundTrips.count}: ${ms(roundTrips)}` : 'none'],
    ['throughput', throughput ? `${showBytes(throughput.bytesPerSecond)}/s each way` : 'none'],
    ...result.reasons.map(({ says, count }): [string, string] => [`${count}x`, says]),
  ];
  for (const [name, says] of rows) await out.line(`${out.style(name.padEnd(11), 'dim')}  ${says}`);
}

export const pathCommands: readonly ProcessCommand[] = [echo, probe];
