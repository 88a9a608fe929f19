/** Every operation of an agent. The doors follow from this object. */
import type { ContractRouterClient } from '@orpc/contract';
import * as backup from './backup.ts';
import * as conversations from './conversations.ts';
import * as events from './events.ts';
import * as files from './files.ts';
import * as handles from './handles.ts';
import * as jobs from './jobs.ts';
import * as joining from './joining.ts';
import * as links from './links.ts';
import * as messages from './messages.ts';
import * as network from './network.ts';
import * as people from './people.ts';
import * as rooms from './rooms.ts';
import * as sessions from './sessions.ts';
import * as status from './status.ts';
import * as tokens from './tokens.ts';
import * as trackers from './trackers.ts';
import * as webhooks from './webhooks.ts';
import * as zones from './zones.ts';

// In the order in which help shows them: the first one is what a newcomer wants first.
export const contract = {
  status: { show: status.show, invite: status.invite, check: status.check },
  people: {
    list: people.list,
    find: people.find,
    status: people.status,
    set: people.set,
    announce: people.announce,
    verify: people.verify,
    acceptKey: people.acceptKey,
    block: people.block,
    unblock: people.unblock,
  },
  messages: {
    say: messages.say,
    list: messages.list,
    show: messages.show,
    reply: messages.reply,
    edit: messages.edit,
    delete: messages.remove,
    react: messages.react,
    read: messages.read,
    typing: messages.typing,
    search: messages.search,
    follow: messages.follow,
  },
  conversations: { list: conversations.list, export: conversations.exported },
  rooms: {
    create: rooms.create,
    list: rooms.list,
    show: rooms.show,
    invite: rooms.invite,
    join: rooms.join,
    decline: rooms.decline,
    leave: rooms.leave,
    remove: rooms.remove,
    role: rooms.setRole,
    close: rooms.close,
  },
  files: {
    send: files.send,
    stage: files.stage,
    preview: files.preview,
    list: files.list,
    show: files.show,
    get: files.get,
    accept: files.accept,
    decline: files.decline,
    cancel: files.cancel,
    follow: files.follow,
    watch: files.watch,
    pause: files.pause,
    resume: files.resume,
    priority: files.prioritize,
    limit: files.limit,
    limits: files.limits,
    autoAccept: files.autoAccept,
    quota: files.quota,
    link: files.link,
    links: files.links,
    revoke: files.revoke,
    certificate: files.certificate,
    verify: files.verify,
    gc: files.gc,
  },
  jobs: {
    create: jobs.create,
    list: jobs.list,
    show: jobs.show,
    wait: jobs.wait,
    cancel: jobs.cancel,
    retry: jobs.retry,
  },
  trackers: { join: trackers.join, leave: trackers.leave },
  zones: {
    delegate: zones.delegate,
    list: zones.list,
    revoke: zones.revoke,
    acceptKey: zones.acceptKey,
    policy: joining.policy,
    invite: joining.invite,
    uninvite: joining.uninvite,
  },
  handles: { list: handles.list, revoke: handles.revoke, rename: handles.rename, free: handles.free },
  links: { list: links.list, connect: links.connect },
  network: { check: network.check, peer: network.peer, lan: network.lan },
  events: { follow: events.follow, last: events.last },
  webhooks: {
    create: webhooks.create,
    list: webhooks.list,
    show: webhooks.show,
    delete: webhooks.remove,
    test: webhooks.test,
    dead: webhooks.dead,
    replay: webhooks.replay,
  },
  tokens: { create: tokens.create, list: tokens.list, revoke: tokens.revoke },
  sessions: { open: sessions.open, list: sessions.list, end: sessions.end },
  backup: { create: backup.create },
};

type Contract = typeof contract;

/** The operations as functions: what every client, local or remote, offers. Each throws a `Fault`. */
export type Client = ContractRouterClient<Contract>;
