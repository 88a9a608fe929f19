import { ActionIcon, Menu, Popover } from '@mantine/core';
import { Ban, EllipsisVertical, Reply, SmilePlus } from 'lucide-react';
import { type KeyboardEvent, memo, useEffect, useState } from 'react';
import type { Message } from '../../../src/api/shapes.ts';
import { client } from '../agent/client.ts';
import { FileCard } from '../files/file-card.tsx';
import { attempt, tell } from '../shell/agent.tsx';
import { addressOf } from '../shell/route.ts';
import { Avatar, hueOf } from '../words/avatar.tsx';
import { cleanLine } from '../words/clean.ts';
import { showClock, showMoment, showName } from '../words/show.ts';
import { EmojiPicker } from './emoji-picker.tsx';
import styles from './entry.module.css';
import { Quote } from './quote.tsx';
import { StateMark, wordsOf } from './state-mark.tsx';
import { Words } from './words.tsx';

/** Milliseconds that a message stands before its buttons are made: where a hundred come in a second, none would be used. */
const TOOLS_MS = 600;

type Props = {
  message: Message;
  me: string;
  inRoom: boolean;
  /** Of what one person wrote in a row. */
  first: boolean;
  last: boolean;
  flashes: boolean;
  mayDelete: boolean;
  onReply: (message: Message) => void;
  onEdit: (message: Message) => void;
  onEvidence: (message: Message) => void;
};

export const Entry = memo(function Entry({ message, me, inRoom, first, last, flashes, mayDelete, ...on }: Props) {
  const { id, from, text, at, edited, deleted, replyTo, file, reactions, mentions } = message;
  const mine = from === me;
  const name = showName(from, me);
  const [ready, setReady] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setReady(true), TOOLS_MS);
    return () => clearTimeout(timer);
  }, []);
  const react = (emoji: string) =>
    attempt(() => client.messages.react({ id, emoji, off: reactions[emoji]?.includes(me) ?? false }));
  const keys = (event: KeyboardEvent) => {
    if (event.target !== event.currentTarget || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'r') on.onReply(message);
    else if (event.key === 'e' && mine && !deleted && file === null) on.onEdit(message);
    else if (event.key === 'Enter') on.onEvidence(message);
    else return;
    event.preventDefault();
  };
  return (
    <article
      className={styles.entry}
      data-entry={id}
      data-mine={mine || undefined}
      data-first={first || undefined}
      data-last={last || undefined}
      data-flash={flashes || undefined}
      aria-label={`${mine ? 'You' : name}, ${showClock(at)}${mine ? `. ${wordsOf(message)}` : ''}`}
      tabIndex={-1}
      onKeyDown={keys}
      onPointerEnter={() => setReady(true)}
      onFocus={() => setReady(true)}
    >
      {inRoom && !mine && <span className={styles.face}>{last && <Avatar name={from} size="sm" />}</span>}
      <div className={styles.column}>
        <div className={styles.bubble} data-file={file === null ? undefined : true}>
          {inRoom && !mine && first && (
            <a className={styles.author} data-hue={hueOf(from)} href={addressOf('people', from)}>
              <bdi>{name}</bdi>
            </a>
          )}
          {replyTo !== null && <Quote id={replyTo} me={me} place={message} />}
          {deleted ? (
            <p className={styles.gone}>
              <Ban size={15} aria-hidden="true" /> Taken back
            </p>
          ) : file === null ? (
            <Words text={text} mentions={mentions} me={me} />
          ) : (
            <FileCard id={file} name={text} />
          )}
          <span className={styles.meta}>
            {edited !== null && <span title={showMoment(edited)}>edited</span>}
            <time dateTime={at} title={showMoment(at)}>
              {showClock(at)}
            </time>
            {mine && (
              <button
                type="button"
                className={styles.state}
                onClick={() => on.onEvidence(message)}
                aria-label={`${wordsOf(message)}: show the evidence`}
              >
                <StateMark message={message} />
              </button>
            )}
          </span>
        </div>
        {Object.keys(reactions).length > 0 && (
          <div className={styles.reactions}>
            {Object.entries(reactions).map(([emoji, handles]) => (
              <button
                key={emoji}
                type="button"
                aria-pressed={handles.includes(me)}
                title={handles.map((handle) => (handle === me ? 'You' : showName(handle, me))).join(', ')}
                onClick={() => react(emoji)}
              >
                <span>{cleanLine(emoji)}</span> {handles.length}
              </button>
            ))}
          </div>
        )}
      </div>
      {!deleted &&
        (ready ? (
          <Tools message={message} mine={mine} mayDelete={mayDelete} react={react} {...on} />
        ) : (
          <div className={styles.tools} />
        ))}
    </article>
  );
});

type ToolsProps = Pick<Props, 'message' | 'mayDelete' | 'onReply' | 'onEdit' | 'onEvidence'> & {
  mine: boolean;
  react: (emoji: string) => unknown;
};

function Tools({ message, mine, mayDelete, react, onReply, onEdit, onEvidence }: ToolsProps) {
  const [open, setOpen] = useState<'react' | 'more' | undefined>();
  const { id, text, file } = message;
  return (
    <div className={styles.tools} data-open={open ? true : undefined}>
      <Popover
        opened={open === 'react'}
        onChange={(opened) => setOpen(opened ? 'react' : undefined)}
        position="top"
        trapFocus
      >
        <Popover.Target>
          <ActionIcon variant="subtle" aria-label="React" tabIndex={-1} onClick={() => setOpen('react')}>
            <SmilePlus size={18} />
          </ActionIcon>
        </Popover.Target>
        <Popover.Dropdown p="xs">
          {open === 'react' && (
            <EmojiPicker
              onPick={(emoji) => {
                setOpen(undefined);
                react(emoji);
              }}
            />
          )}
        </Popover.Dropdown>
      </Popover>
      <ActionIcon variant="subtle" aria-label="Answer" tabIndex={-1} onClick={() => onReply(message)}>
        <Reply size={18} />
      </ActionIcon>
      <Menu opened={open === 'more'} onChange={(opened) => setOpen(opened ? 'more' : undefined)} position="bottom-end">
        <Menu.Target>
          <ActionIcon variant="subtle" aria-label="More of this message" tabIndex={-1}>
            <EllipsisVertical size={18} />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          {file === null && (
            <Menu.Item
              onClick={() =>
                attempt(async () => {
                  await navigator.clipboard.writeText(text);
                  tell('Copied', 'good');
                })
              }
            >
              Copy the text
            </Menu.Item>
          )}
          <Menu.Item onClick={() => onEvidence(message)}>
            {mine ? 'Where it is, with evidence' : 'About this message'}
          </Menu.Item>
          {mine && file === null && <Menu.Item onClick={() => onEdit(message)}>Edit</Menu.Item>}
          {mayDelete && (
            <Menu.Item color="red" onClick={() => attempt(() => client.messages.delete({ id }))}>
              Take back
            </Menu.Item>
          )}
        </Menu.Dropdown>
      </Menu>
    </div>
  );
}
