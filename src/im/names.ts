/** What users are called at this door: handles of the zone without it, as their users spell them; others' whole. [P-38] */
import { Fault } from '../base/fault.ts';

const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/;

/** A name in small letters. Throws `invalid_argument`. */
export function userName(text: string): string {
  const name = text.trim().toLowerCase();
  if (NAME.test(name)) return name;
  throw new Fault(
    'invalid_argument',
    `"${text.slice(0, 100)}" cannot be a username: take 1 to 64 letters a to z, digits, ".", "_" or "-"`,
  );
}

export class Names {
  readonly #zone: string;
  readonly #spellings: Map<string, string>;

  /** `spellings`: by name in small letters. */
  constructor(zone: string, spellings: Map<string, string>) {
    this.#zone = zone;
    this.#spellings = spellings;
  }

  /** From now on a name is shown so. */
  spell(name: string, spelling: string): void {
    this.#spellings.set(name, spelling);
  }

  spelling(name: string): string | undefined {
    return this.#spellings.get(name);
  }

  /** Of a handle, or of anything else that stands for somebody. */
  show(handle: string): string {
    const end = `@${this.#zone}`;
    if (!handle.endsWith(end)) return handle;
    const name = handle.slice(0, -end.length);
    return this.#spellings.get(name) ?? name;
  }

  /** `BOB`, `bob` or `bob@lab` as a name and how it was spelt. Throws `invalid_argument`. */
  own(text: string): { name: string; spelling: string } {
    const end = `@${this.#zone}`;
    const trimmed = text.trim();
    const spelling = trimmed.toLowerCase().endsWith(end) ? trimmed.slice(0, -end.length) : trimmed;
    return { name: userName(spelling), spelling };
  }

  /** The handle that a username of INVITE means; undefined where none can be called so. */
  handle(text: string): string | undefined {
    const trimmed = text.trim().toLowerCase();
    if (NAME.test(trimmed)) return `${trimmed}@${this.#zone}`;
    const [name = '', zone = ''] = trimmed.split('@');
    return NAME.test(name) && zone !== '' && trimmed.split('@').length === 2 ? trimmed : undefined;
  }
}
