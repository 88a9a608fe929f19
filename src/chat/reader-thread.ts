/** The thread of reader.ts. */
import { answerQuestions } from '../base/thread.ts';
import { tell } from './reading.ts';

answerQuestions((entries: string) => tell(JSON.parse(entries)));
