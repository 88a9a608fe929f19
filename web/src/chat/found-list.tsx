import { useDebouncedValue } from '@mantine/hooks';
import { keepPreviousData, useInfiniteQuery } from '@tanstack/react-query';
import { client, troubleOf } from '../agent/client.ts';
import { useAgent, useMe } from '../shell/agent.tsx';
import { addressOf } from '../shell/route.ts';
import { cleanText } from '../words/clean.ts';
import { showName, showWhen } from '../words/show.ts';
import styles from './found-list.module.css';

const PAGE = 30;
/** Milliseconds without a key before what was written is looked for. */
const REST_MS = 180;

/** Messages that have these words, the newest first; a click leads to where each was said. */
export function FoundList({ words, within }: { words: string; within?: string | undefined }) {
  const live = useAgent();
  const me = useMe();
  const [query] = useDebouncedValue(words.trim(), REST_MS);
  const { data, error, fetchNextPage, hasNextPage } = useInfiniteQuery({
    queryKey: ['search', query, within],
    queryFn: ({ pageParam, signal }) =>
      client.messages.search({ query, in: within, limit: PAGE, before: pageParam }, { signal }),
    initialPageParam: undefined as string | undefined, // the type of what follows; the first page has none
    getNextPageParam: (page) => (page.length < PAGE ? undefined : page.at(0)?.id),
    placeholderData: keepPreviousData,
    enabled: query !== '',
    staleTime: 0,
  });
  const found = (data?.pages ?? []).flatMap((page) => page.toReversed());
  return (
    <section aria-label="Messages found">
      <h2 className={styles.head}>Messages</h2>
      {error && <p className={styles.none}>{troubleOf(error).message}</p>}
      {data && found.length === 0 && <p className={styles.none}>No message has these words.</p>}
      {found.map((message) => (
        <a key={message.id} className={styles.found} href={addressOf('chat', live.placeOf(message), message.id)}>
          <span className={styles.who}>
            <bdi>{showName(message.from, me)}</bdi>
            {message.room !== null && <bdi> in #{message.room}</bdi>}
          </span>
          <span className={styles.when}>{showWhen(message.at)}</span>
          <span className={styles.snippet}>
            <bdi>
              {message.snippet.map(({ text, hit }, index) =>
                // biome-ignore lint/suspicious/noArrayIndexKey: pieces of one text keep their places
                hit ? <mark key={index}>{cleanText(text)}</mark> : <span key={index}>{cleanText(text)}</span>,
              )}
            </bdi>
          </span>
        </a>
      ))}
      {hasNextPage && (
        <button type="button" className={styles.more} onClick={() => fetchNextPage()}>
          Show older ones
        </button>
      )}
    </section>
  );
}
