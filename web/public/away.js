// Keeps one small page for the time in which the agent does not answer. Nothing else is kept: what the agent says is never old.
const KEPT = 'away-1';
const AWAY = '/away.html';
const ITS = [AWAY, '/away.css', '/away-look.js', '/icon.svg'];

addEventListener('install', (event) => {
  const fresh = ITS.map((path) => new Request(path, { cache: 'reload' }));
  event.waitUntil(
    caches
      .open(KEPT)
      .then((cache) => cache.addAll(fresh))
      .then(() => self.skipWaiting()),
  );
});

addEventListener('activate', (event) => {
  const others = (names) => names.filter((name) => name !== KEPT);
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(others(names).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

addEventListener('fetch', (event) => {
  const { mode, method, url } = event.request;
  const path = new URL(url).pathname;
  if (method !== 'GET' || (mode !== 'navigate' && !ITS.includes(path))) return;
  const kept = () => caches.match(mode === 'navigate' ? AWAY : path);
  event.respondWith(fetch(event.request).catch(async (error) => (await kept()) ?? Promise.reject(error)));
});
