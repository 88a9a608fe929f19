/** What it takes to show one noun of the API to a person. */
import type { Cell, Style } from './term.ts';

export type Noun = {
  head: readonly string[];
  row(value: unknown): readonly Cell[];
  /** Names and values of one, in full. */
  detail(value: unknown): readonly (readonly [string, Cell])[];
  /** What a list says when there is none. */
  none: string;
};

type Schema<T> = { parse(value: unknown): T };

export function noun<T>(
  schema: Schema<T>,
  look: { head: readonly string[]; row(value: T): readonly Cell[]; detail?(value: T): [string, Cell][]; none: string },
): Noun {
  const { head, none } = look;
  const row = (value: unknown) => look.row(schema.parse(value));
  return {
    head,
    none,
    row,
    detail: (value) =>
      look.detail?.(schema.parse(value)) ?? row(value).map((cell, i) => [(head[i] ?? '').toLowerCase(), cell]),
  };
}

/** Colours of states, the same for every noun. */
export const styles: Record<string, Style> = {
  online: 'green',
  up: 'green',
  delivered: 'green',
  read: 'green',
  done: 'green',
  valid: 'green',
  open: 'green',
  running: 'cyan',
  away: 'yellow',
  busy: 'yellow',
  held: 'yellow',
  queued: 'yellow',
  waiting: 'yellow',
  connecting: 'yellow',
  retrying: 'yellow',
  failed: 'red',
  down: 'red',
  declined: 'red',
  cancelled: 'red',
  revoked: 'dim',
  expired: 'dim',
  ended: 'dim',
  idle: 'dim',
  offline: 'dim',
  received: 'dim',
};

export function state(name: string): Cell {
  return { text: name, style: styles[name] };
}
