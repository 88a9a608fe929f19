import { ActionIcon, Popover, Textarea, Tooltip } from '@mantine/core';
import { Paperclip, Pencil, Reply, SendHorizontal, Smile, X } from 'lucide-react';
import { type ClipboardEvent, type KeyboardEvent, type Ref, useEffect, useId, useMemo, useRef, useState } from 'react';
import type { Message } from '../../../src/api/shapes.ts';
import { client } from '../agent/client.ts';
import { usePeople } from '../agent/queries.ts';
import type { Timeline } from '../agent/timeline.ts';
import { loose } from '../files/dropped.ts';
import { offer } from '../files/upload.ts';
import { attempt, useMe } from '../shell/agent.tsx';
import { cleanLine } from '../words/clean.ts';
import { showName } from '../words/show.ts';
import { completed, completionsFor } from './completion.ts';
import styles from './composer.module.css';
import { EmojiPicker } from './emoji-picker.tsx';
import type { Place } from './places.ts';

export type Draft = { kind: 'new' } | { kind: 'reply' | 'edit'; about: Message };

type Props = {
  ref: Ref<HTMLTextAreaElement>;
  place: Place;
  timeline: Timeline;
  draft: Draft;
  setDraft: (draft: Draft) => void;
};

/** Milliseconds in which the same "is writing" is said once. */
const TYPING_MS = 3_000;

const keyOf = (target: string): string => `draft ${target}`;

/** What was written there and not sent, on this browser, also after a reload. */
function useKept(target: string): [string, (text: string) => void] {
  const [text, setText] = useState(() => localStorage.getItem(keyOf(target)) ?? '');
  return [
    text,
    (next) => {
      setText(next);
      if (next === '') localStorage.removeItem(keyOf(target));
      else localStorage.setItem(keyOf(target), next);
    },
  ];
}

