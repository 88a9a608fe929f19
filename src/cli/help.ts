/** Help: commands in groups, exit codes, and one page per command. */
import type { Command } from 'trpc-cli';
import { FAULTS } from '../base/fault.ts';

const SUCCESS = 'it was done';
export const INTERRUPTED = 130;

/** The nouns, as groups of commands, in the order in which a newcomer meets them; `about` heads a noun's own page. */
export const GROUPS: Readonly<Record<string, { title: string; about: string }>> = {
  process: { title: 'Run', about: '' },
  im: {
    title: 'Classic IM',
    about: 'The door for clients of the classic instant-messaging protocol. "netapp im" opens it.',
  },
  status: { title: 'Me', about: '' },
  people: { title: 'People', about: 'Who is there, how they are, and what I allow whom.' },
  messages: { title: 'Messages', about: 'Messages, with what is proven about their delivery. "netapp say" sends one.' },
  rooms: {
    title: 'Rooms',
    about: 'Conversations of many. "netapp say #NAME TEXT" writes to one; shells want \'#NAME\' in quotes.',
  },
  conversations: {
    title: 'Conversations',
    about: 'Conversations: what is unread in them, and all that was said, as a file.',
  },
  files: { title: 'Files', about: 'Files and folders: offered by one, fetched by the other, verified.' },
  jobs: { title: 'Jobs', about: 'What the agent carries out in the background: now, later, or again and again.' },
  zones: { title: 'Zones', about: 'To whom zones below are given, and whom a zone takes in. For its admins.' },
  handles: { title: 'Handles', about: 'The names of a zone: listed, revoked, renamed. For its admins.' },
  links: { title: 'Links', about: 'Direct connections to other nodes and to trackers.' },
  network: {
    title: 'Network',
    about: 'How this machine is reached, and by which ways others are. In words: "netapp doctor".',
  },
  events: { title: 'Events', about: 'All that happens, in order, with cursors to resume from.' },
  webhooks: {
    title: 'Webhooks',
    about: 'Events, posted to a program’s own address: signed, in order, until they are taken.',
  },
  tokens: { title: 'Tokens', about: 'Keys for programs at the HTTP door, limited in what they open and for how long.' },
  sessions: { title: 'Browser', about: 'Sessions of browsers. "netapp open" opens one.' },
  backup: { title: 'Backup', about: '' },
  textbook: { title: 'Textbook names', about: '' },
  help: { title: 'Help', about: '' },
};

/** The parser's own command type, as its tree has it. */
export type AnyCommand = Command['commands'][number];

export type Entry = { words: string; summary: string; group: string };

export function rootHelp(
  entries: readonly Entry[],
  options: readonly { flags: string; description: string }[],
): string {
  const width = Math.max(...entries.map(({ words }) => words.length), ...options.map(({ flags }) => flags.length));
  const row = (name: string, about: string) => `  ${name.padEnd(width)}  ${about}`;
  // A noun without words of its own here stands under its name, before the last groups.
  const others = [...new Set(entries.map(({ group }) => group))].filter((group) => !Object.hasOwn(GROUPS, group));
  const order = Object.keys(GROUPS).toSpliced(-2, 0, ...others);
  const groups = order.flatMap((group) => {
    const rows = entries.filter((entry) => entry.group === group);
    const title = GROUPS[group]?.title ?? `${group.charAt(0).toUpperCase()}${group.slice(1)}`;
    return rows.length === 0 ? [] : ['', `${title}:`, ...rows.map(({ words, summary }) => row(words, summary))];
  });
  return [
    'Usage: netapp <command> [arguments] [options]',
    '',
    'Messages and files from machine to machine: truthful about delivery, resumed after any cut.',
    ...groups,
    '',
    'Options, with every command:',
    ...options.map(({ flags, description }) => row(flags, description)),
    '',
    'Each command shows its arguments and an example with --help. The exit code says what went wrong:',
    'see "netapp help exit-codes". A lone - as text reads standard input; -- ends the options.',
    '',
  ].join('\n');
}

export function exitCodesHelp(): string {
  const faults = Object.entries(FAULTS).map(([code, { exit, means, retry }]) => ({
    exit: Number(exit),
    code,
    means: retry ? `${means} (worth a retry)` : means,
  }));
  const rows = [
    ...faults,
    { exit: 0, code: '', means: SUCCESS },
    { exit: INTERRUPTED, code: '', means: 'it was interrupted with ctrl-C' },
  ].sort((a, b) => a.exit - b.exit);
  const width = Math.max(...rows.map(({ code }) => code.length));
  return [
    'Exit codes, and the code that --json shows for them:',
    '',
    ...rows.map(({ exit, code, means }) => `  ${String(exit).padStart(3)}  ${code.padEnd(width)}  ${means}`),
    '',
  ].join('\n');
}

/** Gives one command a page that is ours instead of commander's. */
export function setHelp(command: AnyCommand, page: () => string): void {
  command.configureHelp({ formatHelp: page });
}
