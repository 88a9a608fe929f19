import { CloseButton } from '@mantine/core';
import type { ReactNode } from 'react';
import styles from './side-panel.module.css';

/** Stands beside a conversation; over it where there is no room beside. Escape closes it. */
export function SidePanel({ title, onClose, children }: { title: string; onClose: () => void; children: ReactNode }) {
  return (
    <aside
      className={styles.panel}
      aria-label={title}
      onKeyDown={(event) => {
        if (event.key === 'Escape') onClose();
      }}
    >
      <header className={styles.head}>
        <h3>{title}</h3>
        <CloseButton aria-label={`Close ${title}`} onClick={onClose} />
      </header>
      <div className={styles.body}>{children}</div>
    </aside>
  );
}
