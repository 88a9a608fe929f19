#!/usr/bin/env node
// Only what the oldest Node understands stands above this check: everything else is loaded after it.
const major = Number(process.versions.node.split('.')[0]);
if (major < 24) {
  process.stderr.write(
    `netapp: running on Node.js ${process.versions.node}: it needs 24 or newer; install it and try again\n`,
  );
  process.exit(55);
}

const { enableCompileCache } = await import('node:module');
enableCompileCache();
const [{ readVersion }, { runCli }, { processCommands }] = await Promise.all([
  import('./version.ts'),
  import('../cli/cli.ts'),
  import('./commands.ts'),
]);

const interrupt = new AbortController();
function onSignal(name: NodeJS.Signals): void {
  // The second time, whoever asks does not want to wait.
  if (interrupt.signal.aborted) process.exit(130);
  interrupt.abort(name);
}
process.on('SIGINT', onSignal);
process.on('SIGTERM', onSignal);

const code = await runCli({
  argv: process.argv.slice(2),
  env: process.env,
  cwd: process.cwd(),
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  version: await readVersion(),
  signal: interrupt.signal,
  processCommands,
});
// Ends also where something still waits, but not before what was written has left.
await Promise.all([process.stdout, process.stderr].map((stream) => new Promise((done) => stream.write('', done))));
process.exit(code);

export {};
