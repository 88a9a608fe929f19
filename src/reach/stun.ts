/** The little of STUN that tells where a packet came from: Binding requests and their answers (RFC 8489). */
import { isIPv6 } from 'node:net';
import type { Address } from '../link/address.ts';

const HEADER_BYTES = 20;
const COOKIE = 0x21_12_a4_42;
const BINDING_REQUEST = 0x00_01;
const BINDING_ANSWER = 0x01_01;
const BINDING_REFUSAL = 0x01_11;

const XOR_MAPPED_ADDRESS = 0x00_20;
const ERROR_CODE = 0x00_09;
const UNKNOWN_ATTRIBUTES = 0x00_0a;
/** RFC 5780, sections 7.6 and 7.4: makes a request as large as its answer, and says where else one may ask. */
const PADDING = 0x00_26;
const OTHER_ADDRESS = 0x80_2c;

/** Attributes below this number must be understood (RFC 8489, section 14). */
const OPTIONAL = 0x80_00;
/** Understood, or of no meaning without credentials: USERNAME, MESSAGE-INTEGRITY, PRIORITY, USE-CANDIDATE, PADDING. */
const KNOWN: ReadonlySet<number> = new Set([0x00_06, 0x00_08, 0x00_1c, 0x00_24, 0x00_25, PADDING]);
/** Bytes of padding with which a request is as large as any answer. */
const PADDING_BYTES = 64;
/** A request that is larger is none: nothing in it would be of use. */
const MOST_BYTES = 548;

export type StunRequest = { id: Buffer; bytes: number; unknown: number[] };
export type StunAnswer = { id: Buffer; mapped: Address; other: Address | undefined };

type Attribute = { type: number; value: Buffer };

/** A Binding request with this id of 12 bytes. */
export function writeRequest(id: Buffer): Buffer {
  return write(BINDING_REQUEST, id, [{ type: PADDING, value: Buffer.alloc(PADDING_BYTES) }]);
}

/** Undefined for all that is no Binding request. */
export function readRequest(bytes: Buffer): StunRequest | undefined {
  const found = bytes.length <= MOST_BYTES ? read(bytes) : undefined;
  if (found?.type !== BINDING_REQUEST) return undefined;
  const unknown = found.attributes.map(({ type }) => type).filter((type) => type < OPTIONAL && !KNOWN.has(type));
  return { id: found.id, bytes: bytes.length, unknown };
}

/** What answers the request. Where else one may ask is said only in an answer that is no larger than the request. [N-44] */
export function writeAnswer({ id, bytes, unknown }: StunRequest, from: Address, other: Address | undefined): Buffer {
  if (unknown.length > 0) {
    const value = Buffer.alloc(4);
    for (const [at, type] of unknown.slice(0, 2).entries()) value.writeUInt16BE(type, at * 2);
    return write(BINDING_REFUSAL, id, [
      { type: ERROR_CODE, value: Buffer.from([0, 0, 4, 20]) },
      { type: UNKNOWN_ATTRIBUTES, value: value.subarray(0, Math.min(unknown.length, 2) * 2) },
    ]);
  }
  const mapped = { type: XOR_MAPPED_ADDRESS, value: xor(writeAddress(from), id) };
  const answer = write(BINDING_ANSWER, id, [mapped]);
  if (!other) return answer;
  const whole = write(BINDING_ANSWER, id, [mapped, { type: OTHER_ADDRESS, value: writeAddress(other) }]);
  return whole.length <= bytes ? whole : answer;
}

/** Undefined for all that is no answer with an address in it. */
export function readAnswer(bytes: Buffer): StunAnswer | undefined {
  const found = read(bytes);
  if (found?.type !== BINDING_ANSWER) return undefined;
  const attribute = (wanted: number): Buffer | undefined => found.attributes.find(({ type }) => type === wanted)?.value;
  const hidden = attribute(XOR_MAPPED_ADDRESS);
  const mapped = hidden && readAddress(xor(hidden, found.id));
  const other = attribute(OTHER_ADDRESS);
  return mapped && { id: found.id, mapped, other: other && readAddress(other) };
}

function write(type: number, id: Buffer, attributes: readonly Attribute[]): Buffer {
  const parts = attributes.map(({ type, value }) => {
    const part = Buffer.alloc(4 + Math.ceil(value.length / 4) * 4);
    part.writeUInt16BE(type, 0);
    part.writeUInt16BE(value.length, 2);
    value.copy(part, 4);
    return part;
  });
  const body = Buffer.concat(parts);
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt16BE(type, 0);
  header.writeUInt16BE(body.length, 2);
  header.writeUInt32BE(COOKIE, 4);
  id.copy(header, 8);
  return Buffer.concat([header, body]);
}

function read(bytes: Buffer): { type: number; id: Buffer; attributes: Attribute[] } | undefined {
  if (bytes.length < HEADER_BYTES || bytes.readUInt32BE(4) !== COOKIE) return undefined;
  if (bytes.readUInt16BE(2) !== bytes.length - HEADER_BYTES || bytes.length % 4 !== 0) return undefined;
  const attributes: Attribute[] = [];
  for (let at = HEADER_BYTES; at < bytes.length; ) {
    const length = bytes.readUInt16BE(at + 2);
    const value = bytes.subarray(at + 4, at + 4 + length);
    if (value.length !== length) return undefined;
    attributes.push({ type: bytes.readUInt16BE(at), value });
    at += 4 + Math.ceil(length / 4) * 4;
  }
  return { type: bytes.readUInt16BE(0), id: bytes.subarray(8, HEADER_BYTES), attributes };
}

function writeAddress({ host, port }: Address): Buffer {
  const six = isIPv6(host);
  const value = Buffer.alloc(six ? 20 : 8);
  value.writeUInt8(six ? 2 : 1, 1);
  value.writeUInt16BE(port, 2);
  (six ? sixOf(host) : Buffer.from(host.split('.').map(Number))).copy(value, 4);
  return value;
}

function readAddress(value: Buffer): Address | undefined {
  const six = value[1] === 2;
  if (value.length !== (six ? 20 : 8)) return undefined;
  const port = value.readUInt16BE(2);
  if (!six) return { host: value.subarray(4).join('.'), port };
  const groups = Array.from({ length: 8 }, (_, n) => value.readUInt16BE(4 + n * 2).toString(16));
  return { host: new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1), port };
}

/** The 16 bytes of an IPv6 address, in whichever way it is written. */
function sixOf(host: string): Buffer {
  const plain = new URL(`http://[${host.replace(/%.*$/, '')}]`).hostname.slice(1, -1);
  const [head = '', tail] = plain.split('::');
  const groups = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
  const [left, right] = [groups(head), groups(tail ?? '')];
  const value = Buffer.alloc(16);
  const all = [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right];
  for (const [at, group] of all.entries()) value.writeUInt16BE(group, at * 2);
  return value;
}

/** RFC 8489, section 14.2: port and address are mixed with the cookie and the id, so that no NAT rewrites them. */
function xor(address: Buffer, id: Buffer): Buffer {
  const mask = Buffer.concat([Buffer.from([0, 0, 0x21, 0x12, 0x21, 0x12, 0xa4, 0x42]), id]);
  return Buffer.from(address.map((byte, at) => byte ^ (mask[at] ?? 0)));
}
