import './page.css';
import '@mantine/core/styles.layer.css';
import '@mantine/notifications/styles.layer.css';
import 'virtual:theme.css';
import { MantineProvider } from '@mantine/core';
import { Notifications } from '@mantine/notifications';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { Live } from './agent/live.ts';
import { AgentProvider } from './shell/agent.tsx';
import { App } from './shell/app.tsx';
import { keepAwayPage } from './shell/away.ts';
import { theme } from './theme.ts';

const queries = new QueryClient({
  // Events say when something changed, and `Live` asks again after a cut: nothing is stale by time, nothing is tried again by itself.
  defaultOptions: {
    queries: { staleTime: Number.POSITIVE_INFINITY, retry: false, refetchOnWindowFocus: false, networkMode: 'always' },
  },
});
const live = new Live(queries);
keepAwayPage();
const root = document.getElementById('root');

if (root) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={queries}>
        <MantineProvider theme={theme} defaultColorScheme="auto" withCssVariables={false} withGlobalClasses={false}>
          <Notifications position="bottom-right" />
          <AgentProvider live={live}>
            <App />
          </AgentProvider>
        </MantineProvider>
      </QueryClientProvider>
    </StrictMode>,
  );
}
