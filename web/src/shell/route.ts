/** Where somebody is on the page, kept behind # so that back, forward and reload lead where one expects. */
import { useSyncExternalStore } from 'react';

export type View = 'chat' | 'people' | 'files' | 'network';
export type Route = { view: View; target: string | undefined; message: string | undefined };

const VIEWS: readonly View[] = ['chat', 'people', 'files', 'network'];

function read(hash: string): Route {
  const [view = '', target, message] = hash.replace(/^#\/?/, '').split('/').map(decoded);
  return {
    view: VIEWS.find((each) => each === view) ?? 'chat',
    target: target || undefined,
    message: message || undefined,
  };
}

/** What nobody could have written here is no place. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return '';
  }
}

export function addressOf(view: View, target?: string, message?: string): string {
  return `#/${[view, target, message].flatMap((part) => (part === undefined ? [] : [encodeURIComponent(part)])).join('/')}`;
}

export function go(view: View, target?: string, message?: string): void {
  location.hash = addressOf(view, target, message);
}

/** Back to the list from a conversation that is over, unless its user has gone on elsewhere meanwhile. */
export function leave(target: string): void {
  if (read(location.hash).target === target) go('chat');
}

const subscribe = (changed: () => void) => {
  addEventListener('hashchange', changed);
  return () => removeEventListener('hashchange', changed);
};

export function useRoute(): Route {
  return read(useSyncExternalStore(subscribe, () => location.hash));
}
