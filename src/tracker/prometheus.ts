/** A tracker's numbers in the form that Prometheus reads. Labels have few values, none of which a stranger chooses. */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { Metrics } from './metrics.ts';

/** Methods by which a node says that it is there, and by which others look for it. */
const ANNOUNCES: Record<string, string> = { 'directory.announce': 'announce', 'directory.renew': 'renew' };
const LOOKUPS: Record<string, string> = {
  'directory.find': 'find',
  'directory.list': 'list',
  'directory.watch': 'watch',
};

/** The process: memory, time, garbage, how late its event loop is. One for all that runs in it. */
let ofProcess: Registry | undefined;

/** A registry that shows what `metrics` counts and looks at, and the process. */
export function shown(metrics: Metrics): Registry {
  const registry = new Registry();
  describe(registry, metrics);
  if (!ofProcess) {
    ofProcess = new Registry();
    collectDefaultMetrics({ register: ofProcess });
  }
  return Registry.merge([registry, ofProcess]);
}

function describe(registry: Registry, metrics: Metrics): void {
  const { looked } = metrics;
  const registers = [registry];
  const gauge = (name: string, help: string, look: () => number): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(look());
      },
    });
  };
  type Row = [labels: Record<string, string>, value: number];
  const counter = (name: string, help: string, labelNames: string[], rows: () => Row[]): void => {
    new Counter({
      name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset();
        for (const [labels, value] of rows()) this.inc(labels, value);
      },
    });
  };
  const byOutcome = (names: Record<string, string>) => (): Row[] =>
    [...metrics.requests].flatMap(([method, outcomes]) => {
      const kind = names[method];
      return kind ? [...outcomes].map(([outcome, value]): Row => [{ kind, outcome }, value]) : [];
    });

  new Gauge({
    name: 'netapp_tracker_links',
    help: 'Links that stand, by the role of the other side.',
    labelNames: ['role'],
    registers,
    collect() {
      const open = [...looked.links()].filter((link) => link.open);
      const trackers = open.filter((link) => link.remote.role === 'tracker').length;
      this.set({ role: 'tracker' }, trackers);
      this.set({ role: 'node' }, open.length - trackers);
    },
  });
  gauge('netapp_tracker_accounts', 'Accounts on the list.', () => looked.accounts().known);
  gauge('netapp_tracker_online', 'Accounts that are online.', () => looked.accounts().online);
  gauge('netapp_tracker_handles', 'Handles that are bound, revoked and renamed ones included.', looked.handles);
  gauge('netapp_tracker_watchers', 'Links to which changes are pushed.', looked.watchers);
  gauge(
    'netapp_tracker_dial_backs_waiting',
    'Addresses that are being dialled back, or wait for it.',
    looked.dialBacks,
  );
  gauge('netapp_tracker_unsent_bytes', 'Bytes that wait for slow readers, over all links.', () =>
    [...looked.links()].reduce((sum, link) => sum + link.unsentBytes, 0),
  );
  gauge('netapp_tracker_mail_letters', 'Letters that are held.', () => looked.mail()?.letters ?? 0);
  gauge('netapp_tracker_mail_bytes', 'Bytes of letters that are held.', () => looked.mail()?.bytes ?? 0);
  new Gauge({
    name: 'netapp_tracker_ready',
    help: '1 while it takes new links and can write to its store.',
    registers,
    async collect() {
      this.set((await looked.ready()) ? 1 : 0);
    },
  });
  new Gauge({
    name: 'netapp_tracker_zone',
    help: '1 for each zone that it serves, with whom the zone takes in.',
    labelNames: ['zone', 'policy'],
    registers,
    collect() {
      this.reset();
      for (const { zone, policy } of looked.zones()) this.set({ zone, policy }, 1);
    },
  });
  counter(
    'netapp_tracker_requests_total',
    'Requests on links that were answered, by method and fault code.',
    ['method', 'outcome'],
    () => rowsOf(metrics.requests, 'method', 'outcome'),
  );
  counter(
    'netapp_tracker_announces_total',
    'Announces and renewals, by fault code.',
    ['kind', 'outcome'],
    byOutcome(ANNOUNCES),
  );
  counter('netapp_tracker_lookups_total', 'Lookups on links, by fault code.', ['kind', 'outcome'], byOutcome(LOOKUPS));
  counter(
    'netapp_tracker_zone_lookups_total',
    'Lookups across zones: answers to others, and walks for them, by what came of it.',
    ['kind', 'outcome'],
    () => rowsOf(metrics.zones, 'kind', 'outcome'),
  );
  counter('netapp_tracker_http_requests_total', 'Plain HTTP requests, by route and status.', ['route', 'status'], () =>
    rowsOf(metrics.http, 'route', 'status'),
  );
  gauge('netapp_tracker_relay_pairs', 'Pairs of nodes between which bytes are passed on.', () => looked.relay().pairs);
  gauge('netapp_tracker_relay_waiting', 'Nodes that came to meet another one, and wait.', () => looked.relay().waiting);
  counter('netapp_tracker_relay_bytes_total', 'Bytes that were passed on, both ways.', [], () => [
    [{}, looked.relay().bytes],
  ]);
  counter(
    'netapp_tracker_relay_total',
    'Relays asked for, nodes that came to meet, and pairs that ended, by fault code.',
    ['what', 'outcome'],
    () =>
      [...looked.relay().outcomes].map(([key, value]): Row => {
        const [what = '', outcome = ''] = key.split(' ');
        return [{ what, outcome }, value];
      }),
  );
  counter('netapp_tracker_refused_total', 'What the limits refused, by limit.', ['limit'], () =>
    Object.entries(metrics.refused).map(([limit, value]): Row => [{ limit }, value]),
  );
}

function rowsOf(map: Metrics['requests'], first: string, second: string): [Record<string, string>, number][] {
  return [...map].flatMap(([a, inner]) =>
    [...inner].map(([b, value]): [Record<string, string>, number] => [{ [first]: a, [second]: b }, value]),
  );
}
