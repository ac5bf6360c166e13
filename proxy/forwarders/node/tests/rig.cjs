'use strict';

// An app in a process of its own, with upstreams here that write down which call brought which headers.

const assert = require('node:assert');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const http2 = require('node:http2');
const path = require('node:path');
const readline = require('node:readline');

const FORWARDER = path.join(__dirname, '..', 'forward.cjs');
const MARKER = 'node/0.1.0';
const major = Number.parseInt(process.versions.node, 10);

// A test that cannot find its packages is no test that passed.
const modules = (process.env.NODE_PATH || '').split(path.delimiter)[0] || path.join(__dirname, 'node_modules');
if (!fs.existsSync(path.join(modules, 'express'))) {
  throw new Error(
    `no packages in ${modules}: run "npm install" in ${__dirname}, or let NODE_PATH name a ` +
      'node_modules that has what package.json names',
  );
}

function traceparent(id) {
  const number = Number(id).toString(16);
  return `00-${number.padStart(32, '1')}-${number.padStart(16, '2')}-01`;
}

// Node's flat list of headers, as pairs with lower-case names.
function pairs(raw) {
  const all = [];
  for (let i = 0; i < raw.length; i += 2) all.push([raw[i].toLowerCase(), raw[i + 1]]);
  return all;
}

// Which call this is: it says so, or its path does.
function idOf(headers, url) {
  const named = headers.find(([name]) => name === 'x-call');
  return named ? named[1] : url.split('?')[0].split('/').pop();
}

class Calls {
  constructor() {
    this.seen = [];
    this.waiting = [];
  }

  note(headers, url, more = {}) {
    const call = { id: idOf(headers, url), headers, url, ...more };
    this.seen.push(call);
    this.waiting = this.waiting.filter(({ id, resolve }) => (id === call.id ? resolve(call) : true));
  }

  // Of a call that is made after the answer to its request.
  when(id) {
    const there = this.seen.find((call) => call.id === String(id));
    if (there) return Promise.resolve(there);
    return new Promise((resolve) => this.waiting.push({ id: String(id), resolve }));
  }

  take() {
    const { seen } = this;
    this.seen = [];
    return seen;
  }
}

// Answers late and not in order, as upstreams do.
function later(answer) {
  if (Math.random() < 0.5) setImmediate(answer);
  else setTimeout(answer, Math.random() * 4);
}

async function upstream(calls = new Calls()) {
  const server = http.createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      calls.note(pairs(request.rawHeaders), request.url, { method: request.method });
      if (request.url.startsWith('/moved')) {
        response.writeHead(302, { location: request.url.replace('/moved', '/there') }).end();
      } else {
        later(() => response.end('{"fine":true}'));
      }
    });
  });
  const h2 = http2.createServer();
  h2.on('stream', (stream, headers, _flags, raw) => {
    calls.note(pairs(raw), headers[':path']);
    stream.resume();
    later(() => {
      if (stream.destroyed) return;
      if (headers['content-type'] !== 'application/grpc') {
        stream.respond({ ':status': 200 });
        stream.end('{"fine":true}');
        return;
      }
      // An empty message, which is all that a call of gRPC needs for an answer.
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(Buffer.from([0, 0, 0, 0, 0]));
    });
  });
  // A connection that is closed while it is used again is a failed call, and not what is tested.
  server.keepAliveTimeout = 0;
  server.listen(0, '127.0.0.1');
  h2.listen(0, '127.0.0.1');
  await Promise.all([once(server, 'listening'), once(h2, 'listening')]);
  const close = () => {
    server.closeAllConnections?.();
    server.close();
    h2.close();
  };
  return { calls, port: server.address().port, h2port: h2.address().port, close };
}

