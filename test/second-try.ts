/** Prints why a test failed that passed when it was tried again: such a test is a bug to find, and its reason would be lost. */
import type { Reporter, TestCase } from 'vitest/node';

export class SecondTry implements Reporter {
  onTestCaseResult(test: TestCase): void {
    if (!test.diagnostic()?.flaky) return;
    for (const { message, stack } of test.result().errors ?? []) {
      process.stdout.write(`failed once: ${test.fullName}\n${stack ?? message}\n`);
    }
  }
}
