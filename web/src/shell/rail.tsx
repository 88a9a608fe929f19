import {
  Menu,
  Modal,
  SegmentedControl,
  TextInput,
  Tooltip,
  UnstyledButton,
  useMantineColorScheme,
} from '@mantine/core';
import { FolderDown, MessageCircle, Monitor, Moon, Share2, Sun, Users } from 'lucide-react';
import { useState } from 'react';
import { client } from '../agent/client.ts';
import { useConversations, useFiles, usePeople, useStatus } from '../agent/queries.ts';
import { Avatar } from '../words/avatar.tsx';
import { cleanLine } from '../words/clean.ts';
import { attempt } from './agent.tsx';
import { InviteDialog } from './invite.tsx';
import { JoinDialog } from './join.tsx';
import { AskToNotify } from './notify.tsx';
import styles from './rail.module.css';
import { addressOf, type View } from './route.ts';

const PLACES = [
  { view: 'chat', name: 'Chats', Icon: MessageCircle },
  { view: 'people', name: 'People', Icon: Users },
  { view: 'files', name: 'Files', Icon: FolderDown },
  { view: 'network', name: 'Network', Icon: Share2 },
] as const;

export function Rail({ view }: { view: View }) {
  const unread = (useConversations().data ?? []).reduce((sum, conversation) => sum + conversation.unread, 0);
  const offers = (useFiles().data ?? []).filter(
    ({ direction, state }) => direction === 'in' && state === 'offered',
  ).length;
  const counts: Partial<Record<View, number>> = { chat: unread, files: offers };
  return (
    <nav className={styles.rail} aria-label="Main">
      {PLACES.map(({ view: place, name, Icon }) => (
        <Tooltip key={place} label={name} position="right">
          <a href={addressOf(place)} className={styles.place} aria-current={view === place ? 'page' : undefined}>
            <Icon size={22} strokeWidth={1.9} aria-hidden="true" />
            <span className={styles.name}>{name}</span>
            {(counts[place] ?? 0) > 0 && (
              <span className={styles.count}>
                {Math.min(99, counts[place] ?? 0)}
                <span className="unseen"> {place === 'chat' ? 'unread' : 'offered'}</span>
              </span>
            )}
          </a>
        </Tooltip>
      ))}
      <Myself />
    </nav>
  );
}

function Myself() {
  const { data: status } = useStatus();
  const people = usePeople().data;
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const [words, setWords] = useState<string | undefined>();
  const [inviting, setInviting] = useState(false);
  const [joining, setJoining] = useState(false);
  if (!status) return null;
  const shown = people?.find(({ me }) => me)?.status ?? status.status;
  const say = (state: 'online' | 'away' | 'busy', text = status.text) =>
    attempt(() => client.people.status({ status: state, text }));
  const state = shown === 'offline' ? 'online' : shown;
  return (
    <>
      <Menu position="right-end" width={250}>
        <Menu.Target>
          <UnstyledButton
            className={styles.me}
            aria-label={`You are ${cleanLine(status.handle)}, ${shown}. Open the menu`}
          >
            <Avatar name={status.handle} status={shown} />
            <span className={styles.name}>You</span>
          </UnstyledButton>
        </Menu.Target>
        <Menu.Dropdown>
          <div className={styles.who}>
            <strong>{cleanLine(status.handle)}</strong>
            {status.text !== '' && <span>{cleanLine(status.text)}</span>}
          </div>
          {(['online', 'away', 'busy'] as const).map((each) => (
            <Menu.Item
              key={each}
              onClick={() => say(each)}
              leftSection={<span className={styles.dot} data-status={each} />}
            >
              {each[0]?.toUpperCase()}
              {each.slice(1)}
              {each === shown ? ' ✓' : ''}
            </Menu.Item>
          ))}
          <Menu.Item onClick={() => setWords(status.text)}>Say what you are doing…</Menu.Item>
          <Menu.Divider />
          <Menu.Item onClick={() => setInviting(true)}>Invite somebody…</Menu.Item>
          <Menu.Item onClick={() => setJoining(true)}>Join a network…</Menu.Item>
          <AskToNotify />
          <Menu.Divider />
          <div className={styles.scheme}>
            <SegmentedControl
              fullWidth
              size="xs"
              aria-label="Light or dark"
              value={colorScheme}
              onChange={(value) => setColorScheme(value === 'light' || value === 'dark' ? value : 'auto')}
              data={[
                { value: 'light', label: <Sun size={16} aria-label="Light" /> },
                { value: 'auto', label: <Monitor size={16} aria-label="As the system" /> },
                { value: 'dark', label: <Moon size={16} aria-label="Dark" /> },
              ]}
            />
          </div>
        </Menu.Dropdown>
      </Menu>
      <Modal opened={words !== undefined} onClose={() => setWords(undefined)} title="What are you doing?">
        <form
          onSubmit={async (event) => {
            event.preventDefault();
            if (await say(state, words ?? '')) setWords(undefined);
          }}
        >
          <TextInput
            data-autofocus
            maxLength={200}
            value={words ?? ''}
            onChange={(event) => setWords(event.currentTarget.value)}
            description="Shown beside your status. Enter saves it."
            aria-label="What you are doing"
          />
        </form>
      </Modal>
      <JoinDialog opened={joining} onClose={() => setJoining(false)} />
      <InviteDialog opened={inviting} onClose={() => setInviting(false)} />
    </>
  );
}
