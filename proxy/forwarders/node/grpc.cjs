'use strict';

// Calls of @grpc/grpc-js. Its streams are opened when a connection is ready, by whatever is running
// then. What it carries from the call to the stream is the call's own copy of the metadata, so the
// context goes along with that.

const { current } = require('./context.cjs');
const { Hook, replace } = require('./hook.cjs');
const { stamp } = require('./stamp.cjs');

const SOURCES = /[\\/]@grpc[\\/]grpc-js[\\/]build[\\/]src[\\/]resolving-call\.js$/;
const SEARCHES = 5;

const hook = new Hook('grpc');
// Of a copy of metadata and of the headers made from it.
const madeIn = stamp();
const hooked = new WeakSet();
let searches = 0;
// The metadata of the call that is starting, and its context.
let starting;

exports.contextOf = (headers) => {
  if (madeIn.has(headers)) return madeIn.get(headers);
  // Of a copy that is not known yet.
  hookCopies();
  return undefined;
};

function hookCopies() {
  if (searches >= SEARCHES) return;
  searches += 1;
  for (const path of Object.keys(require.cache)) {
    if (SOURCES.test(path)) hook.guard(hookCopy, path);
  }
}
exports.hookCopies = hookCopies;

function hookCopy(path) {
  const { ResolvingCall } = require.cache[path].exports;
  if (hooked.has(ResolvingCall)) return;
  hooked.add(ResolvingCall);
  const { Metadata } = require.cache[path.replace(/resolving-call\.js$/, 'metadata.js')].exports;

  replace(ResolvingCall.prototype, 'start', (start) => function (metadata) {
    const outer = starting;
    starting = hook.guard(() => ({ metadata, context: current() }));
    try {
      return Reflect.apply(start, this, arguments);
    } finally {
      starting = outer;
    }
  });
  replace(Metadata.prototype, 'clone', (clone) => function () {
    const copy = Reflect.apply(clone, this, arguments);
    hook.guard(copied, this, copy);
    return copy;
  });
  replace(Metadata.prototype, 'toHttp2Headers', (toHttp2Headers) => function () {
    const headers = Reflect.apply(toHttp2Headers, this, arguments);
    hook.guard(inherit, this, headers);
    return headers;
  });
}

// An app can use the same metadata for all its calls. Only the copy that a call takes is the call's.
function copied(metadata, copy) {
  if (starting !== undefined && starting.metadata === metadata) madeIn.set(copy, starting.context);
  else inherit(metadata, copy);
}

function inherit(from, to) {
  if (madeIn.has(from)) madeIn.set(to, madeIn.get(from));
}
