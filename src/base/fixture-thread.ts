/** A thread's program for thread.test.ts. */
import { answerQuestions } from './thread.ts';

answerQuestions((question: number | string) => {
  if (question === 'die') return () => {}; // cannot be sent: nothing catches that
  if (typeof question !== 'number') throw new Error(`"${question}" is no number`);
  return question * 2;
});
