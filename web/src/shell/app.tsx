import { lazy, Suspense, useRef } from 'react';
import { ChatView } from '../chat/chat-view.tsx';
import { DropZone } from '../files/drop-zone.tsx';
import { useStanding } from './agent.tsx';
import styles from './app.module.css';
import { Banner } from './banner.tsx';
import { useNotifications } from './notify.tsx';
import { Rail } from './rail.tsx';
import { useRoute } from './route.ts';
import { SignedOut } from './signed-out.tsx';
import { useTitle } from './title.ts';

// What a first look does not need comes when it is asked for.
const FilesView = lazy(() => import('../files/files-view.tsx'));
const PeopleView = lazy(() => import('../people/people-view.tsx'));
const NetworkView = lazy(() => import('../network/network-view.tsx'));

export function App() {
  const standing = useStanding();
  const { view, target, message } = useRoute();
  const content = useRef<HTMLElement>(null);
  useTitle();
  useNotifications();
  if (standing === 'signed-out') return <SignedOut />;
  return (
    <div
      className={styles.app}
      data-inside={(view === 'chat' || view === 'people') && target !== undefined ? true : undefined}
    >
      <button type="button" className={styles.skip} onClick={() => content.current?.focus()}>
        Skip to the content
      </button>
      <Rail view={view} />
      <main className={styles.content} ref={content} tabIndex={-1}>
        <Banner />
        <Suspense fallback={<div className={styles.waiting} />}>
          {view === 'chat' && <ChatView target={target} message={message} />}
          {view === 'people' && <PeopleView handle={target} />}
          {view === 'files' && <FilesView />}
          {view === 'network' && <NetworkView />}
        </Suspense>
      </main>
      <DropZone target={view === 'chat' ? target : undefined} />
    </div>
  );
}
