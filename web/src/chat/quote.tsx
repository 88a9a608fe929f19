import { useQuery } from '@tanstack/react-query';
import type { Message } from '../../../src/api/shapes.ts';
import { client } from '../agent/client.ts';
import { useLive } from '../shell/agent.tsx';
import { addressOf } from '../shell/route.ts';
import { cleanLine } from '../words/clean.ts';
import { showName } from '../words/show.ts';
import styles from './quote.module.css';

/** Most characters of the message that is answered. */
const MOST = 160;

export function Quote({ id, me, place }: { id: string; me: string; place: Message }) {
  const live = useLive();
  const target = live.placeOf(place);
  const here = live.timeline(target).messages.find((message) => message.id === id);
  const { data = here } = useQuery({
    queryKey: ['message', id],
    queryFn: () => client.messages.show({ id }),
    enabled: here === undefined,
  });
  return (
    <a className={styles.quote} href={addressOf('chat', target, id)}>
      <strong>
        <bdi>{data ? (data.from === me ? 'You' : showName(data.from, me)) : 'A message'}</bdi>
      </strong>
      <span>
        <bdi>
          {data
            ? data.deleted
              ? 'taken back'
              : cleanLine(data.text.slice(0, 4 * MOST)).slice(0, MOST)
            : 'that is not here'}
        </bdi>
      </span>
    </a>
  );
}
