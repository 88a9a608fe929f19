/** What every TLS connection of nodes and trackers is made with, on both sides. [L-1] */

/** AES-128-GCM first: as strong as the keys that prove who speaks, and a sixth cheaper than the AES-256 that Node would take. */
export const TLS = {
  minVersion: 'TLSv1.3',
  ciphers: 'TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384',
} as const;
