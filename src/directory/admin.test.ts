import { expect, test } from 'vitest';
import { z } from 'zod';
import { method } from '../link/message.ts';
import { pair } from '../link/pair.ts';
import { Router } from '../link/router.ts';
import { Admins, needsAdmin } from './admin.ts';
import { Guest, HandClock, helloOf } from './testing.ts';

const change = method('test.change', { params: z.object({}), result: z.object({ done: z.boolean() }) });

test('only an account that is named may administer, and only as long as it is [A-1] [A-2]', async () => {
  const clock = new HandClock();
  const [root, guest] = [new Guest('root', clock), new Guest('guest', clock)];
  const admins = new Admins([root.account.id]);
  const router = new Router().handle(change, () => ({ done: true }), { needs: needsAdmin(admins) });
  const linkOf = async (who: Guest, hello = who.hello) => {
    const [link] = await pair(
      { router: who.router, self: hello, id: who.node.id },
      { router, self: helloOf('tracker'), id: guest.account.id },
      clock,
    );
    return link;
  };
  const link = await linkOf(root);
  expect(await link.request(change, {})).toEqual({ done: true });
  await expect((await linkOf(guest)).request(change, {})).rejects.toMatchObject({ code: 'forbidden' });
  await expect((await linkOf(root, helloOf('node'))).request(change, {})).rejects.toMatchObject({
    code: 'unauthenticated',
  });
  admins.replace([guest.account.id]);
  await expect(link.request(change, {})).rejects.toMatchObject({ code: 'forbidden' });
});
