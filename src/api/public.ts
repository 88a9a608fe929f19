/** What `netapp/client` gives to programs: the operations as typed functions, events without gaps, and checks of webhooks. */
export { FAULTS, Fault, type FaultCode, isFaultCode } from '../base/fault.ts';
export { type AgentAddress, type Client, createClient } from './client.ts';
export { followEvents } from './resume.ts';
export type {
  AgentEvent,
  BackupInfo,
  BrowserSession,
  Conversation,
  DeadLetter,
  FileInfo,
  Found,
  Heard,
  InviteInfo,
  LinkInfo,
  Message,
  MessageInFull,
  Person,
  Presence,
  Replayed,
  Role,
  Room,
  Safety,
  SessionLink,
  Status,
  Token,
  TokenMade,
  Webhook,
  WebhookMade,
  WebhookTested,
} from './shapes.ts';
export { type Delivered, verifyWebhook } from './webhook-check.ts';
