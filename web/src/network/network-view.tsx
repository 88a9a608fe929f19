import { Button } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import type { LinkInfo } from '../../../src/api/shapes.ts';
import { client } from '../agent/client.ts';
import { keys, useFiles, useLinks, useStatus } from '../agent/queries.ts';
import { attempt, useMe } from '../shell/agent.tsx';
import { cleanLine } from '../words/clean.ts';
import { plural, showAgo, showBytes, showMoment, showName, showSpanMs } from '../words/show.ts';
import { Doctor } from './doctor.tsx';
import { Graph } from './graph.tsx';
import { HeldFor } from './held.tsx';
import styles from './network-view.module.css';
import { Zones } from './zones.tsx';

export default function NetworkView() {
  const { data: status } = useStatus();
  const { data: links = [] } = useLinks();
  const { data: files = [] } = useFiles();
  const me = useMe();
  const queries = useQueryClient();
  const leave = (peer: string) =>
    attempt(async () => {
      await client.trackers.leave({ peer });
      await queries.invalidateQueries({ queryKey: keys.status });
    });
  if (!status) return null;
  const nameOf = ({ role, peer, handle }: LinkInfo): string => {
    if (role === 'node') return handle === null ? 'not known yet' : showName(handle, me);
    return `tracker of ${cleanLine(status.trackers.find((tracker) => tracker.peer === peer)?.zone ?? 'another zone')}`;
  };
  const { queue, trackers, addresses, version, since, node } = status;
  return (
    <div className={styles.view}>
      <header className={styles.head}>
        <h1>Network</h1>
        <p>
          Up since {showMoment(since)}, version {version}
        </p>
      </header>
      <div className={styles.body}>
        <section className={styles.picture} aria-label="Picture of the links">
          <Graph status={status} links={links} files={files} />
        </section>
        <section className={styles.side}>
          <div className={styles.tiles}>
            <Tile count={links.filter(({ role }) => role === 'node').length} name="people linked" />
            <Tile
              count={trackers.filter(({ state }) => state === 'up').length}
              name={`of ${plural(trackers.length, 'tracker')} up`}
            />
            <Tile count={queue.messages} name="messages without a receipt yet" />
            <Tile count={queue.files} name="files under way" />
          </div>
          <h2>Trackers</h2>
          {trackers.length === 0 && <p className={styles.none}>None: nobody introduces you.</p>}
          <ul>
            {trackers.map((tracker) => (
              <li key={tracker.peer}>
                <span className={styles.dot} data-state={tracker.state} />
                <strong>{cleanLine(tracker.zone)}</strong> at {cleanLine(tracker.address)}: {tracker.state}
                {tracker.state === 'up' && tracker.rttMs !== null && `, ${showSpanMs(tracker.rttMs)}`}
                <small>{cleanLine(tracker.error ?? tracker.why)}</small>
                {trackers.length > 1 && (
                  <Button
                    size="compact-xs"
                    variant="default"
                    aria-label={`Leave the tracker of ${cleanLine(tracker.zone)} at ${cleanLine(tracker.address)}`}
                    onClick={() => leave(tracker.peer)}
                  >
                    Leave
                  </Button>
                )}
              </li>
            ))}
          </ul>
          <h2>Links</h2>
          {links.length === 0 && <p className={styles.none}>None: there is nothing to carry.</p>}
          <ul>
            {links.map((link) => (
              <li key={link.peer}>
                <span className={styles.dot} data-state="up" />
                <strong>{nameOf(link)}</strong>
                {', '}
                {link.rung}
                {link.rttMs !== null && `, ${link.rttMs.toFixed(1)} ms`}
                <small>
                  {cleanLine(link.address)}, since {showAgo(link.since)}; {showBytes(link.receivedBytes)} came,{' '}
                  {showBytes(link.sentBytes)} went
                </small>
                {link.missed.map(({ rung, way, reason }) => (
                  <small key={`${rung} ${way}`}>
                    Not {rung}, {cleanLine(way)}: {cleanLine(reason)}
                  </small>
                ))}
              </li>
            ))}
          </ul>
          <HeldFor trackers={trackers} />
          <Zones />
          <Doctor />
          <h2>This machine</h2>
          <p className={styles.none}>
            Reached at {addresses.map(cleanLine).join(', ')} <code>{node}</code>
          </p>
        </section>
      </div>
    </div>
  );
}

function Tile({ count, name }: { count: number; name: string }) {
  return (
    <div>
      <strong>{count.toLocaleString()}</strong>
      <span>{name}</span>
    </div>
  );
}
