/** `netapp config show`: each setting, and where it comes from. */
import type { Shell } from '../cli/shell.ts';
import { homePaths, readConfig } from '../node/home.ts';
import { keys, type Origin, settle } from './settings.ts';
import { givenBy, type UpOptions } from './up.ts';

export async function showConfig(options: UpOptions, { origin }: { origin: boolean }, shell: Shell): Promise<number> {
  const { settings, origins } = settle(givenBy(options), shell.env, await readConfig(shell.home));
  const rows = [
    ...shell.places.map(({ name, value, origin }) => ({ name, value, origin })),
    ...keys.map((key) => ({
      name: key,
      value: settings[key] ?? null,
      origin: wordsOf(origins.get(key), shell.home),
    })),
  ];
  if (shell.json) {
    for (const row of rows) await shell.out.line(JSON.stringify(row));
    return 0;
  }
  await shell.out.table(
    ['SETTING', 'VALUE', ...(origin ? ['ORIGIN'] : [])],
    rows.map((row) => [{ text: row.name, style: 'bold' }, shown(row.value), ...(origin ? [row.origin] : [])]),
  );
  return 0;
}

function shown(value: unknown): string {
  if (value === null) return '-';
  if (Array.isArray(value)) return value.join(' ') || '-';
  if (typeof value !== 'object') return String(value);
  return (
    Object.entries(value)
      .map(([name, each]) => `${name}=${each}`)
      .join(',') || '-'
  );
}

function wordsOf(origin: Origin | undefined, home: string): string {
  if (origin === undefined || origin.from === 'default') return 'default';
  if (origin.from === 'config.json') return homePaths(home).config;
  return `${origin.from} ${origin.name}`;
}
