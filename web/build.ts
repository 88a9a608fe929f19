/**
 * Builds the page into dist-web: `npm ci` does it in its prepare step, so that an agent from a checkout has it too.
 * Without the dev dependencies there is nothing to build with: the agent then shows what it can do instead.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

if (!existsSync(path('../node_modules/vite/package.json'))) {
  console.error(
    'building the page: vite is not installed, as dev dependencies are left out; going on without the page',
  );
} else {
  const [{ build }, { default: react }, { ready }] = await Promise.all([
    import('vite'),
    import('@vitejs/plugin-react'),
    import('./ready.ts'),
  ]);
  await build({
    configFile: false,
    root: path('.'),
    plugins: [react(), ready()],
    logLevel: 'warn',
    build: {
      outDir: path('../dist-web'),
      emptyOutDir: true,
      target: ['chrome120', 'firefox121', 'safari17'],
      // Data addresses are not in the page's policy for scripts and styles, and one file is as quick as another here.
      assetsInlineLimit: 0,
      // The policy needs no exception for a script that only old browsers want.
      modulePreload: { polyfill: false },
      reportCompressedSize: false,
      chunkSizeWarningLimit: 1_000,
    },
  });
}
