'use strict';

// Calls of node:http. `http.request` itself is left as it is, since an app may hold on to it: the agent
// that is given each new request says when the call was made, and the header block is amended where
// Node writes it.

const { current, isTraceHeader } = require('./context.cjs');
const { Hook, replace } = require('./hook.cjs');
const others = require('./others.cjs');
const { excluded, goesToSidecar, settings } = require('./settings.cjs');
const { stamp } = require('./stamp.cjs');

const ABSOLUTE = /^http:\/\/([^/?#]*)/i;

// The context that a request was made in. It can be written much later, within another one.
const madeIn = stamp();
// The last one, which is mostly written before the next is made. Then it needs no note.
let last;
let madeLastIn;
// Node's own agents.
let base;

exports.hook = (http) => {
  const { Agent, ClientRequest, OutgoingMessage } = http;
  if (OutgoingMessage.prototype._storeHeader.length !== 2) throw new TypeError('unknown _storeHeader');
  base = Agent.prototype;
  const calls = new Hook('http call');
  const header = new Hook('http header');

  replace(Agent.prototype, 'addRequest', (addRequest) => function (request, options) {
    calls.guard(made, this, request, options);
    return Reflect.apply(addRequest, this, arguments);
  });
  replace(ClientRequest.prototype, '_storeHeader', (storeHeader) => function (firstLine, headers) {
    const more = header.guard(written, this, headers);
    if (more === undefined) return Reflect.apply(storeHeader, this, arguments);
    // Node puts what follows after the line it is given.
    return Reflect.apply(storeHeader, this, [firstLine + more, headers]);
  });
};

function made(agent, request, options) {
  const context = current();
  if (context === undefined || others.doTheJob()) return;
  if (!isPlain(agent, request, options)) return;
  if (request._header) amend(request, context);
  if (last !== undefined) madeIn.set(last, madeLastIn);
  last = undefined;
  if (opensItsOwnWay(agent)) {
    // Such an agent can have the block written a second time.
    madeIn.set(request, context);
  } else {
    last = request;
    madeLastIn = context;
  }
}

function takeContext(request) {
  if (request !== last) return madeIn.get(request);
  const context = madeLastIn;
  last = undefined;
  madeLastIn = undefined;
  return context;
}

// Whether the call goes to the sidecar, and in a form that it reads.
function isPlain(agent, request, options) {
  if (request.method === 'CONNECT' || request.protocol !== 'http:') return false;
  if (typeof options !== 'object') return false;
  // As the agent does: its own options go first.
  const own = agent.options || options;
  const host = 'host' in own ? own.host : options.host;
  const port = 'port' in own ? own.port : options.port;
  if ('socketPath' in own ? own.socketPath : options.socketPath) return false;
  if (authorityIn(request.path) !== undefined) {
    const proxy = proxyOf(agent);
    if (proxy !== undefined) return proxy.protocol === 'http:' && goesToSidecar(proxy.host, proxy.port);
  } else if (settings.everywhere && opensItsOwnWay(agent)) {
    // It could be a tunnel, and what is inside of one the sidecar does not read.
    return false;
  }
  return goesToSidecar(host, port);
}

function opensItsOwnWay(agent) {
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
  const context = takeContext(request);
  if (context === undefined || !context.isLive()) return undefined;
  let host;
  const look = (name, value) => {
    if (name.length === 4 && name.toLowerCase() === 'host') host = value;
    return isTraceHeader(name);
  };
  if (hasOne(headers, look) || excluded(target(request, host))) return undefined;
  return context.lines;
}

// Whether `look` finds one. Headers are kept by their lower-case name as [name, value], or are given as
// pairs, or flat.
function hasOne(headers, look) {
  if (!Array.isArray(headers)) {
    for (const name in headers) {
      const value = headers[name];
      if (look(name, Array.isArray(value) ? value[1] : value)) return true;
    }
    return false;
  }
  const inPairs = Array.isArray(headers[0]);
  for (let i = 0; i < headers.length; i += inPairs ? 1 : 2) {
    const [name, value] = inPairs ? headers[i] : [headers[i], headers[i + 1]];
    if (look(name, value)) return true;
  }
  return false;
}

// Of a request in absolute form, as for a proxy. Mostly it is a path.
function authorityIn(path) {
  if (typeof path === 'string' && path.startsWith('/')) return undefined;
  const found = ABSOLUTE.exec(path);
  return found === null ? undefined : found[1];
}

function target(request, host) {
  return authorityIn(request.path) || (host === undefined ? request.host : String(host));
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
