import { TextInput } from '@mantine/core';
import { useState } from 'react';
import { FoundList } from './found-list.tsx';
import type { Place } from './places.ts';
import { SidePanel } from './side-panel.tsx';

export function SearchHere({ place, onClose }: { place: Place; onClose: () => void }) {
  const [words, setWords] = useState('');
  return (
    <SidePanel title="Search here" onClose={onClose}>
      <TextInput
        autoFocus
        type="search"
        radius="xl"
        placeholder="Words"
        aria-label="Words to look for"
        value={words}
        onChange={(event) => setWords(event.currentTarget.value)}
      />
      {words.trim() !== '' && <FoundList words={words} within={place.target} />}
    </SidePanel>
  );
}
