'use strict';

// Calls of node:http2: `session.request`, which takes the headers of one stream.

const { Duplex } = require('stream');
const { current, isTraceHeader, storage } = require('./context.cjs');
const grpc = require('./grpc.cjs');
const { Hook, prototypeNamed, replace } = require('./hook.cjs');
const others = require('./others.cjs');
const { excluded, goesToSidecar } = require('./settings.cjs');
const { dialled } = require('./shared.cjs');

exports.hook = (http2) => {
  grpc.hookCopies();
  const hook = new Hook('http2 call');
  replace(sessions(http2), 'request', (request) => function (headers, ...rest) {
    const more = hook.guard(added, this, headers);
    return Reflect.apply(request, this, more === undefined ? arguments : [more, ...rest]);
  });
};

// The class of client sessions is not exported, and an app can hold a session from before we came. So
// one is made that talks to nobody, and ended.
function sessions(http2) {
  const nowhere = new Duplex({ read() {}, write: (_chunk, _encoding, written) => written() });
  const session = storage.run(undefined, () =>
    http2.connect('http://localhost', { createConnection: () => nowhere }),
  );
  session.on('error', () => {});
  session.destroy();
  const prototype = prototypeNamed(session, 'ClientHttp2Session', 'request');
  if (prototype === undefined) throw new TypeError('unknown session');
  return prototype;
}

// The headers of a call with those of its context, or undefined.
function added(session, headers) {
  const context = contextOfCall(session, headers || {});
  if (context === undefined || !context.isLive() || others.doTheJob()) return undefined;
  if (!leadsToSidecar(session)) return undefined;
  const pairs = Array.isArray(headers) ? pairsOf(headers) : Object.entries(headers || {});
  if (pairs.some(([name]) => isTraceHeader(name))) return undefined;
  const named = new Map(pairs.map(([name, value]) => [name.toLowerCase(), value]));
  if (named.get(':method') === 'CONNECT') return undefined;
  const authority = named.get(':authority') || named.get('host') || ofSession(session, 'authority');
  if (excluded(authority)) return undefined;
  if (Array.isArray(headers)) return headers.concat(...context.headers);
  return { ...headers, ...Object.fromEntries(context.headers) };
}

function pairsOf(flat) {
  const pairs = [];
  for (let i = 0; i + 1 < flat.length; i += 2) pairs.push([flat[i], flat[i + 1]]);
  return pairs;
}

// Some libraries call this much later than they are called themselves, for instance when a connection
// is there, and then within whatever request happened to open it.
function contextOfCall(session, headers) {
  if (headers['content-type'] === 'application/grpc') return grpc.contextOf(headers);
  // undici, whose calls are seen to where they are dispatched.
  if (symbolsOf(session).some((symbol) => symbol.description === 'open streams')) return undefined;
  return current();
}

function leadsToSidecar(session) {
  const socket = ofSession(session, 'socket');
  // The session itself does not know before it is connected.
  if (!socket || socket.encrypted || session.encrypted) return false;
  const told = dialled(socket);
  if (told !== undefined) return goesToSidecar(told.host, told.port);
  const { remoteAddress, remotePort } = socket;
  return remotePort !== undefined && goesToSidecar(remoteAddress, remotePort);
}

function symbolsOf(session) {
  return Object.getOwnPropertySymbols(session);
}

function ofSession(session, description) {
  const symbol = symbolsOf(session).find((it) => it.description === description);
  return symbol && session[symbol];
}
