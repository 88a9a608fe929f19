import { Button, SegmentedControl } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Ban, CircleCheck, CircleHelp, CornerDownRight, CornerLeftUp, History, TriangleAlert } from 'lucide-react';
import { useState } from 'react';
import type { PersonFound } from '../../../src/api/shapes.ts';
import { client, isObject, troubleOf } from '../agent/client.ts';
import { cleanLine } from '../words/clean.ts';
import { showSpanMs } from '../words/show.ts';
import styles from './lookup.module.css';

type Step = NonNullable<PersonFound['trace']>[number];
type Mode = 'iterative' | 'recursive';

/** A lookup by the trackers, whatever is known here; asked when it is wanted, and then as often as it is asked for. */
export const useLookup = (handle: string, mode: Mode, enabled: boolean) =>
  useQuery({
    queryKey: ['lookup', handle, mode],
    queryFn: () => client.people.find({ handle, mode, trace: true }),
    enabled,
    // It was true when it was asked: what changes since shows in the list of people.
    refetchOnMount: false,
  });

/** How somebody is found, step by step: who was asked, what each answered, and how long it took. */
export function Lookup({ handle, asked }: { handle: string; asked: boolean }) {
  const [mode, setMode] = useState<Mode>('iterative');
  const [wanted, setWanted] = useState(asked);
  const { data, error, refetch, isFetching } = useLookup(handle, mode, wanted);
  const steps = data?.trace ?? stepsOf(error);
  const most = Math.max(1, ...steps.map(({ ms }) => ms));
  return (
    <section className={styles.lookup} aria-label="How they are found">
      <header>
        <h3>How they are found</h3>
        <SegmentedControl
          size="xs"
          aria-label="Who asks the trackers of other zones"
          value={mode}
          onChange={(value) => setMode(value === 'recursive' ? value : 'iterative')}
          data={[
            { value: 'iterative', label: 'I ask each' },
            { value: 'recursive', label: 'My tracker asks' },
          ]}
        />
        <Button
          size="compact-sm"
          variant="default"
          loading={isFetching}
          onClick={() => (wanted ? void refetch() : setWanted(true))}
        >
          {wanted ? 'Look again' : 'Look now'}
        </Button>
      </header>
      {!wanted && <p>Nobody has been asked yet: what is shown is known here already.</p>}
      {error && <p role="alert">{cleanLine(troubleOf(error).message)}</p>}
      {data?.stale && <p className={styles.stale}>Their zone does not answer now: this is what it said last.</p>}
      {steps.length > 0 && (
        <ol className={styles.steps}>
          {steps.map((step, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: steps of one lookup keep their places
            <Asked key={index} step={step} most={most} />
          ))}
        </ol>
      )}
      {data && (
        <p>
          Found in {steps.length === 1 ? 'one step' : `${steps.length} steps`},{' '}
          {showSpanMs(steps.reduce((sum, { ms }) => sum + ms, 0))}. The answer is signed by the person’s own key, each
          referral by the key of the zone above.
        </p>
      )}
    </section>
  );
}

const ANSWERS: Record<Step['answer'], { Icon: typeof Ban; words: string; kind: 'good' | 'on' | 'bad' }> = {
  record: { Icon: CircleCheck, words: 'gave the signed record', kind: 'good' },
  unchanged: { Icon: CircleCheck, words: 'what is known is still so', kind: 'good' },
  referral: { Icon: CornerDownRight, words: 'refers to', kind: 'on' },
  parent: { Icon: CornerLeftUp, words: 'refers up to', kind: 'on' },
  unknown: { Icon: CircleHelp, words: 'does not know', kind: 'bad' },
  refused: { Icon: Ban, words: 'refused', kind: 'bad' },
  failed: { Icon: TriangleAlert, words: 'failed', kind: 'bad' },
};

function Asked({ step, most }: { step: Step; most: number }) {
  const { zone, server, address, how, answer, detail, code, ms, stale } = step;
  const { Icon, words, kind } = ANSWERS[answer];
  return (
    <li className={styles.step} data-kind={kind}>
      <Icon size={18} aria-hidden="true" />
      <div>
        <p>
          <strong>{cleanLine(zone)}</strong> {words}
          {detail !== '' && <bdi> {cleanLine(detail)}</bdi>}
          {code !== null && <code> {cleanLine(code)}</code>}
          {how === 'cache' && (
            <span className={styles.mark}>
              <History size={12} aria-hidden="true" /> known already
            </span>
          )}
          {stale && <span className={styles.mark}>stale</span>}
        </p>
        <small>{whereOf(how, address, server)}</small>
      </div>
      <span className={styles.time}>
        {showSpanMs(ms)}
        <span className={styles.bar} aria-hidden="true">
          {/* A meter of its own: the page's policy allows no widths that a script writes into a style. */}
          <meter min={0} max={most} value={ms} />
        </span>
      </span>
    </li>
  );
}

function whereOf(how: Step['how'], address: string | null, server: string | null): string {
  const who = server === null ? '' : ` (${server.slice(0, 8)})`;
  if (how === 'cache') return 'nobody had to be asked';
  if (how === 'dns') return 'by DNS';
  if (how === 'self') return `asked itself${who}`;
  const at = cleanLine(address ?? 'an address that is not known');
  return how === 'recursive' ? `${at}${who}, asked to ask on` : `${at}${who}`;
}

/** A lookup that fails says how far it came. */
function stepsOf(error: unknown): Step[] {
  if (error === null || error === undefined) return [];
  const { trace } = troubleOf(error).data;
  return Array.isArray(trace) ? trace.filter(isStep) : [];
}

// The agent has checked it; its data is told apart by what each step must have.
const isStep = (step: unknown): step is Step =>
  isObject(step) && typeof step.zone === 'string' && typeof step.answer === 'string' && step.answer in ANSWERS;
