import { TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { type KeyboardEvent, useState } from 'react';
import { EMOJI, emojiFor, recentEmoji, usedEmoji } from './emoji.ts';
import styles from './emoji-picker.module.css';

/** In a row of the grid. */
const COLUMNS = 8;

/** The groups of Unicode, in its order, each by one of its own. */
const GROUPS = [
  ['😀', 'Smileys'],
  ['👋', 'People'],
  ['🐻', 'Animals and nature'],
  ['🍏', 'Food and drink'],
  ['✈️', 'Travel and places'],
  ['⚽', 'Activities'],
  ['💡', 'Objects'],
  ['❤️', 'Symbols'],
  ['🏁', 'Flags'],
] as const;
/** What one used last, and what people use most. */
const OFTEN = -1;

/** All emoji come when the first picker opens: they are no part of a first look. */
const useGroups = () =>
  useQuery({
    queryKey: ['emoji'],
    queryFn: async () => (await import('virtual:emoji')).default,
    staleTime: Number.POSITIVE_INFINITY,
  }).data;

export function EmojiPicker({ onPick }: { onPick: (emoji: string) => void }) {
  const [words, setWords] = useState('');
  const [group, setGroup] = useState(OFTEN);
  const [recent] = useState(recentEmoji);
  const groups = useGroups() ?? [];
  const all = groups.length === 0 ? EMOJI : groups.flat();
  const searching = words.trim() !== '';
  const shown = searching ? emojiFor(words, all) : (groups[group] ?? often(recent, all));
  const pick = (emoji: string) => {
    usedEmoji(emoji);
    onPick(emoji);
  };
  return (
    <section className={styles.picker} aria-label="Emoji">
      <TextInput
        data-autofocus
        size="xs"
        placeholder="Find an emoji"
        aria-label="Find an emoji"
        value={words}
        onChange={(event) => setWords(event.currentTarget.value)}
        onKeyDown={(event) => {
          const [first] = shown;
          if (event.key === 'Enter' && first) pick(first[0]);
          if (event.key !== 'ArrowDown') return;
          event.currentTarget.closest(`.${styles.picker}`)?.querySelector<HTMLElement>('[data-grid] button')?.focus();
          event.preventDefault();
        }}
      />
      <div className={styles.groups} role="toolbar" aria-label="Groups of emoji" onKeyDown={walk(1)}>
        {[['🕘', 'Often used'] as const, ...GROUPS].map(([emoji, name], index) => (
          <button
            key={name}
            type="button"
            title={name}
            aria-label={name}
            aria-pressed={!searching && group === index + OFTEN}
            disabled={groups.length === 0 && index > 0}
            onClick={() => {
              setWords('');
              setGroup(index + OFTEN);
            }}
          >
            {emoji}
          </button>
        ))}
      </div>
      <div className={styles.grid} data-grid role="toolbar" aria-label="Emoji to choose from" onKeyDown={walk(COLUMNS)}>
        {shown.map(([emoji, names]) => (
          <button key={emoji} type="button" title={names} aria-label={names} onClick={() => pick(emoji)}>
            {emoji}
          </button>
        ))}
      </div>
      {shown.length === 0 && <p>No emoji is known by this.</p>}
    </section>
  );
}

/** Recent ones first; each once. */
function often(recent: readonly string[], all: typeof EMOJI): typeof EMOJI {
  const words = new Map(all);
  const known = recent.map((emoji) => [emoji, words.get(emoji) ?? emoji] as const);
  return [...known, ...EMOJI.filter(([emoji]) => !recent.includes(emoji))];
}

/** Arrows go from button to button, a row at a time up and down; Home and End to the first and the last. */
const walk = (columns: number) => (event: KeyboardEvent<HTMLElement>) => {
  const buttons = [...event.currentTarget.querySelectorAll('button')];
  const at = buttons.indexOf(document.activeElement as HTMLButtonElement) /* -1 for what is none of them */;
  const to = {
    ArrowRight: at + 1,
    ArrowLeft: at - 1,
    ArrowDown: columns === 1 ? undefined : at + columns,
    ArrowUp: columns === 1 ? undefined : at - columns,
    Home: 0,
    End: buttons.length - 1,
  }[event.key];
  if (to === undefined) return;
  // Above the first row is what one looks for.
  if (to < 0 && columns > 1) event.currentTarget.parentElement?.querySelector('input')?.focus();
  else buttons[to]?.focus();
  event.preventDefault();
};
