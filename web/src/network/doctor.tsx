import { Button } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { CircleAlert, CircleCheck, Info } from 'lucide-react';
import { client, troubleOf } from '../agent/client.ts';
import { cleanLine } from '../words/clean.ts';
import styles from './doctor.module.css';

const ICONS = { ok: CircleCheck, note: Info, bad: CircleAlert };
const LEVELS = { ok: 'as it should be', note: 'worth knowing', bad: 'needs you' };

/** Whether all is well, and what to do where it is not. */
export function Doctor() {
  const { data, error, refetch, isFetching } = useQuery({
    queryKey: ['check'],
    queryFn: () => client.status.check(),
    staleTime: 60_000,
    refetchOnMount: true,
  });
  return (
    <section className={styles.doctor} aria-label="What the doctor found">
      <header>
        <h2>Is all well?</h2>
        <Button size="compact-xs" variant="default" loading={isFetching} onClick={() => refetch()}>
          Look again
        </Button>
      </header>
      {error && <p role="alert">{troubleOf(error).message}</p>}
      <ul>
        {data?.map(({ level, about, says, todo }) => {
          const Icon = ICONS[level];
          return (
            <li key={`${about} ${says}`} data-level={level}>
              <Icon size={17} role="img" aria-label={LEVELS[level]} />
              <span>
                <strong>{about}</strong> {cleanLine(says)}
                {todo !== null && <em>{cleanLine(todo)}</em>}
              </span>
            </li>
          );
        })}
      </ul>
    </section>
  );
}
