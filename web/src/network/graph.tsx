import { forceCenter, forceCollide, forceLink, forceManyBody, forceSimulation } from 'd3-force';
import { useEffect, useRef, useState } from 'react';
import type { FileInfo, LinkInfo, Status } from '../../../src/api/shapes.ts';
import { showName, showRate } from '../words/show.ts';
import styles from './graph.module.css';
import { type Spot, spotsOf } from './spots.ts';

type Placed = Spot & { x: number; y: number };
type Props = { status: Status; links: readonly LinkInfo[]; files: readonly FileInfo[] };

/** Steps that the forces are given: then all stands still, and a page that is only looked at costs nothing. */
const STEPS = 160;
/** Half of the picture's own width and height, before it is fitted to the page. */
const HALF = 260;

/** Radians from one newcomer to the next: no two ever begin on one line, on which the forces could not part them. */
const GOLDEN = Math.PI * (3 - Math.sqrt(5));

/** Me in the middle, and a line to each whom this node is linked to, or tries to be. */
export function Graph({ status, links, files }: Props) {
  const [placed, setPlaced] = useState<readonly Placed[]>([]);
  const spots = spotsOf(status, links);
  const rates = useRates(links);
  const moving = fileRates(files);
  const shape = spots.map(({ id }) => id).join(' ');
  const latest = useRef(spots);
  latest.current = spots;
  // biome-ignore lint/correctness/useExhaustiveDependencies: laid out anew when somebody comes or goes, not with each counter
  useEffect(() => {
    setPlaced((before) => layOut(latest.current, before));
  }, [shape]);
  const known = new Map(spots.map((spot) => [spot.id, spot]));
  const at = placed.flatMap((place) => {
    const spot = known.get(place.id);
    return spot ? [{ ...spot, x: place.x, y: place.y }] : [];
  });
  const [middle] = at;
  return (
    <svg
      className={styles.graph}
      viewBox={`${-HALF} ${-HALF} ${2 * HALF} ${2 * HALF}`}
      role="img"
      aria-label={wordsOf(at)}
    >
      {middle &&
        at.slice(1).map((spot) => {
          const rate = rates.get(spot.id) ?? 0;
          const { came = 0, went = 0 } = moving.get(spot.handle ?? '') ?? {};
          const [x, y] = [(middle.x + spot.x) / 2, (middle.y + spot.y) / 2];
          return (
            <g
              key={spot.id}
              className={styles.line}
              data-rung={spot.rung}
              data-up={spot.up || undefined}
              data-moves={rate + came + went > 2_000 || undefined}
            >
              <line x1={middle.x} y1={middle.y} x2={spot.x} y2={spot.y} />
              {spot.up && (
                <text x={x} y={y - 5}>
                  {[
                    spot.rung,
                    spot.rttMs === null ? undefined : `${spot.rttMs.toFixed(1)} ms`,
                    rate > 2_000 ? showRate(rate) : undefined,
                  ]
                    .filter((part) => part !== undefined)
                    .join(' · ')}
                </text>
              )}
              {came + went > 0 && (
                <text x={x} y={y + 17}>
                  files {came > 0 && `↓ ${showRate(came)}`} {went > 0 && `↑ ${showRate(went)}`}
                </text>
              )}
            </g>
          );
        })}
      {at.map((spot) => (
        <g
          key={spot.id}
          className={styles.spot}
          data-kind={spot.kind}
          data-up={spot.up || undefined}
          transform={`translate(${spot.x} ${spot.y})`}
        >
          {spot.kind === 'tracker' ? (
            <rect x="-19" y="-19" width="38" height="38" rx="10" />
          ) : (
            <circle r={spot.kind === 'me' ? 27 : 21} />
          )}
          <text className={styles.letter} y="5">
            {spot.kind === 'tracker' ? 'T' : ([...spot.name][0] ?? '?').toUpperCase()}
          </text>
          <text className={styles.name} y={spot.kind === 'me' ? 45 : 38}>
            {spot.kind === 'me' ? 'you' : spot.kind === 'tracker' ? spot.name : showName(spot.name, status.handle)}
          </text>
        </g>
      ))}
    </svg>
  );
}

function layOut(spots: readonly Spot[], before: readonly Placed[]): Placed[] {
  const old = new Map(before.map((place) => [place.id, place]));
  const nodes = spots.map((spot, index) => {
    const angle = index * GOLDEN;
    const fresh = { x: 150 * Math.cos(angle), y: 150 * Math.sin(angle) };
    const { x, y } = old.get(spot.id) ?? fresh;
    return spot.kind === 'me' ? { ...spot, x: 0, y: 0, fx: 0, fy: 0 } : { ...spot, x, y };
  });
  const [middle] = nodes;
  if (!middle) return [];
  forceSimulation(nodes)
    .force('apart', forceManyBody().strength(-700))
    .force(
      'lines',
      forceLink(nodes.slice(1).map((node) => ({ source: middle, target: node })))
        .distance(160)
        .strength(0.6),
    )
    .force('bodies', forceCollide(44))
    .force('middle', forceCenter(0, 0).strength(0.05))
    .stop()
    .tick(STEPS);
  const reach = Math.max(HALF, ...nodes.map(({ x, y }) => Math.max(Math.abs(x), Math.abs(y)) + 60));
  return nodes.map(({ fx: _fx, fy: _fy, ...node }: (typeof nodes)[number] & { fx?: number; fy?: number }) => ({
    ...node,
    x: (node.x * HALF) / reach,
    y: (node.y * HALF) / reach,
  }));
}

/** Bytes a second of files from and to each person: they have connections of their own, beside the link. */
function fileRates(files: readonly FileInfo[]): ReadonlyMap<string, { came: number; went: number }> {
  const rates = new Map<string, { came: number; went: number }>();
  for (const { state, direction, links } of files) {
    if (state !== 'fetching' && state !== 'serving') continue;
    for (const { handle, rate } of links) {
      if (handle === null) continue;
      const { came, went } = rates.get(handle) ?? { came: 0, went: 0 };
      rates.set(handle, direction === 'in' ? { came: came + rate, went } : { came, went: went + rate });
    }
  }
  return rates;
}

/** Bytes a second over each link, from its counters. */
function useRates(links: readonly LinkInfo[]): ReadonlyMap<string, number> {
  const [rates, setRates] = useState<ReadonlyMap<string, number>>(new Map());
  const before = useRef<{ at: number; bytes: Map<string, number> } | undefined>(undefined);
  useEffect(() => {
    const at = performance.now();
    const bytes = new Map(links.map((link) => [link.peer, link.sentBytes + link.receivedBytes]));
    const last = before.current;
    if (last) {
      const seconds = Math.max(0.2, (at - last.at) / 1000);
      setRates(
        new Map([...bytes].map(([peer, now]) => [peer, Math.max(0, now - (last.bytes.get(peer) ?? now)) / seconds])),
      );
    }
    before.current = { at, bytes };
  }, [links]);
  return rates;
}

const wordsOf = (spots: readonly Spot[]): string =>
  spots.length <= 1
    ? 'You, linked to nobody'
    : `You, ${spots
        .slice(1)
        .map(({ name, up, rung }) => (up ? `linked to ${name} (${rung})` : `not linked to ${name}`))
        .join(', ')}`;
