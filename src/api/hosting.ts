/** Many accounts in one process, as a door needs them that serves many people at once. */
import type { Backend } from './backend.ts';
import type { Person, Presence } from './shapes.ts';

/** What a hosted account can do: it has no home of its own, so no files, jobs, webhooks, tokens and backups. */
export type HostedBackend = Pick<Backend, 'messages' | 'conversations' | 'rooms' | 'events' | 'settled'> & {
  people: Pick<Backend['people'], 'list' | 'find' | 'setStatus'>;
};

/** How somebody who is here presents themself. */
export type Present = Exclude<Presence, 'offline'>;

/** What happened to hosted accounts, told once for all of them. Account ids where nothing else is said. */
export type HostedEvent =
  | {
      type: 'message';
      id: string;
      conversation: string;
      /** Name of the room; null between two accounts. */
      room: string | null;
      /** Account, and handle, of who wrote it; a hosted one, perhaps. */
      author: string;
      from: string;
      /** `file`: the text is the file's name. */
      kind: 'text' | 'file';
      text: string;
      /** Unix ms, by the author's clock. */
      at: number;
      /**
       * Hosted accounts that have it from now on, the author among them where it is hosted. The same array for each message
       * of a conversation until its members change.
       */
      to: readonly string[];
    }
  | {
      /** A hosted account was asked into a room. */
      type: 'invited';
      conversation: string;
      room: string;
      account: string;
      /** Handle of who asked. */
      from: string;
    }
  /** A room has other members, invited ones or another standing now. `to`: hosted accounts that were or are in it. */
  | { type: 'room'; conversation: string; to: readonly string[] }
  /** Somebody came, went or changed, as the trackers list them: a hosted one, perhaps. */
  | { type: 'people'; person: Person };

/** One hosted account. */
export interface Hosted {
  readonly account: string;
  /** `name@zone`. */
  readonly handle: string;
  readonly backend: HostedBackend;
  /** Whether it is shown as present now. */
  readonly online: boolean;
  /** Answers once the trackers that are up know it. Throws what they refuse it with. */
  setOnline(status: Present, text: string): Promise<void>;
  /** To others it is away; what comes for it is taken all the same. */
  setOffline(): Promise<void>;
  /**
   * As `backend.messages.say`, for doors through which much is said: by the conversation's id, without a look at how far it
   * has come with each recipient. Answers once it survives a power cut.
   */
  say(conversation: string, text: string): Promise<{ id: string; at: number }>;
  /**
   * What a message of kind `file` offers, read from its sender while `read` is asked for more, each piece verified. Throws
   * `unknown_id`, and `wrong_state` for a folder.
   */
  file(message: string): { name: string; size: number; read(signal: AbortSignal): AsyncIterable<Buffer> };
}

/** A node that hosts many accounts. */
export interface Hosting extends AsyncDisposable {
  readonly zone: string;
  /**
   * The account of this name in the zone, made at first use; offline until `setOnline`. Throws `name_taken` where somebody
   * else owns the name, `invalid_argument` where it is none.
   */
  open(name: string): Promise<Hosted>;
  /** The hosted account with this id. */
  get(account: string): Hosted | undefined;
  /** Names that were ever opened here. */
  names(): string[];
  /** Everybody whom the trackers list, hosted ones too. */
  people(): Person[];
  /** Of them those who are not hosted here: few beside thousands who are. */
  others(): Person[];
  /** Settles when all that was said so far survives a power cut; undefined if it does already. */
  settled(): Promise<void> | undefined;
  /** Hears of everything once; slow work is the listener's to put off. The result ends it. */
  on(listener: (event: HostedEvent) => void): () => void;
}
