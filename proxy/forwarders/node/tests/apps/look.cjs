'use strict';

// Prints all that an app could notice, after requests with and without trace headers; then throws.

const http = require('node:http');
const http2 = require('node:http2');
const net = require('node:net');
const util = require('node:util');

const { request, get, Agent } = http;

const seen = {};
const shape = (fn) => `${fn.name}/${fn.length}`;
const listeners = (emitter) => Object.fromEntries(emitter.eventNames().map((name) => [String(name), emitter.listenerCount(name)]));

function looks(value) {
  return util
    .inspect(value, { depth: 1, showHidden: false })
    .replace(/_idleStart: \d+|\d{4,}|'(::ffff:)?127\.0\.0\.1:\d+'/g, 'N')
    .replace(/traceparent.*\n.*/g, '');
}

const server = http.createServer((incoming, outgoing) => {
  const options = { port: server.address().port, path: '/leaf', headers: { 'x-mine': '1' }, agent: new Agent() };
  const before = JSON.stringify(options.headers);
  if (incoming.url === '/leaf') {
    outgoing.end('leaf');
    return;
  }
  const call = http.request(options, (response) => {
    response.resume().on('end', () => {
      seen[incoming.url] = {
        headersGiven: before === JSON.stringify(options.headers),
        headers: call.getHeaders(),
        names: call.getRawHeaderNames ? call.getRawHeaderNames() : [],
        ownOfCall: Reflect.ownKeys(call).map(String).sort(),
        ownOfRequest: Reflect.ownKeys(incoming).map(String).sort(),
        ownOfResponse: Reflect.ownKeys(outgoing).map(String).sort(),
        ownOfServer: Reflect.ownKeys(server).map(String).sort(),
        listenersOfRequest: listeners(incoming),
        listenersOfResponse: listeners(outgoing),
        listenersOfServer: listeners(server),
        listenersOfCall: listeners(call),
        listenersOfProcess: listeners(process),
        request: looks(incoming.headers),
        server: looks(server),
        agent: looks(options.agent),
      };
      outgoing.end();
    });
  });
  call.end();
});

function ask(path, headers, done) {
  http.get({ port: server.address().port, path, headers, agent: false }, (response) => {
    response.resume().on('end', done);
  });
}

server.listen(0, '127.0.0.1', () => {
  ask('/without', {}, () =>
    ask('/with', { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' }, () => {
      seen.node = {
        same: request === http.request && get === http.get,
        native: [http.request, http.get, http2.connect].map((fn) => fn.toString().length),
        shapes: [
          http.Server.prototype.emit, http.IncomingMessage.prototype.emit, http.Agent.prototype.addRequest,
          http.ClientRequest.prototype._storeHeader, net.Socket.prototype.connect,
        ].map(shape),
        keys: [http.Server.prototype, http.IncomingMessage.prototype, Agent.prototype, http.ClientRequest.prototype, net.Socket.prototype, globalThis, process].map((it) => Object.keys(it)),
        looks: looks(http.Agent.prototype),
        environment: Object.keys(process.env).filter((name) => !/^(NODE_OPTIONS|THROUGHLINE)/.test(name)).sort(),
      };
      process.on('uncaughtExceptionMonitor', () => process.stdout.write(JSON.stringify(seen).replace(/localhost:\d+/g, 'localhost')));
      http.createServer(() => {
        throw new Error('thrown by the app');
      }).listen(0, '127.0.0.1', function () {
        http.get({ port: this.address().port, headers: { traceparent: 'a' } }).on('error', () => {});
      });
    }),
  );
});
