/**
 * The least that a Node program does which tells a room only what is on the disk: each message is a row of its text, all of one turn
 * share a commit and a sync, and each client gets one write for them. It has no accounts, no order, no history, no search; it
 * speaks as much of the message bus's protocol as the load does.
 */
import { fdatasync, openSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { answer } from './child.ts';

const receivers = new Set<Socket>();
let said: string[] = [];
let isSet = false;
let tellAll = (_texts: string[]): void => {};

function soon(): void {
  if (isSet || said.length === 0) return;
  isSet = true;
  setImmediate(() => {
    const texts = said;
    said = [];
    tellAll(texts);
  });
}

function take(socket: Socket, bytes: string): string {
  let at = 0;
  for (let end = bytes.indexOf('\r\n', at); end >= 0; end = bytes.indexOf('\r\n', at)) {
    const line = bytes.slice(at, end);
    if (line.startsWith('PUB ')) {
      const length = Number(line.slice(line.lastIndexOf(' ') + 1));
      if (bytes.length < end + length + 4) break;
      said.push(bytes.slice(end + 2, end + 2 + length));
      at = end + length + 4;
      continue;
    }
    if (line.startsWith('SUB ')) receivers.add(socket);
    if (line === 'PING') socket.write('PONG\r\n');
    at = end + 2;
  }
  soon();
  return bytes.slice(at);
}

answer({
  start: async (folder: string) => {
    const path = join(folder, 'kept.db');
    const db = new DatabaseSync(path);
    db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 16000');
    db.exec('CREATE TABLE messages (place INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT');
    const insert = db.prepare('INSERT INTO messages (text) VALUES (?)');
    const log = openSync(`${path}-wal`, 'r+');
    tellAll = (texts) => {
      db.exec('BEGIN');
      for (const text of texts) insert.run(text);
      db.exec('COMMIT');
      fdatasync(log, (error) => {
        if (error) throw error;
        const all = Buffer.from(texts.map((text) => `MSG room 1 ${text.length}\r\n${text}\r\n`).join(''), 'latin1');
        for (const socket of receivers) socket.write(all);
        isSet = false;
        soon();
      });
    };
    const server = createServer({ noDelay: true }, (socket) => {
      let rest = '';
      socket.on('data', (bytes: Buffer) => {
        rest = take(socket, rest + bytes.toString('latin1'));
      });
      socket.on('error', () => {}); // the load has ended
      socket.on('close', () => receivers.delete(socket));
    });
    await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1', backlog: 1024 }, resolve));
    return (server.address() as AddressInfo).port; // of a TCP server
  },
});
