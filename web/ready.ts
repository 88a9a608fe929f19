/** What the page needs, worked out while it is built: where each operation stands, the theme as a style sheet, and all emoji. */
import { convertCssVariables, DEFAULT_THEME, defaultCssVariablesResolver, mergeMantineTheme } from '@mantine/core';
import emojiData from 'emojibase-data/en/compact.json' with { type: 'json' };
import type { Plugin } from 'vite';
import { operationList } from '../src/api/catalogue.ts';
import { theme } from './src/theme.ts';

const CONTRACT = 'virtual:contract';
const THEME = 'virtual:theme.css';
const EMOJI = 'virtual:emoji';
/** Groups of emojibase that are no emoji of their own: skin tones and hair. */
const COMPONENTS = 2;

export function ready(): Plugin {
  return {
    name: 'netapp-ready',
    resolveId: (id) => ([CONTRACT, THEME, EMOJI].includes(id) ? `\0${id}` : undefined),
    load: (id) => {
      if (id === `\0${EMOJI}`) return `export default ${JSON.stringify(emoji())};`;
      if (id === `\0${CONTRACT}`) return `export default ${JSON.stringify(routes())};`;
      return id === `\0${THEME}` ? themeSheet() : undefined;
    },
  };
}

/** The contract without its schemas, which the agent checks: a tenth of its size, and all that a client needs. */
function routes(): Record<string, Record<string, unknown>> {
  const nouns: Record<string, Record<string, unknown>> = {};
  for (const { path, method, httpPath } of operationList) {
    const [noun, verb] = path;
    const procedure = { '~orpc': { route: { method, path: httpPath }, meta: {}, errorMap: {} } };
    nouns[noun] = { ...nouns[noun], [verb]: procedure };
  }
  return nouns;
}

/** By group, each emoji with the words by which it is found: a third of what the library gives. */
function emoji(): [emoji: string, words: string][][] {
  const shown = emojiData.filter(({ group }) => group !== undefined && group !== COMPONENTS);
  return [...Map.groupBy(shown, ({ group }) => group).values()].map((group) =>
    group.map(({ unicode, label, tags = [] }) => {
      const words = new Set(tags.flatMap((each) => each.toLowerCase().split(/[\s:,]+/)));
      return [unicode, [label, ...[...words].filter((word) => !label.includes(word))].join(' ')];
    }),
  );
}

/** Written into a file, as the page's policy allows no styles that a script makes up. */
function themeSheet(): string {
  const variables = defaultCssVariablesResolver(mergeMantineTheme(DEFAULT_THEME, theme));
  return convertCssVariables(variables, ':root');
}
