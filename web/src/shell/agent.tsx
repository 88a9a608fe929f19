/** The one agent behind the page, for whoever needs it. */
import { notifications } from '@mantine/notifications';
import { createContext, type ReactNode, useContext, useEffect, useSyncExternalStore } from 'react';
import { troubleOf } from '../agent/client.ts';
import type { Live, Standing } from '../agent/live.ts';
import { useStatus } from '../agent/queries.ts';

const Agent = createContext<Live | undefined>(undefined);

export function AgentProvider({ live, children }: { live: Live; children: ReactNode }) {
  useEffect(() => {
    const stop = new AbortController();
    void live.follow(stop.signal);
    return () => stop.abort();
  }, [live]);
  return <Agent value={live}>{children}</Agent>;
}

/** For whoever asks it something now, and draws nothing of what changes in it. */
export function useAgent(): Live {
  const live = useContext(Agent);
  if (!live) throw new Error('useAgent: there is no agent here');
  return live;
}

export function useStanding(): Standing {
  const live = useAgent();
  return useSyncExternalStore(live.subscribe, () => live.standing);
}

/** Handles of those who write there just now. */
export function useTyping(conversation: string | undefined): string[] {
  const live = useAgent();
  const handles = useSyncExternalStore(live.subscribe, () => live.typing(conversation).join(' '));
  return handles === '' ? [] : handles.split(' ');
}

/** Draws again with whatever changes that is not in a query or a timeline: a hundred times a second, where so much comes. */
export function useLive(): Live {
  const live = useAgent();
  useSyncExternalStore(live.subscribe, live.version);
  return live;
}

/** My own handle; empty until it is known. */
export const useMe = (): string => useStatus().data?.handle ?? '';

/** Does what it is given; what that comes to is told in a corner of the page. Gives whether it went well. */
export async function attempt(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    tell(troubleOf(error).message);
    return false;
  }
}

export function tell(message: string, kind: 'bad' | 'good' = 'bad'): void {
  notifications.show({ message, color: kind === 'bad' ? 'red' : 'tide', withBorder: true, autoClose: 6_000 });
}