export function Composer({ ref, place, timeline, draft, setDraft }: Props) {
  const me = useMe();
  const { target, isRoom, name, room } = place;
  const [kept, keep] = useKept(target);
  const [changed, setChanged] = useState('');
  const [caret, setCaret] = useState(0);
  const [chosen, setChosen] = useState(0);
  const [dismissed, setDismissed] = useState('');
  const [picking, setPicking] = useState(false);
  const typed = useRef(0);
  const area = useRef<HTMLTextAreaElement | null>(null);
  const files = useRef<HTMLInputElement>(null);
  const listId = useId();
  const editing = draft.kind === 'edit';
  const text = editing ? changed : kept;
  const write = editing ? setChanged : keep;
  useEffect(() => {
    if (draft.kind === 'edit') setChanged(draft.about.text);
  }, [draft]);

  const people = usePeople().data;
  const handles = useMemo(() => {
    const known = room ? room.members.map(({ handle }) => handle) : [place.name];
    return [...known, ...(room ? [] : (people ?? []).map(({ handle }) => handle))].filter((handle) => handle !== me);
  }, [room, place.name, people, me]);
  const options = text === dismissed ? [] : completionsFor(text.slice(0, caret), [...new Set(handles)], me);

  const put = (next: string, at: number) => {
    write(next);
    requestAnimationFrame(() => {
      area.current?.focus();
      area.current?.setSelectionRange(at, at);
      setCaret(at);
    });
  };
  const complete = (insert: string) => {
    const { text: next, caret: at } = completed(text, caret, insert);
    setChosen(0);
    put(next, at);
  };

  const say = (): void => {
    const now = Date.now();
    if (now - typed.current < TYPING_MS) return;
    typed.current = now;
    client.messages.typing({ target }).catch(() => {}); // nobody waits for it
  };

  const send = () => {
    if (text.trim() === '') return;
    const asked = { ...draft };
    write('');
    setDraft({ kind: 'new' });
    typed.current = 0;
    void attempt(async () => {
      if (asked.kind === 'edit') {
        await client.messages.edit({ id: asked.about.id, text });
        return;
      }
      const said =
        asked.kind === 'reply'
          ? await client.messages.reply({ id: asked.about.id, text })
          : await client.messages.say({ handle: target, text });
      await timeline.toEnd();
      timeline.put([said]);
    }).then((went) => {
      if (went) return;
      // What could not be sent stands where it was written.
      setDraft(asked);
      if (asked.kind === 'edit') setChanged(text);
      else keep(text);
    });
  };

  const onKeyDown = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    if (event.nativeEvent.isComposing) return;
    if (options.length > 0) {
      const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
      const option = options[Math.min(chosen, options.length - 1)];
      if (step !== 0) setChosen((Math.min(chosen, options.length - 1) + step + options.length) % options.length);
      else if ((event.key === 'Enter' || event.key === 'Tab') && option) complete(option.insert);
      else if (event.key === 'Escape') setDismissed(text);
      else return;
      event.preventDefault();
      return;
    }
    if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault();
      send();
    } else if (event.key === 'Escape' && draft.kind !== 'new') {
      setDraft({ kind: 'new' });
    } else if (event.key === 'ArrowUp' && text === '' && draft.kind === 'new') {
      const mine = timeline.messages.findLast(({ from, deleted, file }) => from === me && !deleted && file === null);
      if (!mine) return;
      event.preventDefault();
      setDraft({ kind: 'edit', about: mine });
    }
  };

  const onPaste = (event: ClipboardEvent) => {
    const pasted = [...event.clipboardData.files];
    if (pasted.length === 0) return;
    event.preventDefault();
    offer(target, pasted.map(loose));
  };

  return (
    <div className={styles.composer}>
      {draft.kind !== 'new' && (
        <div className={styles.about}>
          {editing ? <Pencil size={16} aria-hidden="true" /> : <Reply size={16} aria-hidden="true" />}
          <span>
            <strong>
              {editing ? 'Edit' : `Answer ${draft.about.from === me ? 'yourself' : showName(draft.about.from, me)}`}
            </strong>
            <bdi>{cleanLine(draft.about.text.slice(0, 300))}</bdi>
          </span>
          <ActionIcon
            variant="subtle"
            aria-label={editing ? 'Do not edit' : 'Do not answer'}
            onClick={() => setDraft({ kind: 'new' })}
          >
            <X size={17} />
          </ActionIcon>
        </div>
      )}
      <div className={styles.line}>
        <input
          ref={files}
          type="file"
          multiple
          hidden
          aria-label="Files to send"
          onChange={(event) => {
            offer(target, [...(event.currentTarget.files ?? [])].map(loose));
            event.currentTarget.value = '';
          }}
        />
        <Tooltip label="Send files">
          <ActionIcon
            variant="subtle"
            size={40}
            radius="xl"
            aria-label="Send files"
            onClick={() => files.current?.click()}
          >
            <Paperclip size={20} />
          </ActionIcon>
        </Tooltip>
        <Popover opened={options.length > 0} position="top-start" width={280} trapFocus={false} returnFocus={false}>
          <Popover.Target>
            <Textarea
              ref={(element) => {
                area.current = element;
                if (typeof ref === 'function') ref(element);
                else if (ref) ref.current = element;
              }}
              className={styles.area}
              autosize
              minRows={1}
              maxRows={10}
              maxLength={65_536}
              placeholder={`Message ${isRoom ? `#${cleanLine(name)}` : showName(name, me)}`}
              aria-label={`Message ${isRoom ? `#${cleanLine(name)}` : showName(name, me)}`}
              role="combobox"
              aria-expanded={options.length > 0}
              aria-autocomplete="list"
              aria-controls={listId}
              aria-activedescendant={
                options.length > 0 ? `${listId} ${Math.min(chosen, options.length - 1)}` : undefined
              }
              value={text}
              onChange={(event) => {
                write(event.currentTarget.value);
                setCaret(event.currentTarget.selectionStart);
                setDismissed('');
                if (event.currentTarget.value !== '' && !editing) say();
              }}
              onSelect={(event) => setCaret(event.currentTarget.selectionStart)}
              onKeyDown={onKeyDown}
              onPaste={onPaste}
            />
          </Popover.Target>
          <Popover.Dropdown p={4}>
            <div role="listbox" id={listId} aria-label="Completions" className={styles.options}>
              {options.map(({ insert, shown, under }, index) => (
                <button
                  key={insert}
                  id={`${listId} ${index}`}
                  type="button"
                  role="option"
                  tabIndex={-1}
                  aria-selected={index === Math.min(chosen, options.length - 1)}
                  onMouseDown={(event) => event.preventDefault()}
                  onClick={() => complete(insert)}
                >
                  <bdi>{shown}</bdi>
                  <small>{under}</small>
                </button>
              ))}
            </div>
          </Popover.Dropdown>
        </Popover>
        <Popover opened={picking} onChange={setPicking} position="top-end" trapFocus>
          <Popover.Target>
            <ActionIcon
              variant="subtle"
              size={40}
              radius="xl"
              aria-label="Put in an emoji"
              onClick={() => setPicking(!picking)}
            >
              <Smile size={21} />
            </ActionIcon>
          </Popover.Target>
          <Popover.Dropdown p="xs">
            {picking && (
              <EmojiPicker
                onPick={(emoji) => {
                  setPicking(false);
                  put(text.slice(0, caret) + emoji + text.slice(caret), caret + emoji.length);
                }}
              />
            )}
          </Popover.Dropdown>
        </Popover>
        <ActionIcon size={40} radius="xl" aria-label="Send" disabled={text.trim() === ''} onClick={send}>
          <SendHorizontal size={19} />
        </ActionIcon>
      </div>
    </div>
  );
}
