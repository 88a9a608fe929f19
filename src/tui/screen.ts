/** What the user sees and does: the open place, the line being written, what is marked, what lies over it. */

import type { FileInfo, Message } from '../api/shapes.ts';
import { cleanLine } from '../cli/clean.ts';
import type { Output } from './command.ts';
import { Line } from './line.ts';
import type { Model } from './model.ts';
import type { Place } from './places.ts';

export type Mode =
  | { of: 'write' }
  /** Writing an answer to a message, or new words for one. */
  | { of: 'reply' | 'edit'; message: Message }
  /** Moving among messages. */
  | { of: 'mark'; id: string }
  | { of: 'help' }
  | { of: 'files' }
  | { of: 'output'; output: Output; from: number; stop: AbortController };

export type Deeds = {
  exit(): void;
  /** Runs a `/` command. */
  run(line: string): void;
  /** What may stand for the last word of it. */
  complete(line: string): Promise<string | undefined>;
};

export class Screen {
  readonly model: Model;
  readonly line = new Line();
  mode: Mode = { of: 'write' };
  target: string | undefined;
  /** Id of the message at the bottom; undefined: the newest. */
  bottom: string | undefined;
  /** Messages that were seen at once, for paging. */
  page = 10;
  readonly #deeds: Deeds;
  readonly #drafts = new Map<string, string>();

  constructor(model: Model, deeds: Deeds) {
    this.model = model;
    this.#deeds = deeds;
  }

  get place(): Place | undefined {
    return this.model.places.find(({ target }) => target === this.target);
  }

  get messages(): readonly Message[] {
    return this.target === undefined ? [] : this.model.timeline(this.target).messages;
  }

  get marked(): Message | undefined {
    const { mode } = this;
    return mode.of === 'mark' ? this.messages.find(({ id }) => id === mode.id) : undefined;
  }

  open(target: string): void {
    if (this.target !== undefined) this.#drafts.set(this.target, this.line.text);
    this.target = target;
    this.bottom = undefined;
    this.mode = { of: 'write' };
    this.line.set(this.#drafts.get(target) ?? '');
    this.model.say(undefined);
    void this.model.open(target);
  }

  /** The place `by` further on the list. */
  move(by: number): void {
    const { places } = this.model;
    if (places.length === 0) return;
    const at = places.findIndex(({ target }) => target === this.target);
    const next = at < 0 ? (by > 0 ? 0 : places.length - 1) : (at + by + places.length) % places.length;
    const place = places[next];
    if (place) this.open(place.target);
  }

  nextUnread(): void {
    const found = this.model.places.find(({ target, unread }) => unread > 0 && target !== this.target);
    if (found) this.open(found.target);
  }

  /** By whole messages, so that what is on the screen stays when new ones come. */
  scroll(by: number): void {
    const { messages, bottom } = this;
    const at = bottom === undefined ? messages.length - 1 : messages.findIndex(({ id }) => id === bottom);
    const next = Math.max(0, at + by);
    this.bottom = next >= messages.length - 1 ? undefined : messages[next]?.id;
    // Before the end of what is loaded is on the screen.
    if (next < 2 * this.page && this.target !== undefined) void this.model.older(this.target);
    this.model.changed();
  }

  mark(by: number): void {
    const { messages, mode } = this;
    const at = mode.of === 'mark' ? messages.findIndex(({ id }) => id === mode.id) : messages.length - 1 - by;
    const next = Math.min(messages.length - 1, Math.max(0, at + by));
    const found = messages[next];
    if (!found) return;
    this.mode = { of: 'mark', id: found.id };
    this.bottom = next + 1 >= messages.length - 1 ? undefined : messages[next + 1]?.id;
    if (next < this.page && this.target !== undefined) void this.model.older(this.target);
    this.model.changed();
  }

  to(mode: Mode): void {
    if (this.mode.of === 'output') this.mode.stop.abort();
    this.mode = mode;
    this.model.changed();
  }

  reply(message: Message): void {
    this.to({ of: 'reply', message });
  }

  edit(message: Message | undefined): void {
    if (!message || message.from !== this.model.me?.handle || message.deleted) {
      return this.model.say({ text: 'only own words can be changed', bad: true });
    }
    this.line.set(message.text);
    this.to({ of: 'edit', message });
  }

  get ownLast(): Message | undefined {
    return this.messages.findLast(
      ({ from, deleted, file }) => from === this.model.me?.handle && !deleted && file === null,
    );
  }

  remove(message: Message): void {
    this.to({ of: 'write' });
    void this.model.attempt(() => this.model.client.messages.delete({ id: message.id }));
  }

  /** Yes or no to the room that one is asked into, if that is open, else to the newest offer. */
  answerNext(yes: boolean): void {
    const { place, model } = this;
    if (place?.room?.standing !== 'invited') return this.answer(this.offerOf(), yes);
    const room = place.room.id;
    void model.attempt(() => (yes ? model.client.rooms.join({ room }) : model.client.rooms.decline({ room })));
  }

  /** The offer that a message carries, or the newest there is. */
  offerOf(message?: Message): FileInfo | undefined {
    const { offers } = this.model;
    return message ? offers.find(({ id }) => id === message.file) : offers.at(-1);
  }

  answer(offer: FileInfo | undefined, yes: boolean): void {
    if (!offer) return this.model.say({ text: 'no file is offered, and nobody asks me into a room here', bad: true });
    const { files } = this.model.client;
    const { id } = offer;
    void this.model.attempt(async () => {
      const now = yes ? await files.accept({ id }) : await files.decline({ id });
      this.model.files.set(id, now);
      this.model.say({ text: `${cleanLine(now.name)}: ${now.state}${yes ? `, to ${now.path}` : ''}`, bad: false });
    });
  }

  /** Enter. */
  send(): void {
    const { mode, target, model } = this;
    const text = this.line.text;
    if (text.trim() === '') return mode.of === 'edit' ? this.remove(mode.message) : undefined;
    if (text.startsWith('/') && !text.startsWith('//') && mode.of === 'write') return this.#command(text);
    if (target === undefined) return model.say({ text: 'open a conversation first: Tab, or /say WHO TEXT', bad: true });
    const words = text.startsWith('//') ? text.slice(1) : text;
    this.line.take();
    if (mode.of !== 'write') this.mode = { of: 'write' };
    this.bottom = undefined;
    model.note = undefined;
    model.changed();
    void model.attempt(async () => {
      try {
        if (mode.of === 'reply') await model.client.messages.reply({ id: mode.message.id, text: words });
        else if (mode.of === 'edit') await model.client.messages.edit({ id: mode.message.id, text: words });
        else await model.client.messages.say({ handle: target, text: words });
      } catch (error) {
        // What was not taken is not lost.
        if (this.line.text === '' && this.target === target) this.line.set(text);
        throw error;
      }
    });
  }

  #command(text: string): void {
    const line = this.line.take().slice(1).trim();
    if (line === 'quit' || line === 'exit') return this.#deeds.exit();
    if (line === '' || line === 'keys') return this.to({ of: 'help' });
    this.#deeds.run(text.slice(1).trim());
  }

  exit(): void {
    this.#deeds.exit();
  }

  async complete(): Promise<void> {
    const { text } = this.line;
    const found = await this.#deeds.complete(text.slice(1));
    if (found === undefined || this.line.text !== text) return;
    this.line.set(`/${found}`);
    this.model.changed();
  }

  typed(): void {
    const writes = this.line.text !== '' && !this.line.text.startsWith('/');
    if (this.target !== undefined && writes && this.place?.conversation !== undefined) this.model.write(this.target);
  }
}
