import { expect, test } from 'vitest';
import { Store } from '../base/sqlite.ts';
import { Key } from '../link/identity.ts';
import type { Link } from '../link/link.ts';
import * as wire from './admin-wire.ts';
import { encodeInvitation, readInvitation, signInvitation } from './invitation.ts';
import { parseInvite } from './invite.ts';
import { Joining } from './joining.ts';
import * as messages from './messages.ts';
import { Guest, Lab } from './testing.ts';

async function administered(lab = new Lab()): Promise<{ lab: Lab; root: Guest; link: Link }> {
  const root = new Guest('root', lab.clock);
  lab.admins.replace([root.account.id]);
  const [link] = await lab.link(root);
  return { lab, root, link };
}

async function announce(lab: Lab, guest: Guest, token?: string): Promise<Link> {
  const [link] = await lab.link(guest);
  await link.request(messages.announce, { record: guest.record(), token });
  return link;
}

const tokenOf = (invite: string): string => parseInvite(invite).token ?? expect.fail('no token');

test('only an admin administers, and only zones that are served [A-2] [A-3]', async () => {
  const { lab, link } = await administered();
  const [stranger] = await lab.link(new Guest('mallory', lab.clock));
  const asks = (to: Link): Promise<unknown>[] => [
    to.request(wire.policy, { zone: 'lab', policy: 'closed' }),
    to.request(wire.invite, { zone: 'lab', uses: 1, ttlMs: 1000 }),
    to.request(wire.list, { zone: 'lab' }),
    to.request(wire.revoke, { handle: 'root@lab' }),
    to.request(wire.rename, { handle: 'root@lab', to: 'mallory@lab' }),
    to.request(wire.free, { handle: 'root@lab' }),
  ];
  for (const asked of asks(stranger)) await expect(asked).rejects.toMatchObject({ code: 'forbidden' });
  await expect(link.request(wire.list, { zone: 'elsewhere' })).rejects.toMatchObject({ code: 'unknown_zone' });
  expect(await link.request(wire.policy, { zone: 'lab' })).toEqual({ zone: 'lab', policy: 'open' });
});

test('a closed zone takes nobody new, keeps whom it has, and lets its admins in [A-11]', async () => {
  const { lab, root, link } = await administered();
  const alice = new Guest('alice', lab.clock);
  await announce(lab, alice);
  await link.request(wire.policy, { zone: 'lab', policy: 'closed' });
  await expect(announce(lab, new Guest('bob', lab.clock))).rejects.toMatchObject({
    code: 'not_invited',
    data: { policy: 'closed', zone: 'lab' },
  });
  lab.clock.pass(1);
  await announce(lab, alice);
  await announce(lab, root);
  const again = new Joining({ store: lab.store, clock: lab.clock, key: lab.key, admins: lab.admins });
  expect(again.policyOf('lab')).toBe('closed');
});

test('what the operator has settled is not for admins to change [A-11]', async () => {
  const { lab, link } = await administered();
  lab.joining.settle('invite');
  await expect(link.request(wire.policy, { zone: 'lab', policy: 'open' })).rejects.toMatchObject({
    code: 'wrong_state',
  });
  expect(await link.request(wire.policy, { zone: 'lab' })).toMatchObject({ policy: 'invite' });
});

