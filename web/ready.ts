/** What the page needs of the program, worked out while it is built: where each operation stands, and the theme as a style sheet. */
import { convertCssVariables, DEFAULT_THEME, defaultCssVariablesResolver, mergeMantineTheme } from '@mantine/core';
import type { Plugin } from 'vite';
import { operationList } from '../src/api/catalogue.ts';
import { theme } from './src/theme.ts';

const CONTRACT = 'virtual:contract';
const THEME = 'virtual:theme.css';

export function ready(): Plugin {
  return {
    name: 'netapp-ready',
    resolveId: (id) => (id === CONTRACT || id === THEME ? `\0${id}` : undefined),
    load: (id) => {
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

/** Written into a file, as the page's policy allows no styles that a script makes up. */
function themeSheet(): string {
  const variables = defaultCssVariablesResolver(mergeMantineTheme(DEFAULT_THEME, theme));
  return convertCssVariables(variables, ':root');
}
