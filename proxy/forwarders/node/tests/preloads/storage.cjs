// An AsyncLocalStorage around each request, and nothing else: what no forwarder can do without.
const { AsyncLocalStorage } = require('async_hooks');
const http = require('http');

const storage = new AsyncLocalStorage();
const { emit } = http.Server.prototype;
http.Server.prototype.emit = function (event) {
  if (event !== 'request') return Reflect.apply(emit, this, arguments);
  return storage.run({}, () => Reflect.apply(emit, this, arguments));
};
