/** What the settings say of the proxy before a tracker. */
import { Fault } from '../base/fault.ts';
import { parseProxied } from '../link/address.ts';
import type { BehindProxy } from '../tracker/tracker.ts';
import type { Settings } from './settings.ts';

const LOOPBACK = '127.0.0.1';

/** Undefined where the tracker stands behind none. Throws `invalid_argument`. */
export function behindProxyOf(settings: Settings): BehindProxy | undefined {
  const { behindProxy, publicUrls, trustedProxies, forwardedHeader } = settings;
  if (behindProxy === undefined) {
    if (publicUrls.length === 0) return undefined;
    throw new Fault(
      'invalid_argument',
      'starting the tracker: --public-url needs --behind-proxy PORT, where the proxy reaches it',
    );
  }
  const [, six, name, port = ''] = /^(?:(?:\[([0-9a-f:.]+)\]|([0-9.]+)):)?(\d{1,5})$/i.exec(behindProxy) ?? [];
  if (port === '' || Number(port) > 65_535) {
    throw new Fault('invalid_argument', `reading --behind-proxy "${behindProxy}": expected a port, or IP:PORT`);
  }
  if (publicUrls.length === 0) {
    throw new Fault(
      'invalid_argument',
      'starting the tracker: --behind-proxy needs --public-url wss://HOST/PATH, the address at which the proxy answers; nodes sign it',
    );
  }
  for (const url of publicUrls) parseProxied(url);
  return {
    host: six ?? name ?? LOOPBACK,
    port: Number(port),
    publicUrls,
    trusted: trustedProxies.length > 0 ? trustedProxies : undefined,
    header: forwardedHeader,
  };
}
