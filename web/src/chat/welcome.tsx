import { useStatus } from '../agent/queries.ts';
import { Invite } from '../shell/invite.tsx';
import { cleanLine } from '../words/clean.ts';
import styles from './welcome.module.css';

/** What somebody sees who is here alone: who they are, and how others come. */
export function Welcome() {
  const { data: status } = useStatus();
  if (!status) return null;
  const [name = ''] = status.handle.split('@');
  return (
    <div className={styles.welcome}>
      <div className={styles.card}>
        <img src="/icon.svg" alt="" width="56" height="56" />
        <h2>Hello, {cleanLine(name)}</h2>
        <p className={styles.under}>
          You are <bdi>{cleanLine(status.handle)}</bdi>, and nobody else is here yet.
        </p>
        <Invite />
        <p className={styles.under}>
          To join somebody else’s network instead, end this agent and start it with their link:{' '}
          <code>netapp up --join LINK</code>
        </p>
      </div>
    </div>
  );
}
