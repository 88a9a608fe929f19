import { ActionIcon, Button, Menu, NumberInput, Popover, Progress, SegmentedControl } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useVirtualizer } from '@tanstack/react-virtual';
import { ArrowDownLeft, ArrowUpRight, EllipsisVertical, FolderDown, Gauge, ShieldCheck } from 'lucide-react';
import { useRef, useState } from 'react';
import type { FileInfo } from '../../../src/api/shapes.ts';
import { client } from '../agent/client.ts';
import { keys, useFiles } from '../agent/queries.ts';
import { attempt, useLive, useMe } from '../shell/agent.tsx';
import { addressOf } from '../shell/route.ts';
import { cleanLine } from '../words/clean.ts';
import { showName, showRate, showWhen } from '../words/show.ts';
import { Curve } from './curve.tsx';
import { FileIcon } from './file-icon.tsx';
import styles from './files-view.module.css';
import { LookAt } from './preview.tsx';
import { actsOf, isOpen, percentOf, stateOf } from './transfer.ts';

type Filter = 'all' | 'moving' | 'in' | 'out';
const FILTERS: { value: Filter; label: string }[] = [
  { value: 'all', label: 'All' },
  { value: 'moving', label: 'Under way' },
  { value: 'in', label: 'To me' },
  { value: 'out', label: 'From me' },
];

/** Pixels of a row, before it is measured. */
const ROW_PX = 84;

export default function FilesView() {
  const { data: files = [] } = useFiles();
  const [filter, setFilter] = useState<Filter>('all');
  const list = useRef<HTMLDivElement>(null);
  const shown = files
    .filter((file) => (filter === 'moving' ? isOpen(file) : filter === 'all' || file.direction === filter))
    .sort((a, b) => Number(isOpen(b)) - Number(isOpen(a)) || b.at.localeCompare(a.at));
  const virtual = useVirtualizer({
    count: shown.length,
    getScrollElement: () => list.current,
    estimateSize: () => ROW_PX,
    getItemKey: (index) => shown[index]?.id ?? index,
    overscan: 6,
  });
  const rate = (direction: 'in' | 'out') =>
    files.reduce((sum, file) => sum + (file.direction === direction && isOpen(file) ? file.rate : 0), 0);
  return (
    <div className={styles.view}>
      <header className={styles.head}>
        <h1>Files</h1>
        <span className={styles.rates}>
          <ArrowDownLeft size={16} aria-label="Coming" role="img" /> {showRate(rate('in'))}
          <ArrowUpRight size={16} aria-label="Going" role="img" /> {showRate(rate('out'))}
        </span>
        <SegmentedControl
          aria-label="Which files"
          value={filter}
          onChange={(value) => setFilter(FILTERS.find((each) => each.value === value)?.value ?? 'all')}
          data={FILTERS}
        />
        <Limits />
      </header>
      <div className={styles.list} ref={list}>
        {shown.length === 0 ? (
          <div className={styles.none}>
            <FolderDown size={56} strokeWidth={1.2} aria-hidden="true" />
            <p>{files.length === 0 ? 'No file came or went yet. Drop one into a conversation.' : 'None of these.'}</p>
          </div>
        ) : (
          <ul className={styles.rows} style={{ height: virtual.getTotalSize() }}>
            {virtual.getVirtualItems().map(({ index, start, key }) => {
              const file = shown[index];
              return (
                file && (
                  <li
                    key={key}
                    ref={virtual.measureElement}
                    data-index={index}
                    style={{ transform: `translateY(${start}px)` }}
                  >
                    <FileRow file={file} />
                  </li>
                )
              );
            })}
          </ul>
        )}
      </div>
    </div>
  );
}

