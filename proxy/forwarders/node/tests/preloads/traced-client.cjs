// Each request that a test suite sends to itself carries a context, as if a sidecar had given it one, and
// for the forwarder alone: it is there when the request is announced, and gone before the app sees it.
const channels = require('diagnostics_channel');
const http = require('http');
const https = require('https');

let last = 0;
const saved = new WeakMap();

channels.channel('http.server.request.start').subscribe(({ request }) => {
  last += 1;
  const id = String(last);
  saved.set(request, request.rawHeaders);
  request.rawHeaders = [...request.rawHeaders, 'traceparent', `00-${id.padStart(32, '1')}-${id.padStart(16, '2')}-01`];
});

for (const { Server } of [http, https]) {
  const { emit } = Server.prototype;
  Server.prototype.emit = function (event, request) {
    if (event === 'request' && saved.has(request)) request.rawHeaders = saved.get(request);
    return emit.apply(this, arguments);
  };
}
