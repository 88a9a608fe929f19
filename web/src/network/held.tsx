import { useQuery } from '@tanstack/react-query';
import type { Message, Status } from '../../../src/api/shapes.ts';
import { client } from '../agent/client.ts';
import { keys } from '../agent/queries.ts';
import { useMe } from '../shell/agent.tsx';
import { addressOf } from '../shell/route.ts';
import { cleanLine } from '../words/clean.ts';
import { plural, showDate, showName } from '../words/show.ts';
import styles from './network-view.module.css';

/** Messages that are looked through for what is held, the newest ones. */
const LOOKED_AT = 500;

type Held = { to: string; by: Set<string>; messages: number; until: string };

/** What trackers hold for people who are away, by whom it is for. */
export function HeldFor({ trackers }: { trackers: Status['trackers'] }) {
  const me = useMe();
  const { data: held = [] } = useQuery({
    queryKey: keys.held,
    queryFn: async () => heldIn(await client.messages.list({ limit: LOOKED_AT })),
    // What was held while nobody looked.
    refetchOnMount: 'always',
  });
  const nameOf = (peer: string) => trackers.find((tracker) => tracker.peer === peer)?.zone ?? peer.slice(0, 8);
  return (
    <>
      <h2>Mailbox</h2>
      {held.length === 0 && <p className={styles.none}>Nothing of yours is held for anybody.</p>}
      <ul>
        {held.map(({ to, by, messages, until }) => (
          <li key={to}>
            <a href={addressOf('chat', to)}>
              <strong>{showName(to, me)}</strong>
            </a>
            : {plural(messages, 'message')}
            <small>
              sealed, held by {[...by].map((peer) => `the tracker of ${cleanLine(nameOf(peer))}`).join(' and ')} until{' '}
              {showDate(until)}
            </small>
          </li>
        ))}
      </ul>
    </>
  );
}

function heldIn(messages: readonly Message[]): Held[] {
  const all = new Map<string, Held>();
  for (const { held } of messages) {
    const counted = new Set<string>();
    for (const { to, by, until } of held ?? []) {
      const known = all.get(to) ?? { to, by: new Set(), messages: 0, until };
      known.by.add(by);
      if (!counted.has(to)) known.messages += 1;
      counted.add(to);
      if (until < known.until) known.until = until;
      all.set(to, known);
    }
  }
  return [...all.values()];
}
