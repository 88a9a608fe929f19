/** What failures of NATS mean. */
import { JetStreamApiError } from '@nats-io/jetstream';
import { Fault } from '../../base/fault.ts';

/** JetStream's error code for machines of a cluster that have yet to find each other, or are too few (JSClusterNoPeersErr). */
const NO_PEERS = 10_005;

/** JetStream's own number of an error; undefined for what is none of its. */
export function apiCodeOf(error: unknown): number | undefined {
  return error instanceof JetStreamApiError ? error.apiError().err_code : undefined;
}

/** Whether the same may be asked again: nobody answered, or who did has no leader or no room now. */
export function isTransient(error: unknown): boolean {
  if (error instanceof Fault) return error.retry;
  if (error instanceof JetStreamApiError) return error.apiError().code >= 500 || apiCodeOf(error) === NO_PEERS;
  return !(error instanceof Error && error.name === 'InvalidArgumentError');
}