// The environment of an app: the forwarder, and the addresses that it forwards to.
function environment(up, { forwarder = FORWARDER, options = '', env = {} } = {}) {
  const bare = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(THROUGHLINE|NODE_OPTIONS|NODE_TEST|NODE_V8|OTEL)/.test(name)),
  );
  const load = forwarder ? `--require=${JSON.stringify(forwarder)}` : '';
  return {
    ...bare,
    NODE_PATH: modules,
    NODE_OPTIONS: `${options} ${load}`.trim(),
    THROUGHLINE_FORWARD_VIA: up ? `127.0.0.1:${up.port},localhost:${up.h2port}` : '',
    THROUGHLINE_FORWARD_DEBUG: '1',
    ...(up && { UPSTREAM: `http://127.0.0.1:${up.port}`, UPSTREAM_H2: `http://127.0.0.1:${up.h2port}` }),
    ...env,
  };
}

// Starts an app of `apps/` and waits until it says on which port it is.
async function launch(app, up, { args = [], ...settings } = {}) {
  const file = path.join(__dirname, 'apps', app);
  const child = spawn(process.execPath, [file, ...args], {
    env: environment(up, settings),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const running = { child, errors: '', lines: [] };
  child.stderr.on('data', (chunk) => {
    running.errors += chunk;
  });
  const output = readline.createInterface({ input: child.stdout });
  const ready = new Promise((resolve, reject) => {
    output.on('line', (line) => {
      running.lines.push(line);
      if (line.startsWith('{"port"')) resolve(JSON.parse(line));
    });
    child.on('exit', (code) => reject(new Error(`${app} ended with ${code}: ${running.errors}`)));
  });
  Object.assign(running, await ready);
  running.stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  return running;
}

// Runs a program to its end.
async function run(args, env) {
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stderr.on('data', (chunk) => (errors += chunk));
  const [code] = await once(child, 'close');
  return { code, output, errors };
}

// Connections are kept while there is load, and no longer: a server gives them up in the end.
let agent = false;

function get(port, target, headers = {}, { method = 'GET', body, ...more } = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request(
      { host: '127.0.0.1', port, path: target, method, headers, agent, ...more },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk) => (text += chunk));
        response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, text }));
        response.on('error', reject);
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

// What the tests that count ask: `right` has the header of its own request exactly once, `wrong` has
// anything else that is there, and `abstained` has nothing.
function judge(call, carries) {
  const found = call.headers.filter(([name]) => name === 'traceparent').map(([, value]) => value);
  const marks = call.headers.filter(([name]) => name === 'throughline-forwarder');
  if (found.length === 0 && marks.length === 0) return carries ? 'abstained' : 'empty';
  const right = carries && found.length === 1 && found[0] === traceparent(call.id);
  return right && marks.length === 1 && marks[0][1] === MARKER ? 'right' : 'wrong';
}

let last = 0;

// Runs `count` requests, 64 at once, of which one in five carries no trace headers, and judges each call
// that they lead to. `known` have carried some before.
async function load(up, request, { count = 160, concurrency = 64, known = [] } = {}) {
  const carrying = new Map(known.map((id) => [id, true]));
  const ids = Array.from({ length: count }, () => String((last += 1)));
  ids.forEach((id, at) => carrying.set(id, at % 5 !== 4));
  const queue = [...ids];
  agent = new http.Agent({ keepAlive: true, maxSockets: concurrency });
  const one = async () => {
    for (let id = queue.shift(); id !== undefined; id = queue.shift()) {
      await request(id, carrying.get(id) ? { traceparent: traceparent(id) } : {});
    }
  };
  try {
    await Promise.all(Array.from({ length: concurrency }, one));
  } finally {
    agent.destroy();
    agent = false;
  }
  const verdicts = { right: 0, abstained: 0, wrong: 0, empty: 0 };
  for (const call of up.calls.take()) {
    assert.ok(carrying.has(call.id), `a call of nobody: ${call.id}`);
    verdicts[judge(call, carrying.get(call.id))] += 1;
  }
  return verdicts;
}

function nextId() {
  last += 1;
  return String(last);
}

module.exports = {
  Calls, FORWARDER, MARKER, environment, get, judge, launch, load, major, modules, nextId, pairs, run,
  traceparent, upstream,
};
