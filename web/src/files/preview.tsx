/** Files that are here, as a browser shows them: always from another origin than the page's, where nothing of it can be reached. */
import { Button, Modal } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import type { FileInfo } from '../../../src/api/shapes.ts';
import { client, troubleOf } from '../agent/client.ts';
import { cleanLine } from '../words/clean.ts';
import styles from './preview.module.css';

/** Milliseconds before an address is asked for anew: it holds for four hours. */
const FRESH_MS = 3 * 3_600_000;
/** Bytes of a picture that is shown without being asked for. */
const PICTURE_MOST = 12_000_000;

const PICTURE = /\.(png|jpe?g|gif|webp|avif)$/i;
const TAB = /\.pdf$/i;
const SHOWN =
  /\.(png|jpe?g|gif|webp|avif|mp3|m4a|ogg|opus|flac|wav|mp4|webm|pdf|txt|md|log|csv|json|ya?ml|html?|svg|xml|ts|tsx|js|py|c|h|rs|go|java|sh|css)$/i;

const isHere = ({ path, state, direction, folder }: FileInfo): boolean =>
  path !== '' &&
  folder === undefined &&
  (state === 'done' || (direction === 'out' && state !== 'preparing' && state !== 'failed'));

const usePreview = (id: string, enabled: boolean) =>
  useQuery({ queryKey: ['preview', id], queryFn: () => client.files.preview({ id }), enabled, staleTime: FRESH_MS });

/** A picture in a conversation; for other kinds a way to look. */
export function PreviewOf({ file }: { file: FileInfo }) {
  const [broken, setBroken] = useState(false);
  const [open, setOpen] = useState(false);
  const isPicture = isHere(file) && PICTURE.test(file.name) && file.size <= PICTURE_MOST && !broken;
  const { data } = usePreview(file.id, isPicture);
  if (!isPicture) return <LookAt file={file} />;
  const name = cleanLine(file.name);
  return (
    <>
      <button type="button" className={styles.picture} aria-label={`Look at ${name}`} onClick={() => setOpen(true)}>
        {data && <img src={data.url} alt={name} loading="lazy" onError={() => setBroken(true)} />}
      </button>
      <Viewer file={file} opened={open} onClose={() => setOpen(false)} />
    </>
  );
}

/** Nothing for what is not here, or what a browser cannot show. */
export function LookAt({ file }: { file: FileInfo }) {
  const [open, setOpen] = useState(false);
  if (!isHere(file) || !SHOWN.test(file.name)) return null;
  return (
    <span className={styles.look}>
      <Button size="compact-sm" variant="default" onClick={() => setOpen(true)}>
        Look at it
      </Button>
      <Viewer file={file} opened={open} onClose={() => setOpen(false)} />
    </span>
  );
}

function Viewer({ file, opened, onClose }: { file: FileInfo; opened: boolean; onClose: () => void }) {
  const { data, error } = usePreview(file.id, opened);
  const name = cleanLine(file.name);
  return (
    <Modal opened={opened} onClose={onClose} title={name} size="xl">
      {error && <p role="alert">{troubleOf(error).message}</p>}
      {data && (
        <div className={styles.viewer}>
          {data.type.startsWith('image/') ? (
            <img src={data.url} alt={name} />
          ) : data.type.startsWith('video/') ? (
            // biome-ignore lint/a11y/useMediaCaption: a file of somebody else has none
            <video src={data.url} controls />
          ) : data.type.startsWith('audio/') ? (
            // biome-ignore lint/a11y/useMediaCaption: a file of somebody else has none
            <audio src={data.url} controls />
          ) : TAB.test(file.name) ? (
            <Button component="a" href={data.url} target="_blank" rel="noopener noreferrer">
              {/* A browser without a viewer of its own saves what it opens. */}
              {navigator.pdfViewerEnabled ? 'Open it in a tab of its own' : 'Save it: this browser shows no PDF'}
            </Button>
          ) : (
            <iframe src={data.url} title={name} sandbox="" />
          )}
          <code>{cleanLine(file.path)}</code>
        </div>
      )}
    </Modal>
  );
}
