import { TextInput } from '@mantine/core';
import { type KeyboardEvent, useState } from 'react';
import { EMOJI, emojiFor } from './emoji.ts';
import styles from './emoji-picker.module.css';

/** In a row of the grid. */
const COLUMNS = 8;

export function EmojiPicker({ onPick }: { onPick: (emoji: string) => void }) {
  const [words, setWords] = useState('');
  const shown = words.trim() === '' ? EMOJI : emojiFor(words);
  const walk = (event: KeyboardEvent<HTMLElement>) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: COLUMNS, ArrowUp: -COLUMNS }[event.key];
    if (step === undefined) return;
    const buttons = [...event.currentTarget.querySelectorAll('button')];
    const at = buttons.indexOf(document.activeElement as HTMLButtonElement) /* -1 for what is none of them */;
    buttons[at < 0 ? 0 : at + step]?.focus();
    event.preventDefault();
  };
  return (
    <div className={styles.picker} onKeyDown={walk} role="toolbar" aria-label="Emoji">
      <TextInput
        data-autofocus
        size="xs"
        placeholder="Find an emoji"
        aria-label="Find an emoji"
        value={words}
        onChange={(event) => setWords(event.currentTarget.value)}
        onKeyDown={(event) => {
          const [first] = shown;
          if (event.key === 'Enter' && first) onPick(first[0]);
          if (event.key === 'ArrowRight' || event.key === 'ArrowLeft') event.stopPropagation();
        }}
      />
      <div className={styles.grid}>
        {shown.map(([emoji, names]) => (
          <button key={emoji} type="button" title={names} aria-label={names} onClick={() => onPick(emoji)}>
            {emoji}
          </button>
        ))}
      </div>
    </div>
  );
}
