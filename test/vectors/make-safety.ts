/** Writes test/vectors/safety.json: two accounts, and what both of them compare. */
import { writeFileSync } from 'node:fs';
import { safetyOf } from '../../src/directory/safety.ts';

const a = 'rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oa';
const b = 'qe4xodvipulv6vvdkrtmgtd6ztfy3curwtxdpis56yhvxd6jwoka';
const hashed = `netapp.1 safety\n["${b}","${a}"]`;
const vector = { about: 'A pair of accounts, what is hashed of it, and its safety number.', accounts: [a, b], hashed };
const path = new URL('safety.json', import.meta.url);
writeFileSync(path, `${JSON.stringify({ ...vector, ...safetyOf(a, b) }, null, 2)}\n`);
