/** The port that the router lets others in by, or why there is none. */
import type { Status } from '../api/shapes.ts';
import { type Check, type Finding, isUp, note, ok } from './check.ts';

export const mapping: Check = {
  name: 'mapping',
  run: async ({ agent }) => (isUp(agent) ? [mapped(agent.reach.mapping)] : []),
};

const NAMES = { pcp: 'PCP', 'nat-pmp': 'NAT-PMP', upnp: 'UPnP' };
const ALLOW =
  'allow UPnP, NAT-PMP or PCP at the router, or have it pass the port on by hand; without, a hole or a relay is used';

/** [N-63] */
export function mapped({ state, by, outside, isPublic, until, gateway, error }: Status['reach']['mapping']): Finding {
  const router = gateway === null ? 'the router' : `the router at ${gateway}`;
  const why = error === null ? '' : `: ${error}`;
  switch (state) {
    case 'mapped': {
      const how = by === null ? '' : ` by ${NAMES[by]}`;
      const ends = until === null ? '' : `, renewed before ${until}`;
      const says = `${router} lets others in at ${outside}${how}${ends}`;
      if (isPublic !== false) return ok('mapping', says);
      return note('mapping', `${says}; but that is an address behind one more router`, ALLOW);
    }
    case 'asking':
      return note('mapping', `${router} is being asked to let others in${why}`);
    case 'none':
      return note('mapping', `${router} does not let others in${why}`, ALLOW);
    case 'needless':
      return ok('mapping', 'none is needed: this machine stands in no private network');
    case 'off':
      return note('mapping', 'the router is not asked to let others in: that is switched off');
  }
}
