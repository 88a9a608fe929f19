/** Reads the text format of Prometheus, and refuses what is not of it. */

export type Sample = { name: string; labels: Record<string, string>; value: number };

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)( \d+)?$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/y;

/** Throws where a line is of no known form, a sample has no type, a series stands twice, or a counter is negative. */
export function readExposition(text: string): Sample[] {
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  const types = new Map<string, string>();
  const seen = new Set<string>();
  return text
    .split('\n')
    .slice(0, -1)
    .flatMap((line): Sample[] => {
      if (line === '' || line.startsWith('# HELP ')) return [];
      const [, typed = '', type = ''] = /^# TYPE (\S+) (counter|gauge|histogram|summary|untyped)$/.exec(line) ?? [];
      if (typed) {
        if (!NAME.test(typed) || types.has(typed)) throw new Error(`a type of its own: ${line}`);
        types.set(typed, type);
        return [];
      }
      const [, name = '', written = '', number = ''] = SAMPLE.exec(line) ?? [];
      const value = number === '+Inf' ? Number.POSITIVE_INFINITY : number === 'Nan' ? Number.NaN : Number(number);
      if (!name || (Number.isNaN(value) && !/^nan$/i.test(number))) throw new Error(`no sample: ${line}`);
      const family = types.has(name) ? name : name.replace(/_(bucket|sum|count)$/, '');
      const of = types.get(family);
      if (!of) throw new Error(`no type for: ${line}`);
      if (of === 'counter' && !(value >= 0)) throw new Error(`a counter below zero: ${line}`);
      const series = `${name}{${written}}`;
      if (seen.has(series)) throw new Error(`twice: ${line}`);
      seen.add(series);
      return [{ name, labels: labelsOf(written), value }];
    });
}

function labelsOf(written: string): Record<string, string> {
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  let end = 0;
  for (let match = LABEL.exec(written); match; match = LABEL.exec(written)) {
    labels[match[1] ?? ''] = match[2] ?? '';
    end = LABEL.lastIndex;
    if (end === written.length) break;
  }
  if (end !== written.length) throw new Error(`no labels: ${written}`);
  return labels;
}
