'use strict';

// Ways to lose the context of a request, or to come by another's. The path says which, and a number.

const { Worker } = require('node:worker_threads');
const { fork } = require('node:child_process');
const http = require('node:http');
const net = require('node:net');
const tls = require('node:tls');
const v8 = require('node:v8');
const vm = require('node:vm');
const { Lines, base, keepAlive, read, sent, to } = require('./clients.cjs');
const { listening } = require('./servers.cjs');

const call = (id) => sent((done) => http.get(to(id), done));
// The first request that needs one of these opens it, and all others use it.
const opened = new Map();
function first(name, open) {
  if (!opened.has(name)) opened.set(name, open());
  return opened.get(name);
}

// What is left of requests that are over, though a timer of each goes on.
const over = [];
let collect;
// Not in place, where it would share what the functions around it hold.
const goOn = () => setInterval(() => {}, 1e6);

const held = [];
const released = [];

const hazards = {
  // Callbacks on a connection that another request has opened.
  pool: (id, done) => first('pool', () => new Lines(3, process.env.ECHO)).ask(id, () => call(id).then(done)),
  'pool over TLS': (id, done) => {
    const waiting = first('waiting', () => new Map());
    const socket = first('tls', () => {
      const made = tls.connect({ port: process.env.ECHO_TLS, rejectUnauthorized: false });
      made.setEncoding('utf8');
      let rest = '';
      made.on('data', (text) => {
        const lines = (rest + text).split('\n');
        rest = lines.pop();
        for (const line of lines) waiting.get(line)();
      });
      return made;
    });
    waiting.set(id, () => call(id).then(done));
    socket.write(`${id}\n`);
  },
  'pool with promises': (id, done) => {
    new Promise((resolve) => first('pool', () => new Lines(3, process.env.ECHO)).ask(id, resolve))
      .then(() => call(id))
      .then(done);
  },
  worker: (id, done) => {
    const waiting = first('waiting', () => new Map());
    const worker = first('worker', () => {
      const made = new Worker('require("worker_threads").parentPort.on("message", function (m) { this.postMessage(m) })', { eval: true });
      made.on('message', (message) => waiting.get(message)());
      return made;
    });
    waiting.set(id, () => call(id).then(done));
    worker.postMessage(id);
  },
  fork: (id, done) => {
    const waiting = first('waiting', () => new Map());
    const child = first('child', () => {
      const made = fork('-e', ['process.on("message", (m) => process.send(m))'], { execArgv: ['-e', 'process.on("message", (m) => process.send(m))'] });
      made.on('message', (message) => waiting.get(message)());
      return made;
    });
    waiting.set(id, () => call(id).then(done));
    child.send(id);
  },
  // Calls after the response: at once, a little later, and from a timer that goes on.
  'after the end': (id, done) => {
    done('fine');
    call(id);
    setImmediate(() => call(id));
    setTimeout(() => call(id), 5);
  },
  // A response is written to before it ends.
  'before the end': (id, done, response) => {
    response.write(' ');
    call(id).then(done);
  },
  // A job that the first request starts, and that goes on for ever. It counts on its own.
  job: (id, done) => {
    first('job', () => {
      const poll = () => call('job').then(() => setTimeout(poll, 1));
      poll();
      return setInterval(() => call('job'), 5);
    });
    done('fine');
  },
  kept: (id, done, response) => {
    over.push(new WeakRef(response.req));
    goOn();
    response.req.on('end', () => call(id).then(done));
  },
  'still there': async (id, done) => {
    if (!collect) {
      v8.setFlagsFromString('--expose_gc');
      collect = vm.runInNewContext('gc');
    }
    // A weak reference holds what it refers to until the job that made or read it is over.
    await new Promise((resolve) => setImmediate(resolve));
    collect();
    done(String(over.filter((request) => request.deref() !== undefined).length));
  },
  // Answered before its body is read, which is left to another request.
  'body for later': (id, done, response) => {
    const { req } = response;
    req.pause();
    const read = new Promise((resolve) => req.on('data', () => resolve(call(id))));
    held.push({ read, resume: () => req.resume() });
    done('fine');
  },
  'body of another': (id, done) => {
    const [{ read, resume }] = held.splice(0);
    resume();
    read.then(() => call(id)).then(done);
  },
  // The client has gone away; the work has not heard of it.
  gone: (id, done, response) => {
    response.on('close', () => setImmediate(() => call(id)));
    console.log('waiting');
  },
  // Made by the request, sent by another.
  'sent by another': (id, done) => {
    const request = http.request(to(id, { method: 'POST', headers: { 'x-call': id } }), (response) => read(response, done));
    held.push(request);
    if (held.length === 2) for (const one of held.splice(0)) one.end('body');
  },
  // Lets all answers go that are held back.
  release: (id, done) => {
    for (const go of released.splice(0)) go();
    done('fine');
  },
  // A queue of plain functions: whoever is done runs the next one, as part of its own work.
  queue: (id, done) => {
    const queue = first('queue', () => ({ running: 0, waiting: [] }));
    const next = () => {
      queue.running += 1;
      queue.waiting.shift()(() => {
        queue.running -= 1;
        if (queue.waiting.length > 0) next();
      });
    };
    queue.waiting.push((free) => {
      call(id).then((text) => {
        free();
        done(text);
      });
    });
    if (queue.running < 2) next();
  },
  server: (id, done) => {
    // A server that a request starts.
    const inner = first('server', () => {
      const made = http.createServer((request, response) => call(request.url.slice(1)).then(() => response.end()));
      return listening(made).then((port) => ({ port }));
    });
    inner.then(({ port }) => http.get({ port, path: `/${id}`, headers: { 'x-inner': 'yes' } }, (response) => read(response, done)));
  },
  call: (id, done) => call(id).then(done),
  'call out of reach': (id, done) => sent((answer) => http.get(`${process.env.ELSEWHERE}/items/${id}`, answer)).then(done),
};

const server = http.createServer((request, response) => {
  const [, hazard, id, hold] = decodeURIComponent(request.url).split('/');
  request.resume();
  hazards[hazard](
    id,
    (error, text) => {
      const answer = () => response.end(String(text || error));
      if (!hold) return answer();
      released.push(answer);
      console.log('held');
    },
    response,
  );
});
listening(server).then((port) => console.log(JSON.stringify({ port, base, keepAlive: keepAlive.keepAlive })));
