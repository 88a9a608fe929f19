import { Button, Progress } from '@mantine/core';
import { ShieldCheck, ShieldQuestion } from 'lucide-react';
import { useFiles } from '../agent/queries.ts';
import { attempt, useLive, useMe } from '../shell/agent.tsx';
import { cleanLine } from '../words/clean.ts';
import { plural, showName } from '../words/show.ts';
import { Curve } from './curve.tsx';
import styles from './file-card.module.css';
import { FileIcon } from './file-icon.tsx';
import { PreviewOf } from './preview.tsx';
import { actsOf, isOpen, percentOf, stateOf } from './transfer.ts';

/** A file where it was offered in a conversation. */
export function FileCard({ id, name }: { id: string; name: string }) {
  const live = useLive();
  const me = useMe();
  const file = useFiles().data?.find((each) => each.id === id);
  const shown = cleanLine(file?.name ?? name);
  if (!file) {
    return (
      <span className={styles.card}>
        <FileIcon name={shown} size={30} />
        <span className={styles.text}>
          <bdi className={styles.name}>{shown}</bdi>
        </span>
      </span>
    );
  }
  const offered = file.direction === 'in' && file.state === 'offered';
  const Shield = file.verified ? ShieldCheck : ShieldQuestion;
  return (
    <div className={styles.card} data-state={file.state}>
      <span className={styles.icon}>
        <FileIcon name={shown} folder={file.folder !== undefined} size={26} />
      </span>
      <span className={styles.text}>
        <bdi className={styles.name} title={shown}>
          {shown}
        </bdi>
        <small className={file.state === 'failed' ? styles.bad : undefined}>
          {file.folder && `${plural(file.folder.files, 'file')}, `}
          {stateOf(file)}
        </small>
        {offered && (
          <small className={styles.from} data-verified={file.verified || undefined}>
            <Shield size={14} aria-hidden="true" />
            {file.verified
              ? `${showName(file.from, me)}, whom you verified`
              : `${showName(file.from, me)}, not verified yet`}
          </small>
        )}
      </span>
      <PreviewOf file={file} />
      {isOpen(file) && file.state !== 'offered' && (
        <div className={styles.moving}>
          <Progress value={percentOf(file)} animated={file.rate > 0} size="sm" aria-label={`${shown}: how far it is`} />
          <Curve points={live.curves.get(id)} />
        </div>
      )}
      {actsOf(file).length > 0 && (
        <span className={styles.acts}>
          {actsOf(file).map(({ name: act, main, run }) => (
            <Button key={act} size="compact-sm" variant={main ? 'filled' : 'default'} onClick={() => attempt(run)}>
              {act}
            </Button>
          ))}
        </span>
      )}
    </div>
  );
}
