'use strict';

// Calls of node:http. `http.request` itself is left as it is, since an app may hold on to it: the agent
// that is given each new request says when the call was made, and the header block is amended where
// Node writes it.

const { current, isTraceHeader } = require('./context.cjs');
const { Hook, replace } = require('./hook.cjs');
const others = require('./others.cjs');
const { excluded, goesToSidecar, settings } = require('./settings.cjs');

const ABSOLUTE = /^http:\/\/([^/?#]*)/i;

// The context that a request was made in. It can be written much later, within another one.
const madeIn = new WeakMap();

exports.hook = (http) => {
  const { Agent, ClientRequest, OutgoingMessage } = http;
  if (OutgoingMessage.prototype._storeHeader.length !== 2) throw new TypeError('unknown _storeHeader');
  const calls = new Hook('http call');
  const header = new Hook('http header');

  replace(Agent.prototype, 'addRequest', (addRequest) => function (request, options) {
    calls.guard(made, Agent.prototype, this, request, options);
    return Reflect.apply(addRequest, this, arguments);
  });
  replace(ClientRequest.prototype, '_storeHeader', (storeHeader) => function (firstLine, headers) {
    const more = header.guard(written, this, headers);
    if (more === undefined) return Reflect.apply(storeHeader, this, arguments);
    // Node puts what follows after the line it is given.
    return Reflect.apply(storeHeader, this, [firstLine + more, headers]);
  });
};

function made(base, agent, request, options) {
  const context = current();
  if (context === undefined || others.doTheJob()) return;
  if (!isPlain(base, agent, request, options)) return;
  if (request._header) amend(request, context);
  madeIn.set(request, context);
}

// Whether the call goes to the sidecar, and in a form that it reads.
function isPlain(base, agent, request, options) {
  if (request.method === 'CONNECT' || request.protocol !== 'http:') return false;
  if (typeof options !== 'object') return false;
  // As the agent does: its own options go first.
  const { host, port, socketPath } = { ...options, ...agent.options };
  if (socketPath) return false;
  if (ABSOLUTE.test(request.path)) {
    const proxy = proxyOf(agent);
    if (proxy !== undefined) return proxy.protocol === 'http:' && goesToSidecar(proxy.host, proxy.port);
  } else if (settings.everywhere && opensItsOwnWay(base, agent)) {
    // It could be a tunnel, and what is inside of one the sidecar does not read.
    return false;
  }
  return goesToSidecar(host, port);
}

function opensItsOwnWay(base, agent) {
  return agent.createConnection !== base.createConnection || agent.createSocket !== base.createSocket;
}

// Where an agent sends a request in absolute form: the `http-proxy-agent` of npm has a public `proxy`,
// Node's own agent keeps its proxy to itself.
function proxyOf(agent) {
  if (agent.proxy && typeof agent.proxy === 'object') {
    const { protocol, hostname, host, port } = agent.proxy;
    return { protocol, host: hostname || host, port: port || 80 };
  }
  const own = Object.getOwnPropertySymbols(agent).find((it) => it.description === 'kProxyConfig');
  const config = own && agent[own];
  if (!config) return undefined;
  const { host, port } = config.proxyConnectionOptions;
  return { protocol: config.protocol, host, port };
}

// The lines to add to a header block that is about to be written.
function written(request, headers) {
  const context = madeIn.get(request);
  if (context === undefined || !context.isLive()) return undefined;
  let host;
  for (const [name, value] of entries(headers)) {
    if (isTraceHeader(name)) return undefined;
    if (name.length === 4 && name.toLowerCase() === 'host') host = value;
  }
  return excluded(target(request, host)) ? undefined : context.lines;
}

// Headers are kept by their lower-case name as [name, value], or are given as pairs, or flat.
function* entries(headers) {
  if (!Array.isArray(headers)) {
    for (const name in headers) {
      const value = headers[name];
      yield [name, Array.isArray(value) ? value[1] : value];
    }
  } else if (Array.isArray(headers[0])) {
    yield* headers;
  } else {
    for (let i = 0; i + 1 < headers.length; i += 2) yield [headers[i], headers[i + 1]];
  }
}

function target(request, host) {
  const [, authority] = ABSOLUTE.exec(request.path) || [];
  return authority || (host === undefined ? request.host : String(host));
}

// With headers given as an array, or with `Expect`, the block is written before the agent hears of the
// request. Nothing of it has left yet: a socket is only assigned in a later tick.
function amend(request, context) {
  const block = request._header;
  const lines = block.split('\r\n').slice(1);
  const names = lines.map((line) => line.slice(0, line.indexOf(':')));
  if (names.some(isTraceHeader)) return;
  const at = names.findIndex((name) => name.toLowerCase() === 'host');
  if (excluded(target(request, at < 0 ? undefined : lines[at].slice(5).trim()))) return;
  const start = block.indexOf('\r\n') + 2;
  const amended = block.slice(0, start) + context.lines + block.slice(start);
  if (request._headerSent) {
    const [first] = request.outputData;
    if (!first || first.data !== block) return;
    first.data = amended;
    request.outputSize += context.lines.length;
  }
  request._header = amended;
}
