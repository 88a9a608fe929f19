import { useMemo } from 'react';
import { encode } from 'uqr';
import styles from './code.module.css';

/** Empty modules around a code, without which cameras do not find it. */
const QUIET = 3;

/** A QR code, dark on light in both themes, as cameras want it. */
export function Code({ text, label }: { text: string; label: string }) {
  const { path, size } = useMemo(() => {
    const { data, size } = encode(text, { border: QUIET });
    const squares = data.flatMap((row, y) => row.flatMap((dark, x) => (dark ? [`M${x} ${y}h1v1h-1z`] : [])));
    return { path: squares.join(''), size };
  }, [text]);
  return (
    <svg
      className={styles.code}
      viewBox={`0 0 ${size} ${size}`}
      role="img"
      aria-label={label}
      shapeRendering="crispEdges"
    >
      <path d={path} fill="#101418" />
    </svg>
  );
}
