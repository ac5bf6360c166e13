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
const LENGTHS = Array.from({ length: 64 }, () => false);
for (const { length } of TRACE_HEADERS) LENGTHS[length] = true;
const MARKER = 'throughline-forwarder';
const LONGEST_VALUE = 4096;
const VISIBLE = /^[\x20-\x7e]+$/;

const storage = new AsyncLocalStorage();
exports.storage = storage;

function isTraceHeader(name) {
  return LENGTHS[name.length] === true && TRACE_HEADERS.has(name.toLowerCase());
}
exports.isTraceHeader = isTraceHeader;

// The trace headers among `raw`, both of them name, value, name, value; undefined for none.
function carried(raw) {
  let found;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i];
    if (!isTraceHeader(name)) continue;
    found = found || [];
    found.push(name.toLowerCase(), raw[i + 1]);
  }
  if (found === undefined) return undefined;
  const kept = [];
  for (let i = 0; i < found.length; i += 2) {
    if (fits(found, i)) kept.push(found[i], found[i + 1]);
  }
  // Of no use, and of no meaning, on its own.
  const alone = times(kept, 'traceparent') === 0;
  for (let i = kept.length - 2; alone && i >= 0; i -= 2) if (kept[i] === 'tracestate') kept.splice(i, 2);
  return kept.length > 0 ? kept : undefined;
}

function fits(found, at) {
  const value = found[at + 1];
  if (typeof value !== 'string' || value.length > LONGEST_VALUE || !VISIBLE.test(value)) return false;
  // One that came twice does not say which of the two is meant.
  return times(found, found[at]) === 1;
}

function times(pairs, name) {
  let count = 0;
  for (let i = 0; i < pairs.length; i += 2) if (pairs[i] === name) count += 1;
  return count;
}

class Context {
  constructor(carries, response) {
    this.carries = carries;
    // The exchange that it is the context of, held weakly.
    this.exchange = undefined;
    this.text = undefined;
    this.ended = false;
    this.until = Infinity;
    if (settings.grace > 0) {
      response.once('close', () => {
        this.until = performance.now() + settings.grace;
      });
    }
  }

  // What is added to a call, as pairs.
  get headers() {
    const pairs = [];
    const { carries } = this;
    for (let i = 0; i < carries.length; i += 2) pairs.push([carries[i], carries[i + 1]]);
    pairs.push([MARKER, NAME_AND_VERSION]);
    return pairs;
  }

  // And as it is written in HTTP/1.1.
  get lines() {
    if (this.text === undefined) {
      const { carries } = this;
      let lines = '';
      for (let i = 0; i < carries.length; i += 2) lines += `${carries[i]}: ${carries[i + 1]}\r\n`;
      this.text = `${lines}${MARKER}: ${NAME_AND_VERSION}\r\n`;
    }
    return this.text;
  }

  isLive() {
    if (this.ended) return false;
    this.ended = settings.grace > 0 ? performance.now() > this.until : this.isOver();
    return !this.ended;
  }

  isOver() {
    const exchange = this.exchange.deref();
    // It is gone with its connection, or another request has it by now.
    return exchange === undefined || exchange.context !== this || hasEnded(exchange.response);
  }
}

// For the response of HTTP/1 and for the stream of HTTP/2.
function hasEnded(response) {
  if (response.writableEnded || response.destroyed) return true;
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

// Makes this context the current one, until `leave` is given what comes back. That is the context itself
// where there is nothing to leave: `AsyncLocalStorage.run` would do the same, but needs a closure and a
// copy of the arguments for each event. An app's event is not lost when the storage is what fails.
function enter(context) {
  try {
    const outer = storage.getStore();
    if (outer !== context) storage.enterWith(context);
    return outer;
  } catch {
    return context;
  }
}
exports.enter = enter;

// What was current before `enter`.
function leave(outer) {
  try {
    storage.enterWith(outer);
  } catch {
    // Then it could not be entered either.
  }
}
exports.leave = leave;

// Calls `original` in this context, or in none. What it throws passes through untouched: to catch and
// throw again would have Node print our line for the app's uncaught error.
exports.runIn = (context, original, self, args) => {
  const outer = enter(context);
  try {
    return Reflect.apply(original, self, args);
  } finally {
    if (outer !== context) leave(outer);
  }
};
