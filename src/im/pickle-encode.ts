/** Writes pickles that every Python reads: protocol 0 for those of any age, or another one that the client used itself. [P-10] */
import type { Pickled } from './pickle.ts';

const ascii = /^[\x20-\x7e]*$/;
/** Of it, what needs no escape. */
const plain = /^[\x20-\x26\x28-\x5b\x5d-\x7e]*$/;

/** A pickle of protocol 0 behind `before`, which is ASCII like itself. */
export const pickleText = (value: Pickled, before = ''): string => `${before}${text(value)}.`;

/** A pickle of protocol 0 to 5, behind `before`, which is ASCII. */
export function pickle(value: Pickled, protocol = 0, before = ''): Buffer {
  if (protocol === 0) return Buffer.from(pickleText(value, before), 'latin1');
  const parts: (string | Buffer)[] = [before];
  if (protocol >= 2) parts.push(Buffer.of(0x80, protocol));
  writeBinary(value, (part) => parts.push(part), protocol);
  parts.push('.');
  return Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part)));
}

type Put = (part: string | Buffer) => void;

function text(value: Pickled): string {
  if (value === null) return 'N';
  if (typeof value === 'boolean') return value ? 'I01\n' : 'I00\n';
  if (typeof value === 'bigint') return `L${value}L\n`;
  if (typeof value === 'number') return numberText(value);
  if (typeof value === 'string') {
    if (plain.test(value)) return `S'${value}'\n`;
    return ascii.test(value) ? `S'${value.replaceAll(/[\\']/g, '\\$&')}'\n` : `V${escaped(value)}\n`;
  }
  if (value instanceof Uint8Array) return `S'${byteEscapes(value)}'\n`;
  let written = value instanceof Map ? '(d' : '(l';
  if (value instanceof Map) for (const [key, held] of value) written += `${text(key)}${text(held)}s`;
  else for (const item of value) written += `${text(item)}a`;
  return written;
}

const isWhole = (value: number): boolean => Number.isInteger(value) && !Object.is(value, -0);
/** INT and BININT are read as 32 bits by the oldest; more is a long. */
const isInt = (value: number): boolean => isWhole(value) && Math.abs(value) < 2 ** 31;

function numberText(value: number): string {
  if (isInt(value)) return `I${value}\n`;
  return isWhole(value) ? `L${BigInt(value)}L\n` : `F${floatText(value)}\n`;
}

const floatText = (value: number): string =>
  Number.isFinite(value)
    ? Object.is(value, -0)
      ? '-0.0'
      : String(value)
    : Number.isNaN(value)
      ? 'nan'
      : value < 0
        ? '-inf'
        : 'inf';

/** Only ASCII leaves; a backslash is an escape, too, as Python itself writes it. */
function escaped(value: string): string {
  return Array.from(value, (character) => {
    const point = character.codePointAt(0) ?? 0;
    if (point >= 0x20 && point < 0x7f && character !== '\\') return character;
    return point > 0xffff ? `\\U${point.toString(16).padStart(8, '0')}` : `\\u${point.toString(16).padStart(4, '0')}`;
  }).join('');
}

const byteEscapes = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) =>
    byte >= 0x20 && byte < 0x7f && byte !== 0x27 && byte !== 0x5c
      ? String.fromCharCode(byte)
      : `\\x${byte.toString(16).padStart(2, '0')}`,
  ).join('');

function sized(code: string, size: number, width: 1 | 2 | 4): Buffer {
  const head = Buffer.alloc(1 + width);
  head.write(code, 0, 'latin1');
  head.writeUIntLE(size, 1, width);
  return head;
}

function writeBinary(value: Pickled, put: Put, protocol: number): void {
  if (value === null) put('N');
  else if (typeof value === 'boolean') put(protocol >= 2 ? (value ? '\x88' : '\x89') : value ? 'I01\n' : 'I00\n');
  else if (typeof value === 'bigint') put(protocol >= 2 ? long(value) : `L${value}L\n`);
  else if (typeof value === 'number') {
    if (isWhole(value) && !isInt(value)) writeBinary(BigInt(value), put, protocol);
    else writeNumber(value, put);
  } else if (typeof value === 'string') writeString(value, put, protocol);
  else if (value instanceof Uint8Array) {
    const size = value.length;
    put(
      protocol >= 3
        ? sized(size < 256 ? 'C' : 'B', size, size < 256 ? 1 : 4)
        : sized(size < 256 ? 'U' : 'T', size, size < 256 ? 1 : 4),
    );
    put(Buffer.from(value));
  } else {
    const items = value instanceof Map ? [...value].flat() : value;
    put(value instanceof Map ? '}' : ']');
    if (items.length === 0) return;
    put('(');
    for (const item of items) writeBinary(item, put, protocol);
    put(value instanceof Map ? 'u' : 'e');
  }
}

function writeNumber(value: number, put: Put): void {
  if (!isInt(value)) {
    const bytes = Buffer.alloc(9);
    bytes.write('G', 'latin1');
    bytes.writeDoubleBE(value, 1);
    put(bytes);
  } else if (value >= 0 && value < 256) put(sized('K', value, 1));
  else if (value >= 0 && value < 65_536) put(sized('M', value, 2));
  else {
    const bytes = Buffer.alloc(5);
    bytes.write('J', 'latin1');
    bytes.writeInt32LE(value, 1);
    put(bytes);
  }
}

/** To Python 2 plain ASCII is a `str`, as its programs expect; Python 3 reads it as its own `str`. */
function writeString(value: string, put: Put, protocol: number): void {
  const bytes = Buffer.from(value);
  const size = bytes.length;
  if (protocol < 3 && ascii.test(value)) put(sized(size < 256 ? 'U' : 'T', size, size < 256 ? 1 : 4));
  else if (protocol >= 4 && size < 256) put(sized('\x8c', size, 1));
  else put(sized('X', size, 4));
  put(bytes);
}

/** Two's complement, little-endian, as short as it can be. */
function long(value: bigint): Buffer {
  let size = 1;
  while (BigInt.asIntN(8 * size, value) !== value) size++;
  const hex = BigInt.asUintN(8 * size, value)
    .toString(16)
    .padStart(2 * size, '0');
  const bytes = Buffer.from(hex, 'hex').reverse();
  return Buffer.concat([size < 256 ? sized('\x8a', size, 1) : sized('\x8b', size, 4), bytes]);
}
