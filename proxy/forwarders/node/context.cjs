'use strict';

// The trace headers of a request, for as long as its response has not ended.

const { AsyncLocalStorage } = require('async_hooks');
const { settings, NAME_AND_VERSION } = require('./settings.cjs');

const TRACE_HEADERS = new Set([
  'traceparent',
  'tracestate',
  'x-amzn-trace-id',
  'b3',
  'x-b3-traceid',
  'x-b3-spanid',
  'x-b3-parentspanid',
  'x-b3-sampled',
  'x-b3-flags',
  'uber-trace-id',
  'x-datadog-trace-id',
  'x-datadog-parent-id',
  'x-datadog-sampling-priority',
  'x-datadog-origin',
  'x-datadog-tags',
]);
// Most names of headers are told apart by their length, without a copy in lower case.
const LENGTHS = new Set([...TRACE_HEADERS].map((name) => name.length));
const MARKER = 'throughline-forwarder';
const LONGEST_VALUE = 4096;
const VISIBLE = /^[\x20-\x7e]+$/;

const storage = new AsyncLocalStorage();
exports.storage = storage;

function isTraceHeader(name) {
  return LENGTHS.has(name.length) && TRACE_HEADERS.has(name.toLowerCase());
}
exports.isTraceHeader = isTraceHeader;

// The trace headers among `raw`, which is name, value, name, value as it came; undefined for none.
function carried(raw) {
  let found;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    if (typeof raw[i] !== 'string' || !isTraceHeader(raw[i])) continue;
    const name = raw[i].toLowerCase();
    found = found || new Map();
    // One that came twice does not say which of the two is meant.
    found.set(name, found.has(name) ? undefined : raw[i + 1]);
  }
  if (found === undefined) return undefined;
  for (const [name, value] of found) {
    const fits = typeof value === 'string' && value.length <= LONGEST_VALUE && VISIBLE.test(value);
    if (!fits) found.delete(name);
  }
  if (!found.has('traceparent')) found.delete('tracestate');
  return found.size > 0 ? found : undefined;
}

class Context {
  constructor(headers, response) {
    // What is added to a call, as pairs and as it is written in HTTP/1.1.
    this.headers = [...headers, [MARKER, NAME_AND_VERSION]];
    this.lines = this.headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
    // Not held: a timer or a socket that keeps the context must not keep the request with it. Node
    // holds the response for as long as it has not ended.
    this.response = new WeakRef(response);
    this.ended = false;
    this.until = Infinity;
    if (settings.grace > 0) {
      response.once('close', () => {
        this.until = performance.now() + settings.grace;
      });
    }
  }

  isLive() {
    if (this.ended) return false;
    this.ended =
      settings.grace > 0 ? performance.now() > this.until : hasEnded(this.response.deref());
    return !this.ended;
  }
}

// For the response of HTTP/1 and for the stream of HTTP/2.
function hasEnded(response) {
  if (response === undefined || response.writableEnded || response.destroyed) return true;
  if (response.closed) return true;
  // The connection can be gone before a response that waits for its turn hears of it.
  const socket = response.req ? response.req.socket : undefined;
  return Boolean(socket && socket.destroyed);
}

// The context of a request with these headers, or undefined.
exports.contextOf = (raw, response) => {
  const headers = Array.isArray(raw) ? carried(raw) : undefined;
  return headers && new Context(headers, response);
};

// The context of the request that is being handled, if its response has not ended.
exports.current = () => {
  const context = storage.getStore();
  return context !== undefined && context.isLive() ? context : undefined;
};

// Calls `original` in this context, or in none. What it throws passes through untouched: to catch and
// throw again would have Node print our line for the app's uncaught error.
exports.runIn = (context, original, self, args) => {
  if (storage.getStore() === context) return Reflect.apply(original, self, args);
  let entered = false;
  try {
    return storage.run(context, () => {
      entered = true;
      return Reflect.apply(original, self, args);
    });
  } finally {
    // The app's event is not lost when the storage is what failed.
    // eslint-disable-next-line no-unsafe-finally
    if (!entered) return Reflect.apply(original, self, args);
  }
};
