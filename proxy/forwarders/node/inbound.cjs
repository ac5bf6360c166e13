'use strict';

// Where a context begins: with the event that hands a request to the app.

const { contextOf, enter, leave } = require('./context.cjs');
const exchanges = require('./exchange.cjs');
const { Hook, prototypeNamed, replace, subscribe } = require('./hook.cjs');
const outbound = require('./outbound.cjs');

const HANDED_OVER = new Set(['request', 'checkContinue', 'checkExpectation']);

// Servers that have been looked at, by how they were met, and classes that are hooked.
const announced = new WeakSet();
const connected = new WeakSet();
const hooked = new WeakSet();

exports.listen = () => {
  // A channel of Node 16 is forgotten with the last who holds it.
  exports.held = [
    subscribe('http.server.request.start', 'http server', hookHttp),
    subscribe('net.server.socket', 'http2 server', hookHttp2),
    ...outbound.listen(),
  ];
};

// Node announces a request before it emits it, so the first one of a server is not missed.
function hookHttp({ server, request, response }) {
  if (announced.has(server)) return;
  announced.add(server);
  hookServer(prototypeNamed(server, 'Server', 'setTimeout'), false);
  hookOwnEvents(prototypeNamed(request, 'IncomingMessage', '_dump'));
  hookEnds(prototypeNamed(response, 'ServerResponse', 'detachSocket'));
}

function hookEnds(owner) {
  if (owner === undefined || hooked.has(owner)) return;
  hooked.add(owner);
  if (owner.detachSocket.length !== 1) throw new TypeError('unknown detachSocket');
  const hook = new Hook('end of response');
  replace(owner, 'detachSocket', (detachSocket) => function (socket) {
    hook.guard(exchanges.detached, this, socket);
    return Reflect.apply(detachSocket, this, arguments);
  });
  exchanges.endsAreNoted();
}

// A server of HTTP/2 is known by its connections; so is one that falls back to HTTP/1.
function hookHttp2({ socket }) {
  const server = socket && socket.server;
  if (!server || connected.has(server)) return;
  connected.add(server);
  const owner =
    prototypeNamed(server, 'Http2Server', 'updateSettings') ||
    prototypeNamed(server, 'Http2SecureServer', 'updateSettings');
  hookServer(owner, true);
}

function hookServer(owner, speaksHttp2) {
  if (owner === undefined || hooked.has(owner)) return;
  hooked.add(owner);
  const hook = new Hook('server');
  replace(owner, 'emit', (emit) => function (event, message, response) {
    let context;
    if (HANDED_OVER.has(event)) {
      // A request of HTTP/2 is the stream in another dress, and emitted within its event.
      if (!message || message.httpVersionMajor === 2) return Reflect.apply(emit, this, arguments);
      context = hook.guard(beginHttp, message, response);
    } else if (speaksHttp2 && event === 'stream') {
      context = hook.guard(beginHttp2, message, arguments[4]);
    } else {
      return Reflect.apply(emit, this, arguments);
    }
    const outer = enter(context);
    try {
      return Reflect.apply(emit, this, arguments);
    } finally {
      if (outer !== context) leave(outer);
    }
  });
}

function beginHttp(request, response) {
  return begin(request, request.rawHeaders, response);
}

function beginHttp2(stream, raw) {
  hookStreams(stream);
  return begin(stream, raw, stream);
}

function hookStreams(stream) {
  hookOwnEvents(prototypeNamed(stream, 'ServerHttp2Stream', 'respond'));
}

// The body of a request arrives outside of every context, on the socket. Whoever reads it with
// listeners goes on with the request from there.
function hookOwnEvents(owner) {
  if (owner === undefined || hooked.has(owner)) return;
  hooked.add(owner);
  const hook = new Hook('own events');
  replace(owner, 'emit', (emit) => function (event) {
    const context = hook.guard(exchanges.contextOf, this);
    if (context === undefined || this.listenerCount(event) === 0) {
      return Reflect.apply(emit, this, arguments);
    }
    const outer = enter(context);
    try {
      return Reflect.apply(emit, this, arguments);
    } finally {
      if (outer !== context) leave(outer);
    }
  });
}

function begin(message, raw, response) {
  const begun = exchanges.contextOf(message);
  if (begun !== undefined) return begun;
  const context = contextOf(raw, response);
  if (context === undefined) return undefined;
  exchanges.begin(message, response, context);
  outbound.install();
  return context;
}
