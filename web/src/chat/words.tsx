/** The words of a message: Markdown drawn, everything else shown as the text that it is. */
import { memo, useMemo, useState } from 'react';
import Markdown, { type Components } from 'react-markdown';
import remarkBreaks from 'remark-breaks';
import remarkGfm from 'remark-gfm';
import { cleanText } from '../words/clean.ts';
import { marked, type Node } from './mark-mentions.ts';
import styles from './words.module.css';

/** Characters beyond which a text is shown as it is: laying out Markdown of a book takes longer than a frame. */
const MARKDOWN_MOST = 12_000;
/** Characters, and lines, of a text that are shown before somebody asks for all. */
const SHORT = 3_000;
const SHORT_LINES = 40;
/** Signs of Markdown, an address, or a break: without them nothing has to be read as such. */
const SIGNS = /[*_`~#>[\]|\\<&@]|https?:|www\.|^\s*(?:[-+]|\d+[.)])\s|\n|---|===/mu;
/** One to six emoji and nothing else. */
const ONLY_EMOJI = /^(?:\p{RGI_Emoji}\s*){1,6}$/v;

const components: Components = {
  a: ({ href, children }) => (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow">
      {children}
    </a>
  ),
  // Nothing is fetched from other hosts: a picture is a link to it.
  img: ({ src, alt }) => (
    <a href={typeof src === 'string' ? src : undefined} target="_blank" rel="noopener noreferrer nofollow">
      {alt || src}
    </a>
  ),
  // Six sizes of headings would shout: one is enough in a chat, and the page's own outline stays its own.
  h1: ({ children }) => <p className={styles.heading}>{children}</p>,
  h2: ({ children }) => <p className={styles.heading}>{children}</p>,
  h3: ({ children }) => <p className={styles.heading}>{children}</p>,
  h4: ({ children }) => <p className={styles.heading}>{children}</p>,
  h5: ({ children }) => <p className={styles.heading}>{children}</p>,
  h6: ({ children }) => <p className={styles.heading}>{children}</p>,
  // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard
  pre: ({ children }) => <pre tabIndex={0}>{children}</pre>,
  table: ({ children }) => (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard
    <section className={styles.table} tabIndex={0} aria-label="Table">
      <table>{children}</table>
    </section>
  ),
  input: ({ checked }) => <span aria-hidden="true">{checked ? '☑' : '☐'} </span>,
};

type Props = { text: string; mentions: readonly string[]; me: string };

export const Words = memo(function Words({ text, mentions, me }: Props) {
  const [whole, setWhole] = useState(false);
  const clean = useMemo(() => cleanText(text), [text]);
  const short = clean.length > SHORT || clean.split('\n', SHORT_LINES + 1).length > SHORT_LINES;
  const shown = short && !whole ? clean.slice(0, SHORT).split('\n').slice(0, SHORT_LINES).join('\n') : clean;
  const plugins = useMemo(
    () => [remarkGfm, remarkBreaks, () => (tree: Node) => marked(tree, mentions, me)],
    [mentions, me],
  );
  if (ONLY_EMOJI.test(clean)) return <p className={styles.emoji}>{clean}</p>;
  const isPlain = shown.length > MARKDOWN_MOST || !SIGNS.test(shown);
  return (
    <div className={styles.words} dir="auto">
      {isPlain ? (
        <p className={styles.plain}>{shown}</p>
      ) : (
        <Markdown remarkPlugins={plugins} components={components}>
          {shown}
        </Markdown>
      )}
      {short && (
        <button type="button" className={styles.more} onClick={() => setWhole(!whole)}>
          {whole ? 'Show less' : `Show all ${clean.length.toLocaleString()} characters`}
        </button>
      )}
    </div>
  );
});
