/** Every operation of an agent. The doors follow from this object. */
import type { ContractRouterClient } from '@orpc/contract';
import * as events from './events.ts';
import * as files from './files.ts';
import * as links from './links.ts';
import { follow, list, say, show } from './messages.ts';
import * as people from './people.ts';
import * as status from './status.ts';

export const contract = {
  status: { ...status },
  people: { ...people },
  messages: { say, list, show, follow },
  files: { ...files },
  links: { ...links },
  events: { ...events },
};

export type Contract = typeof contract;

/** The operations as functions: what every client, local or remote, offers. Each throws a `Fault`. */
export type Client = ContractRouterClient<Contract>;
