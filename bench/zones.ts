/** What it costs to find somebody four zones away by one's tracker, and by oneself: with nothing known, with the way known, and with the answer known. */
import { parseInvite } from '../src/directory/invite.ts';
import type { Tracker } from '../src/tracker/tracker.ts';
import { TestNet, until } from '../test/testnet.ts';
import { median, type Row } from './run.ts';

/** The asker's zone, the two above it, and the one of who is looked for. */
const ZONES = ['r', 'x.r', 'lab.x.r', 'y.r'];

export const zonesRow: Row = {
  name: 'zones',
  async run({ runs, size }) {
    const lookups = (size ?? 2) * 100;
    const columns: Record<string, number[]> = {};
    for (let run = 0; run < runs; run++) {
      for (const [name, times] of Object.entries({
        cold: { answerMs: 0, unknownMs: 0, referralMs: 0 },
        'way known': { answerMs: 0, unknownMs: 0, referralMs: 300_000 },
        cached: { answerMs: 60_000, unknownMs: 0, referralMs: 300_000 },
      })) {
        const measured = await measure(times, lookups);
        for (const [mode, ms] of Object.entries(measured)) {
          const column = columns[`${mode}, ${name}, ms`] ?? [];
          columns[`${mode}, ${name}, ms`] = [...column, ms];
        }
      }
    }
    return {
      what: `4 zones, ${lookups} lookups one after another, ${runs} runs; all in one process over TLS on loopback`,
      columns,
      ratios: { 'recursive: cold / cached': ['recursive, cold, ms', 'recursive, cached, ms'] },
    };
  },
};

async function measure(
  zoneTimes: { answerMs: number; unknownMs: number; referralMs: number },
  lookups: number,
): Promise<{ recursive: number; iterative: number }> {
  await using net = await TestNet.create();
  const trackers = new Map<string, Tracker>();
  for (const zone of ZONES) {
    const above = trackers.get(zone.slice(zone.indexOf('.') + 1));
    const parents = above ? [parseInvite(above.invite)] : [];
    const tracker = await net.tracker({ name: zone, zone, parents, zoneTimes });
    above?.zoning.zones.delegate(zone, { peer: tracker.peer, addresses: [...tracker.addresses] });
    if (above) {
      await until(
        () => tracker.zoning.zones.apex(zone).parent,
        (parent) => parent !== null,
      );
    }
    trackers.set(zone, tracker);
  }
  const asker = await net.member('asker', trackers.get('lab.x.r'));
  await net.member('sought', trackers.get('y.r'));
  const took = async (mode: 'recursive' | 'iterative'): Promise<number> => {
    const all: number[] = [];
    for (let n = 0; n < lookups; n++) {
      const began = performance.now();
      await asker.node.directory.trace('sought@y.r', { mode });
      all.push(performance.now() - began);
    }
    return median(all);
  };
  return { recursive: await took('recursive'), iterative: await took('iterative') };
}
