'use strict';

// Copies the trace headers of the request that is being handled onto the calls made while handling it.
// ../README.md is the contract.
//
// Nothing is loaded or changed before the app itself serves HTTP: this file only listens to Node's
// diagnostics channels, which say when a server takes its first connection or request. A process that
// serves nothing (npm, a build, a health check) pays for reading the files and for nothing else.

try {
  const { settings } = require('./settings.cjs');
  const known = settings !== undefined && knownRuntime() && firstOfItsKind();
  if (known) require('./inbound.cjs').listen();
} catch (error) {
  // An app must start without us as it starts with us.
  if (process.env.THROUGHLINE_FORWARD_DEBUG === '1') {
    process.stderr.write(`throughline-forwarder: not loaded: ${error && error.stack}\n`);
  }
}

// The hooks are written for these and tested on them. A newer Node waits for a newer forwarder.
function knownRuntime() {
  const { node, bun, deno, electron } = process.versions;
  const major = Number.parseInt(node, 10);
  return !bun && !deno && !electron && major >= 18 && major <= 24;
}

// A variable that is put together from several places can name the forwarder twice, at two paths.
function firstOfItsKind() {
  const mark = Symbol.for('throughline.forwarder');
  if (globalThis[mark] !== undefined) return false;
  Object.defineProperty(globalThis, mark, { value: true });
  return true;
}
