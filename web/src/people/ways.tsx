import { Button } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { CircleCheck, CircleX } from 'lucide-react';
import type { PeerReach } from '../../../src/api/network.ts';
import { client, troubleOf } from '../agent/client.ts';
import { cleanLine } from '../words/clean.ts';
import { plural, showSpanMs } from '../words/show.ts';
import styles from './lookup.module.css';

const RUNGS: Record<PeerReach['ways'][number]['rung'], string> = {
  local: 'this machine',
  lan: 'this network',
  direct: 'an address of theirs',
  punched: 'a hole made from both sides',
  relay: 'a tracker that passes it on',
};

/** Every way to somebody's node, tried when it is wanted: what came of each, how soon, and why not. */
export function Ways({ handle }: { handle: string }) {
  const { data, error, mutate, isPending } = useMutation({ mutationFn: () => client.network.peer({ handle }) });
  const most = Math.max(1, ...(data?.ways ?? []).map(({ ms }) => ms));
  return (
    <section className={styles.lookup} aria-label="How they are reached">
      <header>
        <h3>How they are reached</h3>
        <Button size="compact-sm" variant="default" loading={isPending} onClick={() => mutate()}>
          {data ? 'Try again' : 'Try every way'}
        </Button>
      </header>
      {error && <p role="alert">{cleanLine(troubleOf(error).message)}</p>}
      {data?.ways.length === 0 && <p>No way to them is known now.</p>}
      {data && data.ways.length > 0 && (
        <ol className={styles.steps}>
          {data.ways.map(({ rung, label, works, ms, reason }) => {
            const Icon = works ? CircleCheck : CircleX;
            return (
              <li key={`${rung} ${label}`} className={styles.step} data-kind={works ? 'good' : 'bad'}>
                <Icon size={18} aria-hidden="true" />
                <div>
                  <p>
                    <strong>{RUNGS[rung]}</strong> {works ? 'works' : 'failed'}
                  </p>
                  <small>
                    {cleanLine(label)}
                    {reason !== null && `: ${cleanLine(reason)}`}
                  </small>
                </div>
                <span className={styles.time}>
                  {showSpanMs(ms)}
                  <span className={styles.bar} aria-hidden="true">
                    <meter min={0} max={most} value={ms} />
                  </span>
                </span>
              </li>
            );
          })}
        </ol>
      )}
      {data && <p>{waitingFor(data.waiting)}</p>}
    </section>
  );
}

function waitingFor({ queued, held, files }: PeerReach['waiting']): string {
  if (queued + held + files === 0) return 'Nothing waits for them.';
  const parts = [
    ...(queued > 0 ? [`${plural(queued, 'message')} here`] : []),
    ...(held > 0 ? [`${plural(held, 'message')} in a mailbox`] : []),
    ...(files > 0 ? [plural(files, 'file')] : []),
  ];
  return `Waiting for them: ${parts.join(', ')}.`;
}
