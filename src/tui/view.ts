/** The frame as Ink's components. */
import { Box, Text, useCursor, useInput, usePaste, useWindowSize } from 'ink';
import { createElement as h, type ReactElement, useEffect, useSyncExternalStore } from 'react';
import { frame } from './frame.ts';
import { press } from './keys.ts';
import type { Row } from './rows.ts';
import type { Screen } from './screen.ts';

export function Chat({ screen }: { screen: Screen }): ReactElement {
  const { model } = screen;
  useSyncExternalStore(model.subscribe, () => model.version);
  const { columns, rows } = useWindowSize();
  const { setCursorPosition } = useCursor();
  useInput((input, key) => press(screen, input, key));
  usePaste((text) => {
    screen.line.insert(text.replaceAll(/\r\n?/g, '\n'));
    screen.typed();
    model.changed();
  });
  const { place, bottom, mode } = screen;
  const seen = bottom === undefined && mode.of !== 'help' && mode.of !== 'files' && mode.of !== 'output';
  useEffect(() => {
    if (place && seen && place.unread > 0) void model.read(place);
  }, [model, place, seen]);
  const shown = frame(screen, columns, rows);
  setCursorPosition(shown.cursor);
  return h(
    Box,
    // As wide as the terminal is, also in the moment in which it has changed and the rows have not.
    { flexDirection: 'column', height: rows, overflow: 'hidden' },
    shown.rows.map((row, at) => h(Line, { row, key: at })),
  );
}

function Line({ row }: { row: Row }): ReactElement {
  const pieces = row.map(({ text, color, bold, dim, inverse }, at) =>
    h(
      Text,
      { key: at, bold: bold === true, dimColor: dim === true, inverse: inverse === true, ...(color && { color }) },
      text,
    ),
  );
  return h(Box, { height: 1, flexShrink: 0 }, h(Text, { wrap: 'truncate-end' }, pieces));
}
