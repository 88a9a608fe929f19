/** Has the browser keep a page that says what is wrong, for reloads while the agent does not answer. */

const WORKER = '/away.js';

// The page's policy lets no text become a script but by this rule, which knows one address.
const rules = globalThis.trustedTypes?.createPolicy('away', { createScriptURL: () => WORKER });

export function keepAwayPage(): void {
  const url = rules?.createScriptURL(WORKER) ?? WORKER;
  void navigator.serviceWorker?.register(url).catch(() => {}); // without it, a reload shows the browser's own page
}
