/** A worker thread that answers one question after the other: started when it is first asked, ended when it was not asked for a while. */
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { Fault, toFault } from './fault.ts';

/** Milliseconds without a question after which a thread ends, and gives its memory back. */
const IDLE_MS = 30_000;

type Answered<A> = { answer: A } | { error: string };

export class Thread<Question, Answer> implements AsyncDisposable {
  readonly #program: string;
  readonly #base: string;
  readonly #data: unknown;
  readonly #asked: { resolve(answer: Answer): void; reject(error: Error): void }[] = [];
  #worker: Worker | undefined;
  #idle: NodeJS.Timeout | undefined;

  /** `program`: name of a module beside `base` (an `import.meta.url`), without its extension; `data` is handed to it. */
  constructor(program: string, base: string, data: unknown = undefined) {
    this.#program = program;
    this.#base = base;
    this.#data = data;
  }

  /** Answers come in the order of the questions. Throws `internal` where the thread fails; the next question starts another. */
  ask(question: Question): Promise<Answer> {
    clearTimeout(this.#idle);
    this.#worker ??= this.#start();
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    this.#asked.push({ resolve, reject });
    this.#worker.postMessage(question);
    return promise;
  }

  #start(): Worker {
    // As published the program is JavaScript, like this file is then.
    const extension = this.#base.endsWith('.ts') ? 'ts' : 'js';
    const worker = new Worker(new URL(`./${this.#program}.${extension}`, this.#base), { workerData: this.#data });
    worker.unref(); // a node that ends does not wait for it
    worker.on('message', (answered: Answered<Answer>) => {
      const first = this.#asked.shift();
      if ('error' in answered) first?.reject(new Fault('internal', `asking a thread: ${answered.error}`));
      else first?.resolve(answered.answer);
      if (this.#asked.length > 0) return;
      this.#idle = setTimeout(() => void this.#end(), IDLE_MS).unref();
    });
    worker.on('error', (error) => this.#failed(worker, toFault(error, 'running a thread', 'internal')));
    worker.on('exit', () => this.#failed(worker, new Fault('internal', 'running a thread: it ended')));
    return worker;
  }

  #failed(worker: Worker, fault: Fault): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    for (const { reject } of this.#asked.splice(0)) reject(fault);
  }

  async #end(): Promise<void> {
    const worker = this.#worker;
    if (worker) this.#failed(worker, new Fault('cancelled', 'the thread is not needed any more'));
    await worker?.terminate();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#idle);
    await this.#end();
  }
}

/** In the thread's program: answers each question with what `answer` gives. */
export function answerQuestions<Question, Answer>(answer: (question: Question) => Answer): void {
  if (isMainThread) throw new Error('this program is for a thread');
  parentPort?.on('message', (question: Question) => {
    let answered: Answered<Answer>;
    try {
      answered = { answer: answer(question) };
    } catch (error) {
      answered = { error: String(error) };
    }
    parentPort?.postMessage(answered);
  });
}
