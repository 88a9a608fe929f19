/** The user's word to their tracker about zones: to whom those below are given. For its admins. [Z-7] */
import type { DirectoryClient } from '../directory/client.ts';
import { parseZone } from '../directory/handle.ts';
import { parseInvite } from '../directory/invite.ts';
import { delegate, list, revoke, type ZoneLine } from '../directory/zone-messages.ts';

type Wait = { signal?: AbortSignal | undefined };

/** Pages of one list: a tracker that goes on after that lies. */
const MOST_PAGES = 200;

export class ZoneDesk {
  readonly #directory: DirectoryClient;

  constructor(directory: DirectoryClient) {
    this.#directory = directory;
  }

  /** `to`: an invite link. Throws `bad_invite`, `forbidden`, `unknown_zone`, `exists`, `too_many`, `tracker_down`. */
  async delegate(zone: string, to: string, wait: Wait): Promise<ZoneLine> {
    const { peer, addresses } = parseInvite(to);
    const name = parseZone(zone);
    return await this.#directory.administer(delegate, { zone: name, to: { peer, addresses } }, name, wait);
  }

  async list(wait: Wait): Promise<ZoneLine[]> {
    const zones: ZoneLine[] = [];
    let after: string | undefined;
    for (let page = 0; page < MOST_PAGES; page++) {
      const said = await this.#directory.administer(list, { ...(after !== undefined && { after }) }, undefined, wait);
      zones.push(...said.zones);
      if (said.next === null) break;
      after = said.next;
    }
    return zones;
  }

  /** Throws `invalid_argument`, `wrong_state`. */
  acceptKey(zone: string, key: string): { zone: string; key: string; before: string | null } {
    const name = parseZone(zone);
    return { zone: name, key, before: this.#directory.acceptZoneKey(name, key) };
  }

  async revoke(zone: string, { peer, ...wait }: Wait & { peer?: string | undefined }): Promise<ZoneLine> {
    const name = parseZone(zone);
    return await this.#directory.administer(revoke, { zone: name, ...(peer !== undefined && { peer }) }, name, wait);
  }
}
