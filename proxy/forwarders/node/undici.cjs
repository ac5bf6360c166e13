'use strict';

// Calls of undici, the one behind fetch and those of npm. A channel says when a request is created,
// which for one that waited in a pool is later than the call, and then within another request's work.
// So a dispatcher notes the context in which it is first asked to dispatch.

const { current, isTraceHeader } = require('./context.cjs');
const { Hook, replace } = require('./hook.cjs');
const others = require('./others.cjs');
const { excluded, goesToSidecar, settings } = require('./settings.cjs');
const { stamp } = require('./stamp.cjs');

const GLOBAL_DISPATCHERS = [1, 2].map((version) => Symbol.for(`undici.globalDispatcher.${version}`));
const SOURCE = /[\\/]lib[\\/](dispatcher[\\/])?dispatcher-base\.js$/;
const ABSOLUTE = /^http:\/\/([^/?#]*)/i;

const hook = new Hook('dispatch');
const hooked = new WeakSet();
// The first sight of a call, by its handler: every call has its own.
const calls = stamp();
// The copies of undici by their class of requests.
const copies = new WeakSet();
const origins = stamp();

// What is being dispatched right now.
let dispatching;

exports.hookCopies = () => {
  for (const name of GLOBAL_DISPATCHERS) hook.guard(hookCopy, globalThis[name]);
  for (const path of Object.keys(require.cache)) {
    if (!SOURCE.test(path)) continue;
    const { exports: DispatcherBase } = require.cache[path];
    if (typeof DispatcherBase === 'function') hook.guard(hookCopy, DispatcherBase.prototype);
  }
};

// All dispatchers of a copy that have connections inherit from this class.
function hookCopy(dispatcher) {
  let owner = dispatcher;
  while (owner && !(owner.constructor.name === 'DispatcherBase' && owns(owner, 'dispatch'))) {
    owner = Object.getPrototypeOf(owner);
  }
  if (!owner || hooked.has(owner)) return;
  hooked.add(owner);
  replace(owner, 'dispatch', (dispatch) => function (options, handler) {
    const outer = dispatching;
    dispatching = hook.guard(enter, outer, this, handler);
    try {
      return Reflect.apply(dispatch, this, arguments);
    } finally {
      dispatching = outer;
    }
  });
}

function owns(object, property) {
  return Object.prototype.hasOwnProperty.call(object, property);
}

function enter(outer, dispatcher, handler) {
  const isHandler = typeof handler === 'object' && handler !== null;
  const seen = isHandler ? calls.get(handler) : undefined;
  // From an agent to its pool and on to a client it is one call.
  const goesOn = outer !== undefined && (seen === undefined || seen === outer.call);
  const call = goesOn ? outer.call : firstSight(dispatcher, seen);
  if (isHandler && !calls.has(handler)) calls.set(handler, call);
  return { call, dispatcher };
}

function firstSight(dispatcher, seen) {
  const context = current();
  if (seen === undefined) return { context, entrance: dispatcher };
  // A call that waited goes on at a connection of the pool that took it in, a redirect below the
  // agent. A context that is there by then is not its own.
  if (seen.entrance !== dispatcher) return seen;
  // The same handler at the same entrance: tried again, or used for several calls by its owner.
  return seen.context === context ? seen : { ...seen, context: undefined };
}

exports.created = ({ request }) => {
  const isFirst = !copies.has(request.constructor);
  copies.add(request.constructor);
  let context;
  let peer;
  if (dispatching !== undefined) {
    const { call, dispatcher } = dispatching;
    ({ context } = call);
    // A connection that is opened in a way of its own can be a tunnel, and what is inside of one the
    // sidecar does not read.
    if (settings.everywhere && !ABSOLUTE.test(request.path) && opensItsOwnWay(call.entrance)) return;
    peer = originOf(dispatcher);
  } else if (isFirst) {
    // The first call of a copy cannot have waited for another. From here on its dispatchers are known,
    // unless it is one that is nowhere to be found, such as a bundled one.
    exports.hookCopies();
    context = current();
    if (!settings.everywhere && !ABSOLUTE.test(request.path)) peer = new URL(String(request.origin));
  }
  if (context === undefined || !context.isLive() || others.doTheJob()) return;
  if (request.method === 'CONNECT' || peer === undefined || peer.protocol !== 'http:') return;
  if (!goesToSidecar(peer.hostname, peer.port || 80)) return;
  if (isTraced(request.headers) || excluded(target(request))) return;
  for (const [name, value] of context.headers) request.addHeader(name, value);
};

// An agent still shows how it was told to connect. Pools and clients do not.
function opensItsOwnWay(dispatcher) {
  if (dispatcher.constructor.name !== 'Agent') return true;
  const { connect, socketPath } = propertyOf(dispatcher, 'options') || { connect: () => {} };
  return Boolean(socketPath || typeof connect === 'function' || (connect && connect.socketPath));
}

function propertyOf(object, description) {
  const symbol = Object.getOwnPropertySymbols(object).find((it) => it.description === description);
  return symbol && object[symbol];
}

// Where the connection of a client leads. The origin of the request is another where there is a proxy.
function originOf(dispatcher) {
  if (!origins.has(dispatcher)) {
    const url = propertyOf(dispatcher, 'url');
    origins.set(dispatcher, url instanceof URL ? url : undefined);
  }
  return origins.get(dispatcher);
}

// A flat list, or in version 5 the text that is sent.
function isTraced(headers) {
  if (typeof headers === 'string') {
    return headers.split('\r\n').some((line) => isTraceHeader(line.slice(0, line.indexOf(':'))));
  }
  if (!Array.isArray(headers)) throw new TypeError('unknown headers');
  return headers.some((name, at) => at % 2 === 0 && isTraceHeader(String(name)));
}

function target(request) {
  const [, authority] = ABSOLUTE.exec(request.path) || [];
  return authority || request.host || new URL(String(request.origin)).host;
}