test('an invite lets in so many, and each refusal says why [A-10] [A-12]', async () => {
  const { lab, link } = await administered();
  await link.request(wire.policy, { zone: 'lab', policy: 'invite' });
  const { invite, until } = await link.request(wire.invite, { zone: 'lab', uses: 2, ttlMs: 60_000 });
  const token = tokenOf(invite);
  expect(readInvitation(token)).toMatchObject({ zone: 'lab', uses: 2, until, by: lab.key.id });
  const refused = (name: string, brought?: string) => announce(lab, new Guest(name, lab.clock), brought);
  const reason = (why: string) => ({ code: 'not_invited', data: { reason: why }, message: expect.any(String) });

  await expect(refused('a')).rejects.toMatchObject(reason('missing'));
  await expect(refused('a', `${token}x`)).rejects.toMatchObject(reason('unreadable'));
  const claim = { zone: 'lab', uses: 9, until: lab.clock.now() + 1000 };
  const forged = { ...signInvitation(lab.key, claim), uses: 10 };
  await expect(refused('a', encodeInvitation(forged))).rejects.toMatchObject(reason('unreadable'));
  const strangers = signInvitation(Key.generate(), claim);
  await expect(refused('a', encodeInvitation(strangers))).rejects.toMatchObject(reason('not_an_admin'));
  const elsewhere = signInvitation(lab.key, { ...claim, zone: 'elsewhere' });
  await expect(refused('a', encodeInvitation(elsewhere))).rejects.toMatchObject(reason('other_zone'));

  const alice = new Guest('alice', lab.clock);
  await announce(lab, alice, token);
  lab.clock.pass(1);
  await announce(lab, alice, token); // a second announce is no use
  await announce(lab, new Guest('bob', lab.clock), token);
  await expect(refused('carol', token)).rejects.toMatchObject(reason('used_up'));
  const late = await link.request(wire.invite, { zone: 'lab', uses: 1, ttlMs: 1000 });
  lab.clock.pass(1000);
  await expect(refused('carol', tokenOf(late.invite))).rejects.toMatchObject(reason('expired'));
});

test('an invitation that an admin signed holds as long as they are one [A-12]', async () => {
  const { lab, root } = await administered();
  lab.joining.setPolicy('lab', 'invite');
  const token = encodeInvitation(signInvitation(root.account, { zone: 'lab', uses: 9, until: lab.clock.now() + 1000 }));
  await announce(lab, new Guest('alice', lab.clock), token);
  lab.admins.replace([]);
  await expect(announce(lab, new Guest('bob', lab.clock), token)).rejects.toMatchObject({
    data: { reason: 'not_an_admin' },
  });
});

test('two who race for the last use: one is in; a refused name is no use [A-13]', async () => {
  const { lab, link } = await administered();
  await announce(lab, new Guest('taken', lab.clock));
  await link.request(wire.policy, { zone: 'lab', policy: 'invite' });
  const { invite } = await link.request(wire.invite, { zone: 'lab', uses: 1, ttlMs: 60_000 });
  const token = tokenOf(invite);
  await expect(announce(lab, new Guest('taken', lab.clock), token)).rejects.toMatchObject({ code: 'name_taken' });
  const both = await Promise.allSettled(
    ['alice', 'bob'].map((name) => announce(lab, new Guest(name, lab.clock), token)),
  );
  expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  const next = new Joining({ store: lab.store, clock: lab.clock, key: lab.key, admins: lab.admins });
  expect(() => next.admit('carol@lab', Key.generate().id, token)).toThrow(
    expect.objectContaining({ data: expect.objectContaining({ reason: 'used_up' }) }),
  );
});

test('a revoked handle leaves the list at once, and nobody has it until it is freed [A-20] [A-22] [A-23] [D-5]', async () => {
  const { lab, link } = await administered();
  const [bob, watcher] = [new Guest('bob', lab.clock), new Guest('watcher', lab.clock)];
  const his = await announce(lab, bob);
  const eyes = await announce(lab, watcher);
  await eyes.request(messages.watch, {});
  expect(lab.table.isBound(bob.account.id)).toBe(true);
  expect(await link.request(wire.revoke, { handle: 'bob@lab' })).toMatchObject({
    handle: { state: 'revoked', online: false, account: bob.account.id },
  });
  await bob.recalled.promise;
  await watcher.hears((heard) => heard.some(({ gone }) => gone.includes(bob.account.id)));
  expect(lab.table.isBound(bob.account.id)).toBe(false);
  await expect(eyes.request(messages.find, { handle: 'bob@lab' })).rejects.toMatchObject({ code: 'unknown_handle' });
  lab.clock.pass(1);
  const { seq, until, sig } = bob.record();
  await expect(his.request(messages.renew, { seq, until, sig })).rejects.toMatchObject({ code: 'wrong_state' });
  await expect(announce(lab, bob)).rejects.toMatchObject({ code: 'revoked', data: { handle: 'bob@lab' } });
  const other = new Guest('bob', lab.clock);
  await expect(announce(lab, other)).rejects.toMatchObject({ code: 'name_taken' });

  // It holds across a restart.
  const again = new Lab({ store: lab.store, clock: lab.clock });
  lab.clock.pass(1);
  await expect(announce(again, bob)).rejects.toMatchObject({ code: 'revoked' });

  await link.request(wire.free, { handle: 'bob@lab' });
  await announce(lab, other);
  await expect(link.request(wire.free, { handle: 'bob@lab' })).rejects.toMatchObject({ code: 'wrong_state' });
});

