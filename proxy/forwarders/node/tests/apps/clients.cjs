'use strict';

// Ways to call an upstream, each as its users write it. Each takes the number of its request along.

const { request: requestTakenEarly } = require('node:http');
const http = require('node:http');
const http2 = require('node:http2');
const path = require('node:path');
const { PassThrough, pipeline } = require('node:stream');
const { setImmediate: immediate, setTimeout: sleep } = require('node:timers/promises');
const { pathToFileURL } = require('node:url');
const { promisify } = require('node:util');
const { Client, Metadata, credentials } = require('@grpc/grpc-js');

const base = process.env.UPSTREAM;
const baseH2 = process.env.UPSTREAM_H2;
const { hostname, port } = new URL(base);
const major = Number.parseInt(process.version.slice(1), 10);

const keepAlive = new http.Agent({ keepAlive: true });
const narrow = new http.Agent({ keepAlive: true, maxSockets: 2 });
const numbered = (id) => ({ 'x-call': id });
const to = (id, more = {}) => ({ hostname, port, path: '/items', headers: numbered(id), agent: keepAlive, ...more });

// Once for each process: what an app makes when it starts, or at the first request that needs it.
const made = new Map();
function once(name, make) {
  if (!made.has(name)) made.set(name, make());
  return made.get(name);
}

function esm(name, file) {
  return once(name, () => import(pathToFileURL(path.join(process.env.NODE_PATH, name, file))));
}

function read(response, done) {
  let text = '';
  response.on('data', (chunk) => (text += chunk));
  response.on('end', () => done(null, text));
}

function sent(make) {
  return new Promise((resolve, reject) => {
    const request = make((response) => read(response, (_, text) => resolve(text)));
    request.on('error', reject);
    if (!request.writableEnded) request.end();
  });
}

// A pool as they were written before promises: one connection for each line, callbacks in order, and
// nothing that knows of requests. The connection is opened by the first request that comes.
class Lines {
  constructor(connections, echo) {
    this.free = [];
    this.wanting = [];
    this.left = connections;
    this.echo = echo;
  }

  ask(line, done) {
    const socket = this.free.pop() || (this.left > 0 && this.open());
    if (!socket) {
      this.wanting.push([line, done]);
      return;
    }
    socket.done = done;
    socket.write(`${line}\n`);
  }

  open() {
    this.left -= 1;
    const socket = require('node:net').connect(this.echo, '127.0.0.1');
    socket.setEncoding('utf8');
    socket.on('data', (text) => {
      const { done } = socket;
      this.free.push(socket);
      const next = this.wanting.shift();
      if (next) this.ask(...next);
      done(text.trim());
    });
    return socket;
  }
}

function undiciClients(name, since) {
  // At start, as is usual: what is loaded during a request is known from the second call on.
  if (major >= since) require(name);
  const load = () => require(name);
  const options = (id) => ({ origin: base, path: '/items', method: 'GET', headers: numbered(id) });
  return {
    [`${name} request`]: {
      since,
      call: async (id) => (await load().request(`${base}/items`, { headers: numbered(id) })).body.text(),
    },
    [`${name} fetch`]: {
      since: Math.max(since, 18),
      call: async (id) => (await load().fetch(`${base}/items`, { headers: numbered(id) })).text(),
    },
    [`${name} pool that queues`]: {
      since,
      call: async (id) => {
        const pool = once(`${name} pool`, () => new (load().Pool)(base, { connections: 2 }));
        return (await pool.request(options(id))).body.text();
      },
    },
    [`${name} pool that queues, callbacks`]: {
      since,
      call: (id) =>
        new Promise((resolve, reject) => {
          const pool = once(`${name} pool`, () => new (load().Pool)(base, { connections: 2 }));
          pool.request(options(id), (error, { body } = {}) => (error ? reject(error) : resolve(body.text())));
        }),
    },
    [`${name} agent with one connection`]: {
      since,
      call: async (id) => {
        const dispatcher = once(`${name} agent`, () => new (load().Agent)({ connections: 1, pipelining: 1 }));
        const { body } = await load().request(`${base}/items`, { headers: numbered(id), dispatcher });
        return body.text();
      },
    },
    [`${name} client`]: {
      since,
      call: async (id) => {
        const client = once(`${name} client`, () => new (load().Client)(base));
        return (await client.request(options(id))).body.text();
      },
    },
  };
}

