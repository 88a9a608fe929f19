/** A QR code in characters, two rows of it in each line: the light modules drawn, as terminals are dark. */
import { encode } from 'uqr';

/** Light modules around the code, which readers need (ISO/IEC 18004, section 5.3.8). */
const BORDER = 4;

const HALVES: Record<string, string> = { '11': '█', '10': '▀', '01': '▄', '00': ' ' };

/** Throws where `text` is more than a code can carry, about 2,900 bytes. */
export function qrLines(text: string): string[] {
  const { data, size } = encode(text, { ecc: 'M', border: BORDER });
  const isLight = (row: number, column: number): string => (row < size && data[row]?.[column] === true ? '0' : '1');
  return Array.from({ length: Math.ceil(size / 2) }, (_, line) =>
    Array.from({ length: size }, (_, column) => {
      const halves = isLight(2 * line, column) + isLight(2 * line + 1, column);
      return HALVES[halves] ?? ' ';
    }).join(''),
  );
}
