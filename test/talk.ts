/** Members of a room who all talk, whatever happens to them, and what must hold in the end. For tests. */
import { expect } from 'vitest';
import type { Client } from '../src/api/client.ts';
import type { Message } from '../src/api/shapes.ts';
import { Fault } from '../src/base/fault.ts';
import { until } from './testnet.ts';

/** Mulberry32: small, and the same everywhere. */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Whether the program certainly did not take the request: nobody was there to take it. */
const surelyNot = (error: unknown): boolean => error instanceof Fault && error.code === 'agent_down';

/** Who talks in which room, and what they said, surely or perhaps. */
export class Talk {
  readonly names: readonly string[];
  readonly room: string;
  /** The client of a member's program as it runs now. */
  readonly clientOf: (name: string) => Client;
  readonly said = new Set<string>();
  /** The answer was lost: it may have been taken. */
  readonly perhaps = new Set<string>();

  constructor(names: readonly string[], room: string, clientOf: (name: string) => Client) {
    this.names = names;
    this.room = room;
    this.clientOf = clientOf;
  }

  /** The first member makes the room, and all others join it. */
  async begin(): Promise<void> {
    const [first = '', ...others] = this.names;
    await this.clientOf(first).rooms.create({ name: this.room.slice(1), members: [...others] });
    for (const name of others) {
      await until(
        () => this.clientOf(name).rooms.list(),
        (rooms) => rooms.length === 1,
      );
      await this.clientOf(name).rooms.join({ room: this.room });
    }
  }

  /** Says `count` messages as one member, across its own deaths, `pauseMs` apart. */
  async speak(name: string, count: number, pauseMs = 0): Promise<void> {
    for (let n = 0; n < count; ) {
      const text = `${name} says ${n}`;
      try {
        await this.clientOf(name).messages.say({ handle: this.room, text });
        this.said.add(text);
        n += 1;
        if (pauseMs > 0) await new Promise((done) => setTimeout(done, pauseMs));
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        if (!surelyNot(error)) {
          if (!['link_closed', 'timeout', 'cancelled'].includes(error.code)) throw error;
          this.perhaps.add(text);
          n += 1;
        }
        await new Promise((done) => setTimeout(done, 50));
      }
    }
  }

  async everything(name: string): Promise<Message[]> {
    const pages: Message[][] = [];
    for (let before: string | undefined; ; ) {
      const page: Message[] = await this.clientOf(name).messages.list({ handle: this.room, limit: 1000, before });
      pages.unshift(page);
      if (page.length < 1000) return pages.flat();
      before = page[0]?.id;
    }
  }

  /** Waits until everybody has all that was said, and every state is settled; then all have it once, in one order. */
  async agrees(patienceMs: number): Promise<void> {
    const whole = (messages: Message[]): boolean => this.said.isSubsetOf(new Set(messages.map(({ text }) => text)));
    for (const name of this.names) await until(() => this.everything(name), whole, patienceMs);
    const settled = (messages: Message[]): boolean =>
      messages.every(({ state }) => state !== 'queued' && state !== 'held');
    const histories = new Map<string, Message[]>();
    for (const name of this.names) {
      const own = await until(() => this.everything(name), settled, patienceMs);
      const states = new Set(own.map(({ from, state }) => (from === `${name}@lab` ? state : `others: ${state}`)));
      expect([...states].sort(), `states at ${name}`).toEqual(['delivered', 'others: received']);
      histories.set(name, own); // with what was perhaps said, and came later
    }
    const reference = histories.get(this.names[0] ?? '')?.map(({ id, text }) => `${id} ${text}`) ?? [];
    for (const [name, messages] of histories) {
      const texts = messages.map(({ text }) => text);
      expect(new Set(texts).size, `${name} shows none twice`).toBe(texts.length);
      expect(
        texts.filter((text) => !this.said.has(text) && !this.perhaps.has(text)),
        `${name} shows nothing that was not said`,
      ).toEqual([]);
      expect(
        messages.map(({ id, text }) => `${id} ${text}`),
        `order at ${name}`,
      ).toEqual(reference);
    }
  }
}
