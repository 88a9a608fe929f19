import { useEffect, useRef, useState } from 'react';
import styles from './camera.module.css';

/** Milliseconds between two looks at the picture: soon enough for a hand, and half of the time a core is idle. */
const LOOK_MS = 150;
/** Pixels to which a picture is brought before it is looked at: enough for a code, and quick. */
const MOST_PIXELS = 640;

export const CAN_SCAN = 'mediaDevices' in navigator;

/** Looks through the camera until it has read a QR code. What it sees stays in this page. */
export function Camera({ onRead }: { onRead: (text: string) => void }) {
  const video = useRef<HTMLVideoElement>(null);
  const read = useRef(onRead);
  read.current = onRead;
  const [why, setWhy] = useState<string | undefined>();
  useEffect(() => {
    const stop = new AbortController();
    look(video.current, stop.signal).then(
      (text) => text !== undefined && read.current(text),
      (error: unknown) => setWhy(wordsOf(error)),
    );
    return () => stop.abort();
  }, []);
  if (why !== undefined) return <p role="alert">{why}</p>;
  return (
    <div className={styles.camera}>
      <video ref={video} muted playsInline aria-label="What the camera sees" />
      <p>Hold the code before the camera.</p>
    </div>
  );
}

async function look(video: HTMLVideoElement | null, signal: AbortSignal): Promise<string | undefined> {
  if (!video) return undefined;
  const [{ default: jsQR }, stream] = await Promise.all([
    import('jsqr'),
    navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } }),
  ]);
  try {
    if (signal.aborted) return undefined;
    video.srcObject = stream;
    await video.play();
    const canvas = document.createElement('canvas');
    const sheet = canvas.getContext('2d', { willReadFrequently: true });
    while (sheet && !signal.aborted) {
      const scale = Math.min(1, MOST_PIXELS / Math.max(1, video.videoWidth, video.videoHeight));
      const [width, height] = [Math.round(video.videoWidth * scale), Math.round(video.videoHeight * scale)];
      if (width > 0 && height > 0) {
        canvas.width = width;
        canvas.height = height;
        sheet.drawImage(video, 0, 0, width, height);
        const found = jsQR(sheet.getImageData(0, 0, width, height).data, width, height);
        if (found?.data) return found.data;
      }
      await new Promise((done) => setTimeout(done, LOOK_MS));
    }
    return undefined;
  } finally {
    for (const track of stream.getTracks()) track.stop();
  }
}

function wordsOf(error: unknown): string {
  const name = error instanceof Error ? error.name : '';
  if (name === 'NotAllowedError') return 'The browser does not let this page use the camera: its settings say so.';
  if (name === 'NotFoundError') return 'There is no camera here: paste the link instead.';
  return 'The camera cannot be used: paste the link instead.';
}