const clients = {
  'http.get with a callback': {
    call: (id) => sent((done) => http.get(to(id), done)),
  },
  'http.request taken early': {
    call: (id) => sent((done) => requestTakenEarly(to(id), done)),
  },
  'http.request of an ES module': {
    call: async (id) => (await once('esm', () => import('./esm.mjs'))).call(`${base}/items`, id),
  },
  'http.request with a URL and options': {
    call: (id) => sent((done) => http.request(new URL(`${base}/items`), { headers: numbered(id) }, done)),
  },
  'http.request with a string': {
    call: (id) => sent((done) => http.request(`${base}/items/${id}`, done)),
  },
  'http.request with a flat array of headers': {
    call: (id) => sent((done) => http.request(to(id, { headers: ['X-Call', id, 'Host', 'shop'] }), done)),
  },
  'http.request with pairs of headers': {
    since: 18,
    call: (id) => sent((done) => http.request(to(id, { headers: [['X-Call', id], ['Host', 'shop']] }), done)),
  },
  'http.request with Expect': {
    call: (id) =>
      sent((done) => {
        const headers = { ...numbered(id), Expect: '100-continue' };
        const request = http.request(to(id, { method: 'POST', headers }), done);
        request.on('continue', () => request.end('body'));
        // What keeps `sent` from ending it at once.
        return Object.defineProperty(request, 'writableEnded', { value: true });
      }),
  },
  'http.request that flushes its headers': {
    call: (id) =>
      sent((done) => {
        const request = http.request(to(id, { method: 'POST' }), done);
        request.flushHeaders();
        return request;
      }),
  },
  'http.request whose body comes later': {
    call: (id) =>
      sent((done) => {
        const request = http.request(to(id, { method: 'POST', headers: {} }), done);
        request.setHeader('X-Call', id);
        const body = new PassThrough();
        pipeline(body, request, () => {});
        setTimeout(() => body.end('body'), 1);
        return Object.defineProperty(request, 'writableEnded', { value: true });
      }),
  },
  'http.Agent that queues': {
    call: (id) => sent((done) => http.get(to(id, { agent: narrow }), done)),
  },
  'http without an agent of its own': {
    call: (id) => sent((done) => http.get(to(id, { agent: false }), done)),
  },
  'three calls in callbacks': {
    call: (id) =>
      sent((done) =>
        http.get(to(id), (first) =>
          read(first, () => http.get(to(id), (second) => read(second, () => http.get(to(id), done)))),
        ),
      ),
  },
  'after timers and immediates': {
    call: async (id) => {
      await sleep(1);
      await immediate();
      await new Promise((resolve) => process.nextTick(resolve));
      return sent((done) => http.get(to(id), done));
    },
  },
  'from timer callbacks': {
    call: (id) =>
      new Promise((resolve) => {
        setTimeout(() => setImmediate(() => queueMicrotask(() => resolve(clients['http.get with a callback'].call(id)))), 1);
      }),
  },
  'calls at once': {
    call: (id) => Promise.all([1, 2, 3].map(() => sent((done) => http.get(to(id), done)))),
  },
  'from the end of a stream': {
    call: (id) =>
      new Promise((resolve) => {
        const stream = new PassThrough();
        stream.on('end', () => resolve(sent((done) => http.get(to(id), done)))).resume();
        stream.end('x');
      }),
  },
  'from a file read with a callback': {
    call: (id) =>
      new Promise((resolve) => {
        require('node:fs').readFile(__filename, () => resolve(sent((done) => http.get(to(id), done))));
      }),
  },
  fetch: {
    since: 18,
    call: async (id) => (await fetch(`${base}/items`, { headers: numbered(id) })).text(),
  },
  'fetch with a Request and a body': {
    since: 18,
    call: async (id) =>
      (await fetch(new Request(`${base}/items`, { method: 'POST', body: 'x', headers: numbered(id) }))).text(),
  },
  'fetch that is redirected': {
    since: 18,
    call: async (id) => (await fetch(`${base}/moved`, { headers: numbered(id) })).text(),
  },
  axios: {
    since: 18,
    call: async (id) => (await require('axios').get(`${base}/items`, { headers: numbered(id), httpAgent: keepAlive })).data,
  },
  'axios that is redirected': {
    since: 18,
    call: async (id) => (await require('axios').get(`${base}/moved`, { headers: numbered(id) })).data,
  },
  got: {
    since: 20,
    call: async (id) => (await esm('got', 'dist/source/index.js')).got(`${base}/items`, { headers: numbered(id) }).text(),
  },
  'got 11': {
    call: (id) => require('got11')(`${base}/items`, { headers: numbered(id), agent: { http: keepAlive } }).text(),
  },
  'node-fetch 2': {
    call: async (id) => (await require('node-fetch')(`${base}/items`, { headers: numbered(id) })).text(),
  },
  'node-fetch 3': {
    call: async (id) =>
      (await (await esm('node-fetch3', 'src/index.js')).default(`${base}/items`, { headers: numbered(id) })).text(),
  },
  superagent: {
    call: async (id) => (await require('superagent').get(`${base}/items`).set(numbered(id)).agent(keepAlive)).text,
  },
  agentkeepalive: {
    call: (id) => {
      const agent = once('agentkeepalive', () => new (require('agentkeepalive'))({ maxSockets: 4 }));
      return sent((done) => http.get(to(id, { agent }), done));
    },
  },
  's3 of the AWS SDK': {
    since: 18,
    call: (id) => {
      const { S3Client, GetObjectCommand } = require('@aws-sdk/client-s3');
      const s3 = once('s3', () => new S3Client({
        endpoint: base, forcePathStyle: true, region: 'eu-west-1',
        credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' },
      }));
      return s3.send(new GetObjectCommand({ Bucket: 'photos', Key: id })).then(({ Body }) => Body.transformToString());
    },
  },
  'http2 session': {
    call: (id) => {
      const session = once('session', () => http2.connect(baseH2));
      return sentOn(session, id);
    },
  },
  'http2 session of its own': {
    call: async (id) => {
      const session = http2.connect(baseH2);
      const text = await sentOn(session, id);
      session.close();
      return text;
    },
  },
  'grpc-js': {
    call: (id) => {
      const client = grpc();
      const metadata = new Metadata();
      metadata.set('x-call', id);
      const unary = promisify(client.makeUnaryRequest).bind(client);
      return unary('/shop.Stock/Items', () => Buffer.alloc(0), () => 'fine', {}, metadata, {});
    },
  },
  'grpc-js with a stream': {
    call: (id) => {
      const client = grpc();
      const metadata = new Metadata();
      metadata.set('x-call', id);
      return new Promise((resolve, reject) => {
        const stream = client.makeServerStreamRequest('/shop.Stock/Watch', () => Buffer.alloc(0), () => 'fine', {}, metadata);
        stream.on('data', () => {}).on('end', () => resolve('fine')).on('error', reject);
      });
    },
  },
  ...undiciClients('undici5', 16),
  ...undiciClients('undici6', 20),
  ...undiciClients('undici', 20),
  ...undiciClients('undici8', 22),
};

function grpc() {
  return once('grpc', () => {
    return new Client(new URL(baseH2).host, credentials.createInsecure());
  });
}

function sentOn(session, id) {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':path': '/items', ...numbered(id) });
    stream.on('error', reject);
    read(stream, (_, text) => resolve(text));
  });
}

module.exports = { Lines, base, clients, keepAlive, major, read, sent, to };
for (const [name, client] of Object.entries(clients)) if (major < (client.since || 16)) delete clients[name];
