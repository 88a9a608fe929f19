declare module 'virtual:contract' {
  import type { contract } from '../../src/api/contract.ts';

  const routes: typeof contract;
  export default routes;
}

/** What it makes is no string, and passes for one: the browser's own calls take both. */
declare var trustedTypes:
  | {
      createPolicy(
        name: string,
        rules: { createScriptURL(url: string): string },
      ): { createScriptURL(url: string): string };
    }
  | undefined;

declare module 'virtual:emoji' {
  /** By group: smileys, people, animals, food, travel, activities, objects, symbols, flags. */
  const groups: readonly (readonly (readonly [emoji: string, words: string])[])[];
  export default groups;
}
