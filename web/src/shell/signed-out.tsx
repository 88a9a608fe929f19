import { Button } from '@mantine/core';
import styles from './signed-out.module.css';

export function SignedOut() {
  return (
    <main className={styles.out}>
      <img src="/icon.svg" alt="" width="72" height="72" />
      <h1>Your session is over</h1>
      <p>
        Run <code>netapp open</code> on this machine, and follow the link. It works once, and only here.
      </p>
      <Button onClick={() => location.reload()}>Try again</Button>
    </main>
  );
}
