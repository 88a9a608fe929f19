/** What the page offers of the agent's operations, and what a first look at it costs. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { operationList } from '../src/api/catalogue.ts';

const root = resolve(import.meta.dirname, '..');
const built = join(root, 'dist-web');

/** What the page leaves out, and why. Whatever is neither here nor called in the page fails the test. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  'people.announce': 'the node does it by itself',
  'messages.follow': 'events carry the messages, and all else',
  'rooms.show': 'the list has all of each room',
  'files.show': 'the list has all of each file',
  'files.get': 'it takes and waits; the page takes, and shows how far it is',
  'files.follow': 'events carry every change of a file',
  'files.watch': 'events carry every change of a file',
  'files.autoAccept': 'people.set does it, into the downloads; other folders are named at the command line',
  'files.quota': 'set once, at the command line',
  'files.link': 'makes a secret for other programs',
  'files.links': 'as files.link',
  'files.revoke': 'as files.link',
  'files.certificate': 'for curl and others',
  'files.verify': 'for scripts: it reads again all that is here',
  'files.gc': 'for scripts',
  'network.check': 'the doctor says the same in words',
  'network.lan': 'a name without a tracker is to be made sure of before it is written to: at the command line',
  'zones.delegate': 'for those who run trackers, at the command line',
  'zones.revoke': 'as zones.delegate',
  'zones.policy': 'as zones.delegate',
  'zones.invite': 'as zones.delegate',
  'zones.uninvite': 'as zones.delegate',
  'zones.acceptKey': 'with the new key in hand, at the command line: whoever is asked on a page clicks yes',
  'handles.list': 'as zones.delegate',
  'handles.revoke': 'as zones.delegate',
  'handles.free': 'as zones.delegate',
  'jobs.create': 'the page does things now',
  'jobs.list': 'as jobs.create',
  'jobs.show': 'as jobs.create',
  'jobs.wait': 'as jobs.create',
  'jobs.cancel': 'as jobs.create',
  'jobs.retry': 'as jobs.create',
  'webhooks.create': 'for programs',
  'webhooks.list': 'for programs',
  'webhooks.show': 'for programs',
  'webhooks.delete': 'for programs',
  'webhooks.test': 'for programs',
  'webhooks.dead': 'for programs',
  'webhooks.replay': 'for programs',
  'tokens.create': 'a key that a page shows can be photographed',
  'tokens.list': 'as tokens.create',
  'tokens.revoke': 'as tokens.create',
  'sessions.open': 'the page stands inside one',
  'sessions.list': 'as tokens.create',
  'sessions.end': 'as tokens.create',
  'backup.create': 'it takes a path of the agent’s machine and a passphrase',
};

/** Bytes of a first look, compressed. */
const FIRST_LOOK = 350_000;

const sources = readdirSync(join(root, 'web/src'), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
  .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'));

test('every operation is offered by the page, or left out on purpose', () => {
  const called = new Set(
    sources.flatMap((text) => [...text.matchAll(/\bclient\.(\w+\.\w+)\(/g)].map(([, name]) => name)),
  );
  const names = operationList.map(({ name }) => name);
  expect([...called].filter((name) => name !== undefined && !names.includes(name))).toEqual([]);
  expect(names.filter((name) => !called.has(name)).sort()).toEqual(Object.keys(LEFT_OUT).sort());
});

test('the page knows of the program only what the operations look like', () => {
  const imports = sources.flatMap((text) => [
    ...text.matchAll(/import (type )?[^;]*?from '((?:\.\.\/){2,}src\/[^']+)'/g),
  ]);
  expect(imports.length).toBeGreaterThan(10);
  expect(imports.filter(([, isType, path]) => isType === undefined || !path?.includes('/src/api/'))).toEqual([]);
  expect(sources.filter((text) => /dangerouslySetInnerHTML|innerHTML/.test(text))).toEqual([]);
});

test('a first look costs less than 350 kB, and all of it comes from the agent', () => {
  const html = readFileSync(join(built, 'index.html'), 'utf8');
  const files = [...html.matchAll(/(?:src|href)="\/([^"]+)"/g)].map(([, path = '']) => path);
  expect(files.some((path) => path.endsWith('.js'))).toBe(true);
  expect(html).not.toMatch(/(?:src|href)="(?!\/)/);
  expect(html).not.toMatch(/<style|<script(?![^>]* src=)/);
  const bytes = files.reduce(
    (sum, path) => sum + gzipSync(readFileSync(join(built, path))).length,
    gzipSync(html).length,
  );
  expect(bytes).toBeLessThan(FIRST_LOOK);
});
