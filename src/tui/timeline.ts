/** What is loaded of one conversation: its newest messages, and older ones as far as somebody went back. */
import type { Message } from '../api/shapes.ts';

export class Timeline {
  /** Oldest first. */
  messages: Message[] = [];
  /** The newest page is here. */
  loaded = false;
  /** There is nothing older. */
  complete = false;
  loading = false;

  /** The newest page, in place of all; `whole`: there is no other. */
  replace(page: readonly Message[], whole: boolean): void {
    this.messages = [...page];
    this.loaded = true;
    this.complete = whole;
  }

  prepend(page: readonly Message[], whole: boolean): void {
    const known = new Set(this.messages.map(({ id }) => id));
    this.messages = [...page.filter(({ id }) => !known.has(id)), ...this.messages];
    this.complete = whole;
  }

  /** As it is now: in its place, or where its time puts it. What is older than all that is loaded waits until it is loaded. */
  put(message: Message): void {
    const at = this.messages.findLastIndex(({ id }) => id === message.id);
    if (at >= 0) {
      this.messages = this.messages.with(at, message);
      return;
    }
    if (!this.loaded) return;
    const before = this.messages.findLastIndex((other) => other.at <= message.at);
    if (before < 0 && this.messages.length > 0 && !this.complete) return;
    this.messages = this.messages.toSpliced(before + 1, 0, message);
  }
}