test('a renamed account is the same one by another name; the old one leads to the new [A-21] [A-22]', async () => {
  const { lab, link } = await administered();
  const alice = new Guest('alice', lab.clock);
  const hers = await announce(lab, alice);
  await announce(lab, new Guest('carol', lab.clock));
  await expect(link.request(wire.rename, { handle: 'alice@lab', to: 'carol@lab' })).rejects.toMatchObject({
    code: 'name_taken',
  });
  await expect(link.request(wire.rename, { handle: 'alice@lab', to: 'alice@other' })).rejects.toMatchObject({
    code: 'invalid_argument',
  });
  await link.request(wire.rename, { handle: 'alice@lab', to: 'alicia@lab' });
  await alice.recalled.promise;
  await link.request(wire.rename, { handle: 'alicia@lab', to: 'ali@lab' });
  lab.clock.pass(1);
  await expect(hers.request(messages.announce, { record: alice.record() })).rejects.toMatchObject({
    code: 'renamed',
    data: { handle: 'ali@lab' },
  });
  await hers.request(messages.announce, { record: alice.record({ handle: 'ali@lab' }) });
  expect(await hers.request(messages.find, { handle: 'ali@lab' })).toMatchObject({
    entry: { record: { account: alice.account.id } },
  });
  await expect(announce(lab, new Guest('alice', lab.clock))).rejects.toMatchObject({ code: 'name_taken' });
  const { handles } = await link.request(wire.list, { zone: 'lab' });
  expect(handles.map(({ handle, state, to, online }) => [handle, state, to, online])).toEqual([
    ['ali@lab', 'bound', null, true],
    ['alice@lab', 'renamed', 'ali@lab', false],
    ['alicia@lab', 'renamed', 'ali@lab', false],
    ['carol@lab', 'bound', null, true],
  ]);
  // Back to the first name: it is hers still.
  await link.request(wire.rename, { handle: 'ali@lab', to: 'alice@lab' });
  lab.clock.pass(1);
  await hers.request(messages.announce, { record: alice.record() });
  // With the name go those that lead to it.
  await link.request(wire.revoke, { handle: 'alice@lab' });
  lab.clock.pass(1);
  await expect(hers.request(messages.announce, { record: alice.record({ handle: 'ali@lab' }) })).rejects.toMatchObject({
    code: 'revoked',
  });
});

test('handles are listed in pages [A-3]', async () => {
  const { lab, link } = await administered(new Lab({ store: new Store(':memory:') }));
  const bind = lab.store.prepare('INSERT INTO directory_handles (handle, account, since) VALUES (?, ?, ?)');
  const account = Key.generate().id;
  for (let n = 0; n < wire.PAGE_HANDLES + 1; n++) bind.run(`n${String(n).padStart(4, '0')}@lab`, account, 1);
  const first = await link.request(wire.list, { zone: 'lab' });
  expect([first.handles.length, first.next]).toEqual([wire.PAGE_HANDLES, 'n0499@lab']);
  const rest = await link.request(wire.list, { zone: 'lab', after: first.next ?? undefined });
  expect(rest).toMatchObject({ handles: [{ handle: 'n0500@lab' }], next: null });
});
