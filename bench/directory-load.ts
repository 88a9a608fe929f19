/** Asks a tracker over many links at once, as fast as it is answered. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Claim, signRecord } from '../src/directory/record.ts';
import { bind } from '../src/link/binding.ts';
import { createIdentity } from '../src/link/certificate.ts';
import type { HelloInfo } from '../src/link/hello.ts';
import { Key } from '../src/link/identity.ts';
import { answer } from './child.ts';
import { handleAt } from './directory-fill.ts';
import { frameOf, RawLink, type Target } from './raw-link.ts';

const self: HelloInfo = { protocol: { min: 1, max: 1 }, software: 'bench', role: 'node', account: null, batch: 1024 };
const ANSWER = Buffer.from('"jsonrpc"');
const REFUSED = Buffer.from('"error":{');
/** Of so many frames one is read word by word. */
const CHECKED_EVERY = 64;

const links: RawLink[] = [];
const identity = await createIdentity();

/** So many frames of `each` lookups, and who is looked up in all of them: the place in it is the request's id. */
function framesOf(count: number, each: number, accounts: number): { frames: Buffer[]; handles: string[] } {
  const handles = Array.from({ length: count * each }, () => handleAt(Math.floor(Math.random() * accounts)));
  const requests = handles.map((handle, id) => ({ jsonrpc: '2.0', id, method: 'directory.find', params: { handle } }));
  const frames = Array.from({ length: count }, (_, n) => {
    const said = requests.slice(n * each, (n + 1) * each);
    return frameOf(JSON.stringify(each === 1 ? said[0] : said));
  });
  return { frames, handles };
}

type Answer = { id: number; result: { entry: { record: { handle: string } } } };

/** Throws unless each answer is about who was asked for. */
function check(payload: Buffer, handles: readonly string[]): void {
  const said: unknown = JSON.parse(payload.toString());
  // Looked at below.
  for (const { id, result } of (Array.isArray(said) ? said : [said]) as Answer[]) {
    if (result.entry.record.handle === handles[id]) continue;
    throw new Error(`a wrong answer: ${payload.subarray(0, 300).toString()}`);
  }
}

function count(payload: Buffer): number {
  if (payload.includes(REFUSED)) throw new Error(`a lookup was refused: ${payload.subarray(0, 300).toString()}`);
  let found = 0;
  for (let at = payload.indexOf(ANSWER); at >= 0; at = payload.indexOf(ANSWER, at + ANSWER.length)) found += 1;
  return found;
}

type Asking = { each: number; window: number; accounts: number };

/** Keeps `window` frames of `each` lookups under way on one link until `over`; milliseconds of each frame. */
async function ask(link: RawLink, { each, window, accounts }: Asking, over: () => boolean) {
  const { frames, handles } = framesOf(window, each, accounts);
  const times: number[] = [];
  const sent: number[] = [];
  let [lookups, seen] = [0, 0];
  const send = (): void => {
    const frame = frames[sent.length % frames.length];
    sent.push(performance.now());
    if (frame) link.send(frame);
  };
  await new Promise<void>((resolve, reject) => {
    link.onEnd = () => reject(new Error('the tracker closed a link'));
    link.onFrame = (payload) => {
      try {
        if (seen++ % CHECKED_EVERY === 0) check(payload, handles);
        lookups += count(payload);
      } catch (error) {
        reject(error);
      }
      while (lookups >= (times.length + 1) * each) {
        times.push(performance.now() - (sent[times.length] ?? 0));
        if (!over()) send();
        else if (times.length === sent.length) resolve();
      }
    };
    for (let n = 0; n < window; n++) send();
  });
  return { times, lookups };
}

/** Announces that a tracker takes at once on one link. [D-14] */
const MOST_ANNOUNCES = 120;

/** A node that announces itself again and again. */
class Speaker {
  readonly link: RawLink;
  readonly #account: Key;
  readonly #claim: Omit<Claim, 'seq' | 'until'>;

  private constructor(link: RawLink, account: Key, claim: Omit<Claim, 'seq' | 'until'>) {
    this.link = link;
    this.#account = account;
    this.#claim = claim;
  }

  static async dial(target: Target, name: string): Promise<Speaker> {
    const [identity, account] = [await createIdentity(), Key.generate()];
    const handle = `${name}@bench`;
    const hello = { ...self, account: bind(account, handle, identity.id, Date.now()) };
    const link = await RawLink.dial(target, identity, hello);
    return new Speaker(link, account, { handle, node: identity.id, addresses: [], status: 'online', text: '' });
  }

  async speak(until: number): Promise<number> {
    for (let done = 0; ; done++) {
      if (performance.now() >= until || done === MOST_ANNOUNCES) return done;
      const now = Date.now();
      const record = signRecord(this.#account, { ...this.#claim, seq: now * 1000 + done, until: now + 60_000 });
      const said = { jsonrpc: '2.0', id: done + 2, method: 'directory.announce', params: { record } };
      const answer = await this.link.ask(JSON.stringify(said));
      if (!answer.includes('"result"')) throw new Error(answer);
    }
  }
}

answer({
  dial: async (target: Target, count: number) => {
    while (links.length < count) links.push(await RawLink.dial(target, identity, self));
  },
  /** Each of so many nodes says anew where it is, as soon as it was heard. */
  announces: async (target: Target, count: number, seconds: number) => {
    const speakers = await Promise.all(Array.from({ length: count }, (_, n) => Speaker.dial(target, `speaker-${n}`)));
    const at = performance.now();
    const until = at + seconds * 1000;
    const done = await Promise.all(speakers.map((speaker) => speaker.speak(until)));
    for (const { link } of speakers) link.socket.destroy();
    return { done: done.reduce((sum, some) => sum + some, 0), seconds: (performance.now() - at) / 1000 };
  },
  /** Lookups answered, in how many seconds, and the milliseconds that a frame of them took. */
  lookups: async (asking: Asking, seconds: number) => {
    let over = false;
    const at = performance.now();
    const all = links.map((link) => ask(link, asking, () => over));
    await Promise.race([sleep(seconds * 1000), ...all]);
    over = true;
    const done = await Promise.all(all);
    const times = done.flatMap(({ times }) => times).sort((a, b) => a - b);
    const quantile = (share: number): number =>
      times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0;
    const lookups = done.reduce((sum, { lookups }) => sum + lookups, 0);
    return { lookups, seconds: (performance.now() - at) / 1000, p50: quantile(0.5), p99: quantile(0.99) };
  },
});
