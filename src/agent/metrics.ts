/** A running node in numbers, in the form that Prometheus reads. Loaded when somebody asks. */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { Backend } from '../api/backend.ts';

/** Memory, time, and how late the event loop is; one for all that runs in the process. */
let ofProcess: Registry | undefined;

export async function metricsOf(backend: Backend): Promise<{ type: string; body: string }> {
  if (!ofProcess) {
    ofProcess = new Registry();
    collectDefaultMetrics({ register: ofProcess });
  }
  const { trackers, links, queue, since } = await backend.status();
  const registry = new Registry();
  const gauge = (name: string, help: string, value: number): void =>
    new Gauge({ name, help, registers: [registry] }).set(value);
  const byState = new Gauge({
    name: 'netapp_node_trackers',
    help: 'Trackers of this node, by the state of the link.',
    labelNames: ['state'],
    registers: [registry],
  });
  for (const state of ['up', 'connecting', 'down'] as const) {
    byState.set({ state }, trackers.filter((tracker) => tracker.state === state).length);
  }
  gauge('netapp_node_refused', 'Trackers that do not take this node’s record.', trackers.filter(isRefused).length);
  gauge('netapp_node_links', 'Links to other people’s nodes.', links);
  gauge('netapp_node_queue_messages', 'Entries without a receipt yet.', queue.messages);
  gauge('netapp_node_queue_files', 'Transfers accepted or moving.', queue.files);
  gauge('netapp_node_start_time_seconds', 'When the node was started, in Unix seconds.', Date.parse(since) / 1000);
  new Counter({ name: 'netapp_node_events_total', help: 'Events of this home, ever.', registers: [registry] }).inc(
    backend.events.last(),
  );
  const all = Registry.merge([registry, ofProcess]);
  return { type: all.contentType, body: await all.metrics() };
}

const isRefused = ({ state, code }: { state: string; code: string | null }): boolean => state === 'up' && code !== null;
