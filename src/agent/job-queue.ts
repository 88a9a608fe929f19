/** Which job is next: by priority, then by age, within the bounds of how many may run at once. */

export type Ticket = {
  seq: number;
  id: string;
  priority: number;
  /** Name of the operation. */
  kind: string;
  /** Noun and peer: what is bounded together, and where `ordered`, done one after another. */
  lane: string;
  ordered: boolean;
};

export type Bounds = { workers: number; ofKind: number; ofLane: number };

const BOUNDS: Bounds = { workers: 16, ofKind: 8, ofLane: 4 };

const goesBefore = (a: Ticket, b: Ticket): boolean =>
  a.priority !== b.priority ? a.priority > b.priority : a.seq < b.seq;

export class JobQueue {
  readonly #bounds: Bounds;
  readonly #lanes = new Map<string, Ticket[]>();
  readonly #running = new Map<string, Ticket>();
  /** How many of a kind, and of a lane, run. */
  readonly #counts = new Map<string, number>();
  /** Jobs that wait for what they need: nothing of their ordered lanes goes before them. */
  readonly #held = new Map<string, Map<string, Ticket>>();

  constructor(bounds: Bounds = BOUNDS) {
    this.#bounds = bounds;
  }

  add(ticket: Ticket): void {
    this.remove(ticket.id, ticket.lane);
    const lane = this.#lanes.get(ticket.lane) ?? [];
    this.#lanes.set(ticket.lane, lane);
    const at = lane.findLastIndex((other) => goesBefore(other, ticket));
    lane.splice(at + 1, 0, ticket);
  }

  /** It is neither to run now nor over: its place in an ordered lane stays its own. */
  hold(ticket: Ticket): void {
    this.remove(ticket.id, ticket.lane);
    if (!ticket.ordered) return;
    const held = this.#held.get(ticket.lane) ?? new Map();
    this.#held.set(ticket.lane, held.set(ticket.id, ticket));
  }

  remove(id: string, laneName: string): void {
    const held = this.#held.get(laneName);
    if (held?.delete(id) && held.size === 0) this.#held.delete(laneName);
    const lane = this.#lanes.get(laneName);
    const at = lane?.findIndex((ticket) => ticket.id === id) ?? -1;
    if (!lane || at < 0) return;
    lane.splice(at, 1);
    if (lane.length === 0) this.#lanes.delete(laneName);
  }

  /** The next one that may run, which from now on does; undefined where none may. */
  take(): Ticket | undefined {
    if (this.#running.size >= this.#bounds.workers) return undefined;
    let best: Ticket | undefined;
    for (const [head] of this.#lanes.values()) {
      if (!head || (best && goesBefore(best, head)) || !this.#mayRun(head)) continue;
      if (!this.#isBehind(head)) best = head;
    }
    if (!best) return undefined;
    this.remove(best.id, best.lane);
    this.#running.set(best.id, best);
    this.#count(best, 1);
    return best;
  }

  /** It runs no longer. */
  release(id: string): void {
    const ticket = this.#running.get(id);
    if (!ticket) return;
    this.#running.delete(id);
    this.#count(ticket, -1);
  }

  #isBehind(head: Ticket): boolean {
    return (
      this.#held
        .get(head.lane)
        ?.values()
        .some((held) => goesBefore(held, head)) ?? false
    );
  }

  #mayRun({ kind, lane, ordered }: Ticket): boolean {
    const { ofKind, ofLane } = this.#bounds;
    return this.#number(`kind ${kind}`) < ofKind && this.#number(`lane ${lane}`) < (ordered ? 1 : ofLane);
  }

  #number(what: string): number {
    return this.#counts.get(what) ?? 0;
  }

  #count({ kind, lane }: Ticket, by: number): void {
    for (const what of [`kind ${kind}`, `lane ${lane}`]) {
      const count = this.#number(what) + by;
      if (count === 0) this.#counts.delete(what);
      else this.#counts.set(what, count);
    }
  }
}
