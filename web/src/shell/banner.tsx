import { PlugZap } from 'lucide-react';
import { useEffect, useState } from 'react';
import { useStatus } from '../agent/queries.ts';
import { useStanding } from './agent.tsx';
import styles from './banner.module.css';

/** Milliseconds of silence before it is worth a word: an agent that restarts is often back before. */
const QUIET_MS = 900;

/** Says why there is nothing new, and goes by itself. */
export function Banner() {
  const standing = useStanding();
  const { data: status } = useStatus();
  const [long, setLong] = useState(false);
  const lost = standing === 'lost';
  useEffect(() => {
    if (!lost) return setLong(false);
    const timer = setTimeout(() => setLong(true), QUIET_MS);
    return () => clearTimeout(timer);
  }, [lost]);
  const down =
    status !== undefined && status.trackers.length > 0 && status.trackers.every(({ state }) => state !== 'up');
  const text =
    lost && long
      ? 'The agent on this machine does not answer. What you write waits in its box; this page goes on as soon as it is back.'
      : !lost && down
        ? 'No tracker answers. Whoever is linked already is still reached; the rest goes out when one is back.'
        : undefined;
  return (
    <div role="status">
      {text !== undefined && (
        <p className={styles.banner}>
          <PlugZap size={16} aria-hidden="true" />
          {text}
        </p>
      )}
    </div>
  );
}
