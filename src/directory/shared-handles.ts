/**
 * Whose the handles of a cluster are, what its admins did to them, and whom its zones take in: decided by each process from the
 * order of one log. [K-4] [K-11] to [K-13]
 */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Logged, SharedLog } from '../base/shared-log.ts';
import { peerId } from '../link/identity.ts';
import { handle as handleForm, zone as zoneForm } from './handle.ts';
import type { HandleRow } from './handle-marks.ts';
import { invitationId } from './invitation.ts';
import { type Admission, admission, type Joining, POLICIES, type Policy } from './joining.ts';
import type { DirectoryTable } from './table.ts';

/** Times that a change is asked for anew where another one of the same handle or zone came first. */
const MOST_TRIES = 16;
const POLICY = 'policy.';
const INVITATION = 'invitation.';

const common = {
  id: z.string(),
  /** Place of the text that this one follows: where another one came between, it has no effect. */
  after: z.number().int().min(0),
  /** Unix milliseconds, by the process that wrote it. */
  at: z.number().int(),
};

/** What a text under a handle or a zone asks for. */
const act = z.discriminatedUnion('act', [
  z.object({ ...common, act: z.literal('claim'), account: peerId, admission }),
  z.object({ ...common, act: z.literal('revoke') }),
  z.object({ ...common, act: z.literal('rename'), to: handleForm }),
  z.object({ ...common, act: z.literal('free') }),
  z.object({ ...common, act: z.literal('policy'), policy: z.enum(POLICIES) }),
  z.object({ ...common, act: z.literal('take back'), until: z.number().int() }),
]);

type Act = z.infer<typeof act>;
type Wanted =
  | { act: 'claim'; account: string; admission: Admission }
  | { act: 'revoke' }
  | { act: 'rename'; to: string }
  | { act: 'free' }
  | { act: 'policy'; policy: Policy }
  | { act: 'take back'; until: number };

/** A handle of this account was revoked, or renamed. */
export type Marked = (change: { account: string; handle: string; state: 'revoked' | 'renamed' }) => void;

export class SharedHandles {
  readonly #table: DirectoryTable;
  readonly #joining: Joining | undefined;
  readonly #handles: SharedLog;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #listeners = new Set<Marked>();
  /** Place of what an admin last did to a handle or a policy, by key; what nobody touched is at 0. */
  readonly #places = new Map<string, number>();
  /** Own texts under way, with what came of each: undefined until it has had an effect. */
  readonly #asked = new Map<string, HandleRow | true | undefined>();

  constructor(options: {
    table: DirectoryTable;
    joining: Joining | undefined;
    handles: SharedLog;
    clock: Clock;
    log: Log;
  }) {
    this.#table = options.table;
    this.#joining = options.joining;
    this.#handles = options.handles;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  /** Settles when handles and policies are as the others have them. */
  start(): Promise<void> {
    return this.#handles.follow(0, (logged) => this.#apply(logged));
  }

  /** Calls `listener` wherever in the cluster an admin did it. */
  onMarked(listener: Marked): void {
    this.#listeners.add(listener);
  }

  /**
   * Of several who want it, whose claim is first in the order has it; all others are told so. Of several who bring one
   * invitation, the first in the order use it. Throws as `mayClaim` and `Joining.admission` do. [K-4] [K-12]
   */
  async claim(handle: string, account: string, invitation: string | undefined): Promise<void> {
    await this.#agree(handle, keyOf(handle), () => {
      if (!this.#table.mayClaim(handle, account)) return undefined;
      const admission = this.#joining?.admission(handle, account, invitation) ?? ANYBODY;
      return { act: 'claim', account, admission };
    });
    this.#table.mayClaim(handle, account); // throws where somebody else did something to it meanwhile
  }

