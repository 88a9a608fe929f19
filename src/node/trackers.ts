/** The trackers of a running node: joined and left while it runs, and kept for its next start. */

import { Fault } from '../base/fault.ts';
import type { DirectoryClient } from '../directory/client.ts';
import { type ChosenTracker, formatChosen, parseInvite, splitTier } from '../directory/invite.ts';
import { readConfig, writeConfig } from './home.ts';

type Wait = { signal?: AbortSignal | undefined };

/** The tracker that runs in the node's own process. */
export type InsideTracker = { peer: string; end(): Promise<void> };

export class TrackerDesk {
  readonly #home: string;
  readonly #directory: DirectoryClient;
  #inside: InsideTracker | undefined;
  #isBusy = false;

  constructor(options: { home: string; directory: DirectoryClient; inside: InsideTracker | undefined }) {
    this.#home = options.home;
    this.#directory = options.directory;
    this.#inside = options.inside;
  }

  /** Whether the node's tracker still is the one in its own process. */
  get hasInside(): boolean {
    return this.#inside !== undefined;
  }

  /** As the configuration names them: none where the tracker inside is used, which each start makes anew. */
  get kept(): string[] {
    return this.#inside ? [] : this.#directory.chosen.map(formatChosen);
  }

  /**
   * `invite`: a link, `2:` before it for the second tier. `name`: what the account is called there; default: as now. `instead`: in
   * place of all others. Throws `bad_invite`, `wrong_state` where it cannot be beside what there is, and what `DirectoryClient.join` does.
   */
  async join(
    invite: string,
    { name, instead = false, signal }: Wait & { name?: string | undefined; instead?: boolean | undefined },
  ): Promise<void> {
    const { tier, text } = splitTier(invite);
    const chosen: ChosenTracker = { tier, ...parseInvite(text) };
    const [now = '', zone = ''] = this.#directory.handle.split('@');
    const handle = `${name ?? now}@${chosen.zone}`;
    if (!instead) this.#mayStandBeside(chosen, handle, zone);
    await this.#alone(async () => {
      await this.#directory.join(chosen, { handle, instead, signal });
      const inside = this.#inside;
      this.#inside = undefined;
      await this.#keep();
      await inside?.end();
    });
  }

  #mayStandBeside(chosen: ChosenTracker, handle: string, zone: string): void {
    const what = `joining the tracker of "${chosen.zone}"`;
    if (this.#inside) {
      throw new Fault(
        'wrong_state',
        `${what}: this node runs a tracker of its own, which ends when it goes elsewhere, and whoever joined there must follow; say --instead to go`,
      );
    }
    if (handle !== this.#directory.handle) {
      throw new Fault(
        'wrong_state',
        `${what} as "${handle}": this node is "${this.#directory.handle}", and is known by one handle, in "${zone}"; say --instead to go there and leave the trackers of now`,
      );
    }
  }

  /** Throws `unknown_id`, `wrong_state` for the only one. */
  async leave(peer: string): Promise<void> {
    await this.#alone(async () => {
      await this.#directory.leave(peer);
      await this.#keep();
    });
  }

  async #keep(): Promise<void> {
    const [name = ''] = this.#directory.handle.split('@');
    await writeConfig(this.#home, { ...(await readConfig(this.#home)), name, trackers: this.kept });
  }

  async #alone(work: () => Promise<void>): Promise<void> {
    if (this.#isBusy) throw new Fault('too_many', 'changing the trackers: another change of them is under way');
    this.#isBusy = true;
    try {
      await work();
    } finally {
      this.#isBusy = false;
    }
  }
}
