/** The side that calls a tracker, by whichever kind of address it was given. */
import { isProxied } from './address.ts';
import { dialLink, type LinkDialOptions } from './dial.ts';
import { dialProxiedLink } from './dial-proxied.ts';
import type { Link } from './link.ts';

/** `ca`: PEM of an authority that signed for a proxy, beside the known ones. Throws as `dialLink` and `dialProxiedLink` do. */
export const dialTracker = (options: LinkDialOptions & { ca?: string | undefined }): Promise<Link> =>
  isProxied(options.address) ? dialProxiedLink(options) : dialLink(options);
