import type { Rate } from '../agent/live.ts';
import { showRate } from '../words/show.ts';
import styles from './curve.module.css';

const WIDTH = 240;
const HEIGHT = 34;

/** How fast a transfer was, over the last minute or two. */
export function Curve({ points }: { points: readonly Rate[] | undefined }) {
  if (!points || points.length < 3) return null;
  const top = Math.max(1, ...points.map(({ rate }) => rate));
  const [from, to] = [points[0]?.at ?? 0, points.at(-1)?.at ?? 1];
  const spots = points.map(({ at, rate }) => {
    const x = (WIDTH * (at - from)) / Math.max(1, to - from);
    return `${x.toFixed(1)},${(HEIGHT - 2 - ((HEIGHT - 4) * rate) / top).toFixed(1)}`;
  });
  return (
    <svg
      className={styles.curve}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={`Speed, at most ${showRate(top)}`}
    >
      <polygon points={`0,${HEIGHT} ${spots.join(' ')} ${WIDTH},${HEIGHT}`} />
      <polyline points={spots.join(' ')} />
    </svg>
  );
}