  async revoke(handle: string): Promise<HandleRow> {
    return await this.#change(handle, () => {
      this.#table.handleRow(handle);
      return { act: 'revoke' };
    });
  }

  async rename(handle: string, to: string): Promise<HandleRow> {
    return await this.#change(handle, () => {
      this.#table.checkRename(handle, to);
      return { act: 'rename', to };
    });
  }

  async free(handle: string): Promise<HandleRow> {
    return await this.#change(handle, () => {
      this.#table.checkFree(handle);
      return { act: 'free' };
    });
  }

  /** Throws `wrong_state` where the operator has settled it. */
  async setPolicy(zone: string, policy: Policy): Promise<void> {
    await this.#agree(zone, POLICY + dashed(zone), () => {
      this.#joining?.checkPolicy(zone, policy);
      return { act: 'policy', policy };
    });
  }

  /** Throws `invalid_argument`. */
  async takeBack(zone: string, text: string): Promise<{ until: number }> {
    if (!this.#joining)
      throw new Fault('wrong_state', `taking back an invite into "${zone}": everybody is let in here`);
    const { id, until } = this.#joining.checkTakeBack(zone, text);
    await this.#agree(zone, INVITATION + id, () => ({ act: 'take back', until }));
    return { until };
  }

  async #change(handle: string, look: () => Wanted): Promise<HandleRow> {
    const row = await this.#agree(handle, keyOf(handle), look);
    return typeof row === 'object' ? row : this.#table.handleRow(handle);
  }

  /** Asks for what `look` wants of what is known here until it had its effect, or `look` throws or wants nothing any more. */
  async #agree(what: string, key: string, look: () => Wanted | undefined): Promise<HandleRow | true | undefined> {
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const wanted = look();
      if (!wanted) return undefined;
      const id = randomUUID();
      const text = { ...wanted, id, after: this.#places.get(key) ?? 0, at: this.#clock.now() };
      this.#asked.set(id, undefined);
      try {
        await this.#handles.append(key, JSON.stringify(text));
        const came = this.#asked.get(id);
        if (came !== undefined) return came;
      } finally {
        this.#asked.delete(id);
      }
    }
    throw new Fault('tracker_down', `changing "${what}": others of the cluster change it at the same time; try again`);
  }

  #apply({ key, text, at }: Logged): void {
    const isHandle = key.includes('/');
    const isInvitation = key.startsWith(INVITATION);
    if (text === null || !(isHandle || isInvitation || key.startsWith(POLICY))) return; // what says whose cluster this is
    try {
      const name = isHandle
        ? handleForm.parse(handleOf(key))
        : isInvitation
          ? invitationId.parse(key.slice(INVITATION.length))
          : zoneForm.parse(dotted(key.slice(POLICY.length)));
      // A claim as it was written before there were policies in the order.
      if (isHandle && !text.startsWith('{')) return this.#table.mergeBinding(name, peerId.parse(text));
      this.#applyAct(name, key, act.parse(JSON.parse(text)), at);
    } catch (error) {
      this.#log.error({ err: error, key }, 'the cluster holds something that is not of its form; it is left out');
    }
  }

  #applyAct(name: string, key: string, asked: Act, place: number): void {
    if (asked.after !== (this.#places.get(key) ?? 0)) return;
    try {
      const row = this.#effect(name, asked, place);
      if (row === undefined) return;
      if (asked.act !== 'claim') this.#places.set(key, place);
      if (this.#asked.has(asked.id)) this.#asked.set(asked.id, row);
    } catch (error) {
      // By what came before it in the order, it is not allowed: so everybody finds.
      if (!(error instanceof Fault)) throw error;
      this.#log.debug({ key, code: error.code }, 'a change of the cluster came too late');
    }
  }

  /** Undefined: it has none. Throws what would be answered were it asked now. */
  #effect(name: string, asked: Act, place: number): HandleRow | true | undefined {
    if (asked.act === 'policy') {
      this.#joining?.takePolicy(name, asked.policy);
      return true;
    }
    if (asked.act === 'take back') {
      this.#joining?.takeTakenBack(name, asked.until);
      return true;
    }
    if (asked.act === 'claim') {
      if (!this.#table.isFree(name)) return undefined;
      if (this.#joining && !this.#joining.takes(zoneOf(name), asked.admission)) return undefined;
      this.#table.mergeBinding(name, asked.account, asked.at);
      return true;
    }
    if (asked.act === 'free') return this.#table.free(name);
    const { account } = this.#table.handleRow(name);
    const row =
      asked.act === 'revoke' ? this.#table.mark(name, asked.at) : this.#table.rename(name, asked.to, asked.at);
    if (asked.act === 'rename') this.#places.set(keyOf(asked.to), place);
    const state = asked.act === 'revoke' ? 'revoked' : 'renamed';
    for (const listener of this.#listeners) listener({ account, handle: name, state });
    return row;
  }
}

const ANYBODY: Admission = { admin: false, settled: null, invitation: null };

/** Handles as keys, in which dots part and `@` may not stand. */
const dashed = (name: string): string => name.replaceAll('.', '=');
const dotted = (name: string): string => name.replaceAll('=', '.');
const keyOf = (handle: string): string => dashed(handle).replace('@', '/');
const handleOf = (key: string): string => dotted(key).replace('/', '@');
const zoneOf = (handle: string): string => handle.slice(handle.indexOf('@') + 1);
