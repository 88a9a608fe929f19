import { createTheme, Drawer, type MantineColorsTuple, Menu, Modal, Popover, Tooltip } from '@mantine/core';

/** Our own green, light to dark; the seventh is dark enough for white words on it. */
const tide: MantineColorsTuple = [
  '#e8f9f6',
  '#d3f0eb',
  '#a6e0d7',
  '#75cfc2',
  '#4dc0b0',
  '#28a394',
  '#128677',
  '#0c7a6f',
  '#06625a',
  '#004a43',
];

export const theme = createTheme({
  primaryColor: 'tide',
  primaryShade: { light: 7, dark: 7 },
  colors: {
    tide,
    // Greys with a breath of blue: a page of pure grey looks dead.
    dark: [
      '#e4e6eb',
      '#c3c7d0',
      '#a0a5b1',
      '#7d838f',
      '#4b505c',
      '#363a44',
      '#2a2d35',
      '#1f2228',
      '#17181c',
      '#101114',
    ],
  },
  defaultRadius: 'md',
  cursorType: 'pointer',
  fontFamily:
    '"Inter", system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Helvetica Neue", sans-serif, "Apple Color Emoji", "Segoe UI Emoji", "Noto Color Emoji"',
  components: {
    // The page itself never scrolls, so nothing has to be locked; and locking would need a style that a script makes up.
    Modal: Modal.extend({ defaultProps: { lockScroll: false, centered: true, radius: 'lg' } }),
    Drawer: Drawer.extend({ defaultProps: { lockScroll: false } }),
    Tooltip: Tooltip.extend({ defaultProps: { openDelay: 400, withArrow: true } }),
    Popover: Popover.extend({ defaultProps: { shadow: 'md', radius: 'md' } }),
    Menu: Menu.extend({ defaultProps: { shadow: 'md', radius: 'md' } }),
  },
  fontFamilyMonospace: 'ui-monospace, "Cascadia Code", "JetBrains Mono", "SF Mono", Menlo, Consolas, monospace',
});
