/** Files that are offered in a conversation: to clients that have no word for them, a line with a link. [P-39] */
import type { Hosted, HostedEvent, Hosting } from '../api/hosting.ts';
import type { Clock } from '../base/clock.ts';

export class Files {
  readonly #options: { hosting: Hosting; clock: Clock; base: () => string };

  constructor(options: { hosting: Hosting; clock: Clock; base: () => string }) {
    this.#options = options;
  }

  announce(event: Extract<HostedEvent, { type: 'message' }>): string {
    void this.#options;
    return event.text;
  }

  async textOf(_hosted: Hosted | undefined, _message: string, name: string): Promise<string> {
    return name;
  }
}