function FileRow({ file }: { file: FileInfo }) {
  const live = useLive();
  const me = useMe();
  const { id, name, direction, from, to, verified, at, links, path, state, conversation } = file;
  const shown = cleanLine(name);
  const inward = direction === 'in';
  const other = inward ? from : to;
  return (
    <article className={styles.file} aria-label={shown}>
      <span className={styles.icon} data-direction={direction}>
        <FileIcon name={shown} folder={file.folder !== undefined} />
      </span>
      <div className={styles.text}>
        <bdi className={styles.name}>{shown}</bdi>
        <span className={styles.under}>
          {inward ? 'from ' : 'to '}
          <a
            href={
              conversation !== null && other.startsWith('#')
                ? addressOf('chat', conversation)
                : addressOf('chat', other)
            }
          >
            <bdi>{showName(other, me)}</bdi>
          </a>
          {verified && <ShieldCheck size={14} className={styles.verified} role="img" aria-label="whom you verified" />}
          {' · '}
          {showWhen(at)}
        </span>
        <span className={state === 'failed' ? styles.bad : styles.under}>{stateOf(file)}</span>
        {state === 'done' && inward && path !== '' && <code className={styles.path}>{cleanLine(path)}</code>}
      </div>
      <div className={styles.moving}>
        {isOpen(file) && state !== 'offered' && (
          <>
            <Progress value={percentOf(file)} animated={file.rate > 0} aria-label={`${shown}: how far it is`} />
            <Curve points={live.curves.get(id)} />
          </>
        )}
        {links.length > 0 && (
          <ul className={styles.holders}>
            {links.map((link) => (
              <li key={`${link.address} ${link.handle}`}>
                <span className={styles.rung} data-rung={link.rung}>
                  {link.rung}
                </span>
                <bdi>{link.handle === null ? 'by a link' : showName(link.handle, me)}</bdi> {showRate(link.rate)}
              </li>
            ))}
          </ul>
        )}
      </div>
      <div className={styles.acts}>
        {actsOf(file).map(({ name: act, main, run }) => (
          <Button key={act} size="compact-md" variant={main ? 'filled' : 'default'} onClick={() => attempt(run)}>
            {act}
          </Button>
        ))}
        <LookAt file={file} />
        {isOpen(file) && <More file={file} />}
      </div>
    </article>
  );
}

const RATES: readonly (readonly [name: string, rate: number | null])[] = [
  ['As fast as it goes', null],
  ['10 MB/s', 10_000_000],
  ['1 MB/s', 1_000_000],
  ['100 kB/s', 100_000],
];

function More({ file: { id, name, priority, limit } }: { file: FileInfo }) {
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <ActionIcon variant="subtle" size="lg" aria-label={`More of ${cleanLine(name)}`}>
          <EllipsisVertical size={19} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>How fast</Menu.Label>
        {RATES.map(([words, rate]) => (
          <Menu.Item key={words} onClick={() => attempt(() => client.files.limit({ id, rate }))}>
            {words}
            {limit === rate ? ' ✓' : ''}
          </Menu.Item>
        ))}
        <Menu.Label>Before or after others</Menu.Label>
        {(['high', 'normal', 'low'] as const).map((each) => (
          <Menu.Item key={each} onClick={() => attempt(() => client.files.priority({ id, priority: each }))}>
            {each === 'high' ? 'First' : each === 'low' ? 'Last' : 'In turn'}
            {each === priority ? ' ✓' : ''}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}

const MB = 1_000_000;

/** Bounds of all transfers together. */
function Limits() {
  const { data, refetch } = useQuery({ queryKey: keys.limits, queryFn: () => client.files.limits({}) });
  const set = (change: { up?: number | null; down?: number | null }) =>
    attempt(async () => {
      await client.files.limits(change);
      await refetch();
    });
  const shown = (rate: number | null | undefined): number | string =>
    rate === null || rate === undefined ? '' : rate / MB;
  const meant = (value: number | string): number | null =>
    typeof value === 'number' && value > 0 ? Math.round(value * MB) : null;
  return (
    <Popover position="bottom-end" trapFocus>
      <Popover.Target>
        <Button variant="default" leftSection={<Gauge size={17} />}>
          Limits
        </Button>
      </Popover.Target>
      <Popover.Dropdown>
        <div className={styles.limits}>
          <NumberInput
            key={`down ${data?.down}`}
            label="Down, MB/s"
            placeholder="no limit"
            min={0}
            decimalScale={3}
            defaultValue={shown(data?.down)}
            onBlur={(event) => set({ down: meant(Number(event.currentTarget.value)) })}
          />
          <NumberInput
            key={`up ${data?.up}`}
            label="Up, MB/s"
            placeholder="no limit"
            min={0}
            decimalScale={3}
            defaultValue={shown(data?.up)}
            onBlur={(event) => set({ up: meant(Number(event.currentTarget.value)) })}
          />
        </div>
      </Popover.Dropdown>
    </Popover>
  );
}
