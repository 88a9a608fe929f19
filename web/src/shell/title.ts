import { useEffect } from 'react';
import { useConversations, useStatus } from '../agent/queries.ts';

/** The tab says whose page it is, and how much is unread. */
export function useTitle(): void {
  const unread = (useConversations().data ?? []).reduce((sum, conversation) => sum + conversation.unread, 0);
  const handle = useStatus().data?.handle;
  useEffect(() => {
    const name = handle === undefined ? 'NetApp' : `NetApp · ${handle}`;
    document.title = unread > 0 ? `(${unread}) ${name}` : name;
  }, [unread, handle]);
}
