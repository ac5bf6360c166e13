'use strict';

// One app under several servers and frameworks. Each hands `handle` the target of a request, and reads
// a body as is usual with it.

const fs = require('node:fs');
const http = require('node:http');
const http2 = require('node:http2');
const https = require('node:https');
const path = require('node:path');
const { Readable } = require('node:stream');

const tls = () => ({
  key: fs.readFileSync(path.join(__dirname, 'localhost.key')),
  cert: fs.readFileSync(path.join(__dirname, 'localhost.crt')),
});

// The body with listeners, as without a framework.
function withListeners(handle) {
  return (request, response) => {
    let body = '';
    request.on('data', (chunk) => (body += chunk));
    request.on('end', () => {
      handle(request.url, body).then(
        (text) => response.end(text),
        (error) => {
          response.statusCode = 500;
          response.end(String(error && error.stack));
        },
      );
    });
  };
}

async function withIteration(handle, request, response) {
  let body = '';
  for await (const chunk of request) body += chunk;
  response.end(await handle(request.url, body));
}

function listening(server) {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)));
}

const servers = {
  http: { start: (handle) => listening(http.createServer(withListeners(handle))) },
  'http, iterated': {
    start: (handle) => listening(http.createServer((request, response) => withIteration(handle, request, response))),
  },
  https: { start: (handle) => listening(https.createServer(tls(), withListeners(handle))) },
  express: {
    since: 18,
    start: (handle) => {
      const express = require('express');
      const app = express();
      app.use(express.text({ type: '*/*' }));
      app.use(async (request, response) => {
        response.send(await handle(request.originalUrl, request.body));
      });
      return listening(http.createServer(app));
    },
  },
  fastify: { since: 20, start: (handle) => fastify('fastify', handle) },
  'fastify 4': { start: (handle) => fastify('fastify4', handle) },
  koa: {
    since: 18,
    start: (handle) => {
      const Koa = require('koa');
      const app = new Koa();
      app.use(async (context) => {
        let body = '';
        for await (const chunk of context.req) body += chunk;
        context.body = await handle(context.url, body);
      });
      return listening(http.createServer(app.callback()));
    },
  },
  'fetch handlers': {
    since: 18,
    // As Next.js and its like serve route handlers.
    start: (handle) => {
      const route = async (request) => {
        const { pathname } = new URL(request.url);
        const text = await handle(pathname, await request.text());
        return new Response(new Blob([text]).stream(), { headers: { 'content-type': 'text/plain' } });
      };
      return listening(
        http.createServer(async (incoming, outgoing) => {
          const { method, headers } = incoming;
          const body = method === 'GET' ? undefined : Readable.toWeb(incoming);
          const request = new Request(`http://app${incoming.url}`, { method, headers: Object.entries(headers), body, duplex: 'half' });
          const response = await route(request);
          outgoing.writeHead(response.status, Object.fromEntries(response.headers));
          for await (const chunk of response.body) outgoing.write(chunk);
          outgoing.end();
        }),
      );
    },
  },
  http2: { h2: true, start: (handle) => listening(http2.createServer(withListeners(handle))) },
  'http2 over TLS': {
    h2: true,
    start: (handle) => listening(http2.createSecureServer(tls(), withListeners(handle))),
  },
  'http2 that falls back to HTTP/1': {
    start: (handle) => listening(http2.createSecureServer({ ...tls(), allowHTTP1: true }, withListeners(handle))),
  },
  'http2 streams': {
    h2: true,
    start: (handle) => {
      const server = http2.createServer();
      server.on('stream', (stream, headers) => {
        let body = '';
        stream.on('data', (chunk) => (body += chunk));
        stream.on('end', async () => {
          const text = await handle(headers[':path'], body);
          stream.respond({ ':status': 200 });
          stream.end(text);
        });
      });
      return listening(server);
    },
  },
};

async function fastify(name, handle) {
  const app = require(name)();
  app.addContentTypeParser('*', { parseAs: 'string' }, (request, body, done) => done(null, body));
  app.all('/*', async (request) => handle(request.url, request.body));
  await app.listen({ port: 0, host: '127.0.0.1' });
  return app.server.address().port;
}

module.exports = { listening, servers };
