'use strict';

// When the ways out of the app are hooked: not before there is a context that could go out, and each
// not before the app has loaded it.

const { isLoaded, subscribe, Hook } = require('./hook.cjs');
const others = require('./others.cjs');
const undici = require('./undici.cjs');

const WAYS = [
  ['net', () => require('./shared.cjs').hookSockets(require('net'))],
  ['worker_threads', () => require('./shared.cjs').hookMessages(require('worker_threads').Worker)],
  ['child_process', () => require('./shared.cjs').hookMessages(require('child_process').ChildProcess)],
  ['http', () => require('./http.cjs').hook(require('http'))],
  ['http2', () => require('./http2.cjs').hook(require('http2'))],
].map(([module, hook]) => ({ module, hook, guard: new Hook(module), done: false }));

let wanted = false;

exports.listen = () => [
  // A client can be loaded late. It opens a connection before it sends on it.
  subscribe('net.client.socket', 'outbound', () => wanted && hookLoaded()),
  subscribe('undici:request:create', 'undici', (message) => wanted && undici.created(message)),
];

exports.install = () => {
  if (wanted) return;
  wanted = true;
  others.lookAround();
  undici.hookCopies();
  hookLoaded();
};

function hookLoaded() {
  for (const way of WAYS) {
    if (way.done || !isLoaded(way.module)) continue;
    way.done = true;
    way.guard.guard(way.hook);
  }
}
