/** Who administers the zones of a tracker: the accounts that its operator named. */
import { Fault } from '../base/fault.ts';
import { needsAccount, type Precondition } from '../link/router.ts';

export class Admins {
  #named: ReadonlySet<string>;

  constructor(accounts: Iterable<string> = []) {
    this.#named = new Set(accounts);
  }

  has(account: string): boolean {
    return this.#named.has(account);
  }

  /** These and no others from now on: links that stand are asked anew with each request. */
  replace(accounts: Iterable<string>): void {
    this.#named = new Set(accounts);
  }
}

/** The link must speak for an account that administers this tracker's zones. */
export function needsAdmin(admins: Admins): Precondition {
  return (link) => {
    needsAccount(link);
    const account = link.account?.account ?? '';
    if (admins.has(account)) return;
    throw new Fault(
      'forbidden',
      `administering: the account "${account}" is no admin of this tracker; its operator names admins with "netapp tracker --admin ACCOUNT"`,
    );
  };
}
