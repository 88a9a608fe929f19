/** Finds in a text the names that its message mentions. */

/** What this needs of a Markdown tree. */
export type Node = { type: string; value?: string; children?: Node[]; data?: Record<string, unknown> };

/** Changes the tree: `@bob` of somebody who is meant becomes a span of its own. */
export function marked(tree: Node, mentions: readonly string[], me: string): void {
  const names = new Map(
    mentions.flatMap((handle) => [handle, handle.split('@')[0] ?? ''].map((name) => [name, handle])),
  );
  if (names.size === 0) return;
  const any = [...names.keys()]
    .sort((a, b) => b.length - a.length)
    .map((name) => name.replaceAll(/[^\p{L}\p{N}_@-]/gu, '\\$&'));
  const pattern = new RegExp(`@(${any.join('|')})(?![\\p{L}\\p{N}_])`, 'giu');
  const walk = (node: Node): void => {
    if (!node.children) return;
    node.children = node.children.flatMap((child) => {
      // A handle with its zone looks like a mail address, which Markdown makes a link of.
      if (child.type !== 'text' || child.value === undefined) {
        walk(child);
        return [child];
      }
      const pieces: Node[] = [];
      let from = 0;
      for (const match of child.value.matchAll(pattern)) {
        pieces.push({ type: 'text', value: child.value.slice(from, match.index) });
        const handle = names.get(match[1] ?? '') ?? '';
        const hProperties = { className: handle === me ? 'mention mention-me' : 'mention' };
        pieces.push({
          type: 'emphasis',
          data: { hName: 'span', hProperties },
          children: [{ type: 'text', value: match[0] }],
        });
        from = match.index + match[0].length;
      }
      if (pieces.length === 0) return [child];
      return [...pieces, { type: 'text', value: child.value.slice(from) }];
    });
  };
  walk(tree);
}
