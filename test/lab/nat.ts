/** What stands between a machine and the internet, by the words of RFC 4787 and 5382, and as rules for nftables. */

export type Nat = {
  /** Whether one inside address and port has one outside port for all it talks to, or another for each. */
  mapping: 'endpoint-independent' | 'per-destination';
  /** Where one inside port has one outside port: whether that is the inside one where it is free. */
  ports: 'kept' | 'random';
  /** Who may send to an outside port: anybody, whoever's address was sent to, or that address and port alone. */
  filtering: 'endpoint-independent' | 'address' | 'address-and-port';
  /** What somebody gets who sends a SYN that nobody waits for. */
  unsolicited: 'nothing' | 'reset';
  /** Whether a machine inside reaches another one inside by its outside address. */
  hairpin: boolean;
};

/** What most routers do. */
export const usualNat: Nat = {
  mapping: 'endpoint-independent',
  ports: 'kept',
  filtering: 'address-and-port',
  unsolicited: 'nothing',
  hairpin: false,
};

/** Outside ports that a NAT takes which does not keep the inside ones. */
const PORTS = 'mod 30000 seed 0x6e6574 offset 20000';

/** Rules of a router between `lan` and `wan`. `outPorts`: the only TCP ports that machines may send to, and no UDP. */
export function routerRules(options: {
  /** Its outside IPv4 address; without `nat` it only forwards. */
  outside: string;
  nat?: Nat | undefined;
  outPorts?: readonly number[] | undefined;
}): string {
  const { outside, nat, outPorts } = options;
  const out = outPorts ? `tcp dport { ${outPorts.join(', ')} } ` : '';
  const reset = nat?.unsolicited === 'reset' ? 'iifname "wan" meta l4proto tcp reject with tcp reset' : '';
  return `${nat ? natRules(outside, nat) : ''}
table inet guard {
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state invalid drop
    ct state established,related accept
    ct status dnat accept
    iifname "lan" oifname "wan" ${out}accept
  }
  chain input {
    type filter hook input priority filter; policy accept;
    ct state established,related accept
    meta l4proto { icmp, icmpv6 } accept
    ${reset}
    iifname "wan" drop
  }
}
`;
}

function natRules(outside: string, nat: Nat): string {
  const source = {
    kept: `snat ip to ${outside}`,
    random: `snat ip to ${outside} : jhash ip saddr . th sport ${PORTS}`,
    'per-destination': `snat ip to ${outside} : 20000-49999 fully-random`,
  }[nat.mapping === 'per-destination' ? nat.mapping : nat.ports];
  const hearsAll = nat.filtering === 'endpoint-independent';
  const enter = {
    'endpoint-independent': 'iifname "wan" dnat ip to meta l4proto . th dport map @inward',
    address: 'iifname "wan" meta l4proto . th dport . ip saddr @spoken dnat ip to meta l4proto . th dport map @inward',
    'address-and-port': '',
  }[nat.filtering];
  const hairpin = nat.hairpin ? `iifname "lan" ip daddr ${outside} dnat ip to meta l4proto . th dport map @inward` : '';
  const remembers = hearsAll || nat.filtering === 'address' || nat.hairpin;
  const key = 'meta l4proto . th sport';
  return `
table ip nat {
  map inward {
    type inet_proto . inet_service : ipv4_addr . inet_service
    flags dynamic,timeout
    timeout 120s
  }
  set spoken {
    type inet_proto . inet_service . ipv4_addr
    flags dynamic,timeout
    timeout 120s
  }
  chain leave {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "wan" meta l4proto { tcp, udp } ${source}
    oifname "wan" snat ip to ${outside}
    ${nat.hairpin ? `oifname "lan" ct status dnat meta l4proto { tcp, udp } ${source}` : ''}
  }
  chain remember {
    type filter hook postrouting priority srcnat + 10; policy accept;
    ${remembers ? `ip saddr ${outside} meta l4proto { tcp, udp } ct direction original update @inward { ${key} : ct original ip saddr . ct original proto-src }` : ''}
    ${nat.filtering === 'address' ? `ip saddr ${outside} meta l4proto { tcp, udp } update @spoken { ${key} . ip daddr }` : ''}
  }
  chain enter {
    type nat hook prerouting priority dstnat; policy accept;
    ${enter}
    ${hairpin}
  }
}
`;
}

/** A machine's own firewall: nothing comes in that it did not ask for. */
export const firewallRules = `
table inet guard {
  chain input {
    type filter hook input priority filter; policy drop;
    iifname "lo" accept
    ct state established,related accept
    meta l4proto { icmp, icmpv6 } accept
  }
}
`;
