/** Streams of events as operations give them: every error becomes one that may cross a door, every wait can be ended. */

export function isStream(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}

type Ends = {
  /** Ends the stream at once, also where its source does not look at the signal. */
  signal?: AbortSignal | undefined;
  /** What is thrown to the reader for what was thrown inside, or for the signal's abort. */
  fault(error: unknown): Error;
};

/** The same values; errors mapped, and no wait longer than the signal allows. */
export async function* guarded<T>(source: AsyncIterable<T>, { signal, fault }: Ends): AsyncGenerator<T, void, void> {
  const iterator = source[Symbol.asyncIterator]();
  try {
    for (;;) {
      const step = await unlessAborted(iterator.next(), signal);
      if (step.done) {
        signal?.throwIfAborted();
        return;
      }
      yield step.value;
    }
  } catch (error) {
    throw fault(error);
  } finally {
    // Not awaited: a source that waits for its next event answers only after that event.
    Promise.resolve(iterator.return?.()).catch(() => {});
  }
}

// One listener per wait, taken off again: a race against one long-lived promise would keep a reaction for each value.
function unlessAborted<T>(wait: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return wait;
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    wait.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}
