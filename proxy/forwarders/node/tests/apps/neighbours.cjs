'use strict';

// Calls by http and by fetch, in a process with whatever else the test loads before it.

const cluster = require('node:cluster');
const { fork, spawn } = require('node:child_process');
const http = require('node:http');
const { Worker, isMainThread, parentPort } = require('node:worker_threads');
const { base, sent, to } = require('./clients.cjs');
const { listening } = require('./servers.cjs');

const role = process.argv[2] || 'plain';

async function calls(id) {
  await sent((done) => http.get(to(id), done));
  // An undici of npm, where Node has no fetch.
  const call = globalThis.fetch || ((url, options) => require('undici5').request(url, options).then(({ body }) => ({ text: () => body.text() })));
  await (await call(`${base}/items`, { headers: { 'x-call': id } })).text();
}

function serve() {
  const server = http.createServer(async (request, response) => {
    try {
      if (process.env.XRAY === 'segments') {
        const xray = require('aws-xray-sdk-core');
        const segment = new xray.Segment('shop');
        await new Promise((resolve) => {
          xray.getNamespace().run(() => {
            xray.setSegment(segment);
            calls(request.url.slice(1)).then(resolve);
          });
        });
      } else {
        await calls(request.url.slice(1));
      }
      response.end('fine');
    } catch (error) {
      response.statusCode = 500;
      response.end(String(error && error.stack));
    }
  });
  return listening(server);
}

const tell = (port) => console.log(JSON.stringify({ port, pid: process.pid }));

const roles = {
  plain: () => serve().then(tell),
  worker: () => {
    if (!isMainThread) return serve().then((port) => parentPort.postMessage(port));
    return new Worker(__filename, { argv: ['worker'] }).on('message', tell);
  },
  // The parent serves too, and has had a request before it forks.
  'fork after load': () =>
    serve().then((own) => {
      http.get({ port: own, path: '/1', headers: { traceparent: 'a' } }, (response) => {
        response.resume().on('end', () => fork(__filename, ['plain'], { stdio: 'inherit' }));
      });
    }),
  shell: () => spawn('sh', ['-c', '"$0" "$1" plain', process.execPath, __filename], { stdio: 'inherit' }),
  cluster: () => {
    if (cluster.isMaster) {
      process.on('SIGTERM', () => process.exit());
      return cluster.fork();
    }
    return serve().then(tell);
  },
};
roles[role]();
