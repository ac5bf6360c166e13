// Neither Node nor the SDK reads HTTP_PROXY. A proxy is asked with the whole URL as the target (RFC 9112
// section 3.2.2), and that is all that there is to it. http-proxy-agent would do the same, but writes the
// head of a request with `Expect: 100-continue` twice, the second time as its body.

const http = require("node:http");
const { NodeHttpHandler } = require("@smithy/node-http-handler");

const proxy = process.env.HTTP_PROXY && new URL(process.env.HTTP_PROXY);
const agent = new http.Agent({ keepAlive: true });

/** For the `requestHandler` of a client. */
class Handler extends NodeHttpHandler {
  constructor() {
    super({ httpAgent: agent });
  }

  handle(request, options) {
    if (!proxy) return super.handle(request, options);
    const path = `http://${request.headers.host}${request.path}`;
    return super.handle({ ...request, path, hostname: proxy.hostname, port: proxy.port }, options);
  }
}

/** A request without the SDK. */
function request(url, { method, headers }, respond) {
  const { hostname, port, host } = new URL(url);
  const origin = `http://${host}`;
  const to = proxy ? { host: proxy.hostname, port: proxy.port, path: url } : { host: hostname, port, path: url.slice(origin.length) };
  return http.request({ ...to, method, agent, headers: { host, ...headers } }, respond);
}

module.exports = { Handler, agent, request };
