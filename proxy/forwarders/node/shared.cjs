'use strict';

// What one request opens and others go on to use: a connection of a pool, a worker, a child process.
// Node remembers with it the request that was being handled when it was opened, and whatever it
// reports later would be taken for that request's. So these are opened outside of every request.
// Libraries that bring the right context along (promises, AsyncResource, Node's HTTP client) do so on
// top of this; those that do not forward nothing.

const { runIn, storage } = require('./context.cjs');
const { Hook, replace } = require('./hook.cjs');
const { stamp } = require('./stamp.cjs');

const dialled = stamp();

exports.hookSockets = ({ Socket }) => {
  const hook = new Hook('connect');
  replace(Socket.prototype, 'connect', (connect) => function () {
    hook.guard(note, this, arguments);
    if (storage.getStore() === undefined) return Reflect.apply(connect, this, arguments);
    const before = this._handle;
    const result = runIn(undefined, connect, this, arguments);
    hook.guard(forget, before);
    return result;
  });
};

// The address that a socket was told to connect to, where it is known.
exports.dialled = (socket) => dialled.get(socket);

// Arguments come as (options), (port, host), (path) or as Node's own array of them.
function note(socket, args) {
  const first = Array.isArray(args[0]) ? args[0][0] : args[0];
  if (typeof first === 'object' && first !== null) {
    if (first.path) return;
    dialled.set(socket, { host: first.host || 'localhost', port: first.port });
  } else if (typeof first === 'number') {
    const host = typeof args[1] === 'string' ? args[1] : 'localhost';
    dialled.set(socket, { host, port: first });
  }
}

// A TLS socket has its handle before it connects. Node's HTTP agent moves a handle from one request to
// another in the same way.
function forget(handle) {
  if (handle && typeof handle.asyncReset === 'function') {
    runIn(undefined, handle.asyncReset, handle, [{ handle }]);
  }
}

exports.hookMessages = ({ prototype }) => {
  replace(prototype, 'emit', (emit) => function (event) {
    if (event !== 'message') return Reflect.apply(emit, this, arguments);
    return runIn(undefined, emit, this, arguments);
  });
};
