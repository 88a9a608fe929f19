import { Menu } from '@mantine/core';
import { useEffect, useState } from 'react';
import type { Message } from '../../../src/api/shapes.ts';
import { cleanLine } from '../words/clean.ts';
import { attempt, tell, useAgent } from './agent.tsx';
import { go } from './route.ts';

const CAN = 'Notification' in globalThis;

/** A browser asks its user only when they did something. */
export function AskToNotify() {
  const [allowed, setAllowed] = useState(CAN ? Notification.permission : 'denied');
  if (!CAN || allowed === 'granted') return null;
  const ask = () =>
    attempt(async () => {
      const answer = await Notification.requestPermission();
      setAllowed(answer);
      if (answer === 'denied') tell('This browser shows no notifications of this page: its settings say so.');
    });
  return <Menu.Item onClick={ask}>Show desktop notifications</Menu.Item>;
}

/** Most characters of a message in a notification. */
const MOST = 200;

/** Tells of what comes while nobody looks. */
export function useNotifications(): void {
  const live = useAgent();
  useEffect(
    () =>
      live.onReceived((message: Message) => {
        if (!CAN || Notification.permission !== 'granted' || document.hasFocus()) return;
        const place = live.placeOf(message);
        const from = cleanLine(message.from);
        const shown = new Notification(message.room === null ? from : `${from} in #${cleanLine(message.room)}`, {
          body: cleanLine(message.text).slice(0, MOST),
          tag: place, // the newest of a conversation takes the place of the one before
          icon: '/icon-192.png',
        });
        shown.onclick = () => {
          window.focus();
          go('chat', place);
          shown.close();
        };
      }),
    [live],
  );
}
