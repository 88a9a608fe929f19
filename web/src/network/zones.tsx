import { useQuery } from '@tanstack/react-query';
import { client } from '../agent/client.ts';
import { cleanLine } from '../words/clean.ts';
import { showAgo } from '../words/show.ts';
import styles from './network-view.module.css';

const KINDS = { served: 'served by my tracker', delegated: 'given to another tracker', server: 'a further tracker' };

/** The zones of my tracker, which it tells those who administer it; nothing for others. */
export function Zones() {
  const { data: zones } = useQuery({ queryKey: ['zones'], queryFn: () => client.zones.list(), refetchOnMount: true });
  if (!zones || zones.length === 0) return null;
  return (
    <>
      <h2>Zones</h2>
      <ul>
        {zones.map(({ zone, kind, key, trackers, seen }) => (
          <li key={`${kind} ${zone} ${key}`}>
            <span className={styles.dot} data-state={kind === 'served' || seen !== null ? 'up' : 'connecting'} />
            <strong>{cleanLine(zone)}</strong>, {KINDS[kind]}
            <small>
              {trackers.flatMap(({ addresses }) => addresses.map(cleanLine)).join(', ')}
              {kind !== 'served' && (seen === null ? '; has not shown its key yet' : `; seen ${showAgo(seen)}`)}
            </small>
          </li>
        ))}
      </ul>
    </>
  );
}
