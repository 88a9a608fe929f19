import { Hash } from 'lucide-react';
import type { Presence } from '../../../src/api/shapes.ts';
import styles from './avatar.module.css';
import { cleanLine } from './clean.ts';

const HUES = 10;

/** The same colour for the same name, on every page. */
export function hueOf(name: string): number {
  let sum = 7;
  for (const char of name) sum = (sum * 31 + (char.codePointAt(0) ?? 0)) >>> 0;
  return sum % HUES;
}

const initialsOf = (name: string): string => {
  const words = cleanLine(name)
    .split(/[\s._-]+/u)
    .filter((word) => word !== '');
  const [first = '?', second] = words.map((word) => [...word][0] ?? '');
  return `${first}${second ?? ''}`.toUpperCase();
};

type Props = { name: string; room?: boolean; status?: Presence | undefined; size?: 'sm' | 'md' | 'lg' };

/** Decoration: the name stands beside it. */
export function Avatar({ name, room = false, status, size = 'md' }: Props) {
  const [bare = ''] = name.split('@');
  return (
    <span
      className={styles.avatar}
      data-hue={hueOf(name)}
      data-size={size}
      data-room={room || undefined}
      aria-hidden="true"
    >
      {room ? <Hash className={styles.hash} strokeWidth={2.4} /> : initialsOf(bare)}
      {status && <span className={styles.status} data-status={status} />}
    </span>
  );
}
