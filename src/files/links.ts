/** Which symlinks of a folder are taken along: those that stay inside it, whatever else is a symlink there. Pure. [F-26] */
import { posix } from 'node:path';

/**
 * What a link at `path` leads to, as a path in the same folder; undefined if it may lead out. `..` may stand only in front:
 * behind a name it would be taken from where that name leads, should it be a link too.
 */
export function linkEnd(path: string, target: string): string | undefined {
  if (target === '' || target.startsWith('/') || /[\\\0]/.test(target) || !target.isWellFormed()) return undefined;
  const names = target.replace(/\/+$/, '').split('/');
  const depth = path.split('/').length - 1;
  const ups = names.findIndex((name) => name !== '..');
  const up = ups < 0 ? names.length : ups;
  const rest = names.slice(up);
  if (up > depth || rest.some((name) => name === '' || name === '.' || name === '..')) return undefined;
  const end = posix.join(posix.dirname(path), ...names);
  return end === '.' ? '' : end;
}
