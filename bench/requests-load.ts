/** A program that asks an agent on its socket, as fast as it is answered; and a plain HTTP server to measure beside it. */
import { once } from 'node:events';
import { Agent, createServer, get } from 'node:http';
import { createClient } from '../src/api/client.ts';
import { answer } from './child.ts';

/** Answers every request with these bytes, as little as `node:http` can do. */
async function serve(socketPath: string, body: string): Promise<void> {
  const server = createServer((_request, response) => {
    response
      .writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
      .end(body);
  });
  server.listen(socketPath);
  await once(server, 'listening');
}

function read(socketPath: string, path: string, agent: Agent): Promise<string> {
  return new Promise((resolve, reject) => {
    get({ socketPath, path, agent }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => (response.statusCode === 200 ? resolve(text) : reject(new Error(text))));
    }).on('error', reject);
  });
}

/** Reads `count` times over so many connections; seconds, and the last answer. */
async function reads(socketPath: string, path: string, count: number, connections: number) {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  let left = count;
  let last = '';
  const at = performance.now();
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (left-- > 0) last = await read(socketPath, path, agent);
    }),
  );
  const seconds = (performance.now() - at) / 1000;
  agent.destroy();
  return { seconds, last };
}

/** `each` requests at once from each of `clients` clients: milliseconds of each, or what it failed with. */
async function atOnce(socketPath: string, clients: number, each: number, as: 'say' | 'job') {
  const times: number[] = [];
  const failed: string[] = [];
  await Promise.all(
    Array.from({ length: clients }, async (_, c) => {
      const client = createClient({ socketPath });
      await Promise.all(
        Array.from({ length: each }, async (_, n) => {
          const input = { handle: 'bob', text: `${as} ${c} ${n}` };
          const at = performance.now();
          try {
            if (as === 'say') await client.messages.say(input);
            else await client.jobs.create({ operation: 'messages.say', input, key: `${c}-${n}` });
            times.push(performance.now() - at);
          } catch (error) {
            failed.push(String(error));
          }
        }),
      );
    }),
  );
  return { times, failed };
}

answer({ serve, reads, atOnce });
