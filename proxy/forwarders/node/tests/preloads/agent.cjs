// Another vendor's agent, which wraps http.request and adds a header.
const http = require('http');
for (const name of ['request', 'get']) {
  const original = http[name];
  http[name] = function (options, ...rest) {
    return original.call(this, { ...options, headers: { ...options.headers, traceparent: 'of-the-agent' } }, ...rest);
  };
}
