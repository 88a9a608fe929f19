import { dirname, join, resolve } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { candidates, isPlainPath, offeredName, safeName } from './paths.ts';

const nasty = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 400 }),
  fc.string({ unit: 'binary', maxLength: 400 }),
  fc
    .array(
      fc.constantFrom('..', '.', '/', '\\', ' ', 'CON', 'aux', '\0', '\u202e', ':', 'é'.repeat(100), '.tar.gz', 'x'),
      { maxLength: 6 },
    )
    .map((parts) => parts.join('')),
);

const names = (name: string): string[] => {
  try {
    return [safeName(name), safeName(name, 'win32')];
  } catch (error) {
    expect(error).toMatchObject({ code: 'bad_name' });
    return [];
  }
};

test('a path that counts as plain is written as it is, on any system [F-20]', () => {
  const word = fc.oneof(
    fc.constantFrom(
      'con',
      'CON.txt',
      'aux ',
      'com1',
      'conin',
      'com10',
      '.netapp-x',
      '.',
      '..',
      ' a',
      'a ',
      'a.',
      'x'.repeat(250),
    ),
    fc.stringMatching(/^[\w .()+,=@~#-]{1,12}$/),
    fc.string({ maxLength: 5 }),
  );
  let plain = 0;
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 3 }), (words) => {
      const path = words.join('/');
      if (!isPlainPath(path)) return;
      plain += 1;
      for (const name of path.split('/')) {
        expect(names(name)).toEqual([name, name]);
      }
    }),
    { numRuns: 2000 },
  );
  expect(plain).toBeGreaterThan(100);
  expect(isPlainPath('folder-1/file 2.tar.gz')).toBe(true);
});

test('whatever the name, what is written stays directly inside the folder, and reads as it is [F-20]', () => {
  fc.assert(
    fc.property(nasty, fc.integer({ min: 0, max: 12 }), (name, skip) => {
      for (const safe of names(name)) {
        const tried = candidates(safe);
        for (let n = 0; n < skip; n++) tried.next();
        const written = tried.next().value ?? '';
        for (const text of [safe, written]) {
          expect(dirname(resolve('/target', text))).toBe('/target');
          expect(join('/target', text)).toBe(`/target/${text}`);
          expect(Buffer.byteLength(text)).toBeLessThanOrEqual(255);
          expect(text).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069/\\]|[. ]$/);
          expect(text.isWellFormed()).toBe(true);
          expect(text.startsWith('.netapp-')).toBe(false);
        }
      }
    }),
    { numRuns: 2000 },
  );
});

test('what is safe once is not changed again', () => {
  fc.assert(
    fc.property(nasty, (name) => {
      for (const safe of names(name).slice(0, 1)) expect(safeName(safe)).toBe(safe);
    }),
    { numRuns: 1000 },
  );
});

test.each(['', '.', '..', '/etc/passwd', '../x', 'a/b', 'a\\b', 'C:\\x', 'a\0b', '\ud800'])(
  'a name that asks for a place is refused: %j [F-20]',
  (name) => {
    expect(() => safeName(name)).toThrow(expect.objectContaining({ code: 'bad_name' }));
  },
);

test.each([
  ['report.pdf', 'report.pdf'],
  ['.bashrc', '.bashrc'],
  ['con', '_con'],
  ['LPT1.txt', '_LPT1.txt'],
  ['console.txt', 'console.txt'],
  ['a. . ', 'a'],
  ['...', '_'],
  ['\u202egpj.exe', '_gpj.exe'],
  ['a\nb', 'a_b'],
  ['.netapp-abc.part', '_.netapp-abc.part'],
  ['Bài tập.tar.gz', 'Bài tập.tar.gz'],
])('%j is written as %j [F-20]', (name, written) => {
  expect(safeName(name)).toBe(written);
});

test('characters that Windows does not allow are replaced there only', () => {
  expect(safeName('what? 10:30.txt', 'win32')).toBe('what_ 10_30.txt');
  expect(safeName('what? 10:30.txt', 'linux')).toBe('what? 10:30.txt');
});

test('a long name keeps its ending', () => {
  const safe = safeName(`${'é'.repeat(300)}.tar.gz`);
  expect(Buffer.byteLength(safe)).toBeLessThanOrEqual(255);
  expect(safe).toMatch(/^é+\.tar\.gz$/);
});

test('a taken name is counted up before its ending [F-22]', () => {
  expect([...candidates('a.txt').take(3)]).toEqual(['a.txt', 'a (2).txt', 'a (3).txt']);
  expect([...candidates('a.tar.gz').take(2)]).toEqual(['a.tar.gz', 'a (2).tar.gz']);
  expect([...candidates('.bashrc').take(2)]).toEqual(['.bashrc', '.bashrc (2)']);
});

test('a sender offers a name that others can take', () => {
  expect(safeName(offeredName('a\\b'))).toBe('a_b');
});
