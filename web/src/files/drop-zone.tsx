import { Progress } from '@mantine/core';
import { UploadCloud, X } from 'lucide-react';
import { useEffect, useRef, useState } from 'react';
import { tell } from '../shell/agent.tsx';
import { cleanLine } from '../words/clean.ts';
import { showBytes } from '../words/show.ts';
import styles from './drop-zone.module.css';
import { filesOf } from './dropped.ts';
import { offer, useUploads } from './upload.ts';

/** Files may be dropped anywhere on the page; they go to the conversation that is open. */
export function DropZone({ target }: { target: string | undefined }) {
  const [over, setOver] = useState(false);
  const depth = useRef(0);
  useEffect(() => {
    const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false;
    const enter = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      depth.current += 1;
      setOver(true);
    };
    const leave = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      depth.current -= 1;
      if (depth.current <= 0) setOver(false);
    };
    const hover = (event: DragEvent) => {
      if (hasFiles(event)) event.preventDefault();
    };
    const drop = (event: DragEvent) => {
      if (!hasFiles(event) || !event.dataTransfer) return;
      event.preventDefault();
      depth.current = 0;
      setOver(false);
      if (target === undefined) return tell('Open the conversation to which the files are to go, and drop them there.');
      void filesOf(event.dataTransfer).then((files) => offer(target, files));
    };
    const on = { dragenter: enter, dragleave: leave, dragover: hover, drop };
    addEventListener('dragenter', on.dragenter);
    addEventListener('dragleave', on.dragleave);
    addEventListener('dragover', on.dragover);
    addEventListener('drop', on.drop);
    return () => {
      removeEventListener('dragenter', on.dragenter);
      removeEventListener('dragleave', on.dragleave);
      removeEventListener('dragover', on.dragover);
      removeEventListener('drop', on.drop);
    };
  }, [target]);
  return (
    <>
      {over && (
        <div className={styles.over} aria-hidden="true">
          <div>
            <UploadCloud size={56} strokeWidth={1.4} />
            {target === undefined ? 'Open a conversation first' : 'Drop to send'}
          </div>
        </div>
      )}
      <Uploads />
    </>
  );
}

/** What is on its way from the browser to the agent; most often gone before one sees it. */
function Uploads() {
  const uploads = useUploads();
  if (uploads.length === 0) return null;
  return (
    <section className={styles.uploads} aria-label="On the way to the agent">
      {uploads.map(({ key, name, size, done, stop }) => (
        <div key={key}>
          <span>
            <bdi>{cleanLine(name)}</bdi>
            <small>
              {showBytes(done)} of {showBytes(size)}
            </small>
          </span>
          <button
            type="button"
            className="plain"
            aria-label={`Do not send ${cleanLine(name)}`}
            onClick={() => stop.abort()}
          >
            <X size={17} />
          </button>
          <Progress
            value={size === 0 ? 100 : (100 * done) / size}
            size="sm"
            aria-label={`${cleanLine(name)} on its way to the agent`}
          />
        </div>
      ))}
    </section>
  );
}
