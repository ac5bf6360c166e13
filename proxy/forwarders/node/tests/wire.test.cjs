'use strict';

// Byte for byte the same with the forwarder and without it, to the client and to the upstreams: without
// a context, and with one but for the trace headers and the marker.

const assert = require('node:assert');
const { once } = require('node:events');
const http2 = require('node:http2');
const net = require('node:net');
const test = require('node:test');
const { launch, major, traceparent, upstream } = require('./rig.cjs');
const { servers } = require('./apps/servers.cjs');

// Passes a connection on and keeps what the app sends on it.
async function tap(port) {
  const sent = [];
  const server = net.createServer((near) => {
    const bytes = [];
    sent.push(bytes);
    const far = net.connect(port, '127.0.0.1');
    near.on('data', (chunk) => bytes.push(chunk));
    near.pipe(far).pipe(near);
    near.on('error', () => far.destroy());
    far.on('error', () => near.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { sent, server, port: server.address().port };
}

// One request, and all that comes back on its connection.
async function exchange(port, method, target, lines) {
  const socket = net.connect(port, '127.0.0.1');
  const body = method === 'POST' ? 'some text' : '';
  const length = body && `content-length: ${body.length}\r\n`;
  socket.write(`${method} ${target} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n${length}${lines}\r\n${body}`);
  const chunks = [];
  for await (const chunk of socket) chunks.push(chunk);
  return Buffer.concat(chunks).toString('latin1');
}

const sameDay = (text) => text.replace(/^(date|x-amz-date): .*$/gim, '$1: then').replace(/Signature=\w+|amz-sdk-invocation-id: \S+|md\/nodejs#\S+/g, 'x');
const unmarked = (text) => text.replace(/^(traceparent|tracestate|throughline-forwarder): .*\r\n/gm, '');

// What an HTTP/1 server sends to its client and what its clients send upstream, in a process with this
// environment.
async function recorded(name, client, settings, lines) {
  const up = await upstream();
  const tapped = await tap(up.port);
  const via = { ...up, port: tapped.port };
  const app = await launch('app.cjs', via, { args: [name], ...settings });
  const answers = [];
  for (const method of ['GET', 'POST', 'GET']) {
    answers.push(sameDay(await exchange(app.port, method, `/${encodeURIComponent(client)}/7`, lines)));
  }
  await app.stop();
  tapped.server.close();
  up.close();
  const calls = tapped.sent.map((bytes) => sameDay(Buffer.concat(bytes).toString('latin1')));
  const nowhere = (text) => text.split(String(tapped.port)).join('PORT');
  return { answers, calls: calls.map(nowhere), clients: app.clients };
}

const ONE_TRACE = `traceparent: ${traceparent(7)}\r\ntracestate: a=b\r\n`;
const overHttp1 = Object.keys(servers).filter((name) => !/2|https/.test(name) && major >= (servers[name].since || 16));

async function compare(name, client) {
  const bare = await recorded(name, client, { forwarder: null }, ONE_TRACE);
  const without = await recorded(name, client, {}, '');
  const carrying = await recorded(name, client, {}, ONE_TRACE);
  for (const seen of [bare, without, carrying]) {
    assert.ok(seen.answers.every((answer) => / 200 /.test(answer)), seen.answers.join());
    delete seen.clients;
  }
  assert.ok(bare.calls.length > 0 || /http2|grpc/.test(client));
  assert.deepEqual(without, bare);
  assert.deepEqual({ ...carrying, calls: carrying.calls.map(unmarked) }, bare);
  const marks = carrying.calls.join('').split('throughline-forwarder: ').length - 1;
  const requests = carrying.calls.join('').split(/(?:GET|POST|HEAD) \S+ HTTP\/1\.1\r\n/).length - 1;
  assert.equal(marks, requests, 'a call without its header');
}

for (const name of overHttp1) {
  test(`${name}: its answers`, () => compare(name, 'http.get with a callback'));
}

test('each client: its calls', async (t) => {
  const up = await upstream();
  const { clients, stop } = await launch('app.cjs', up, { args: ['http'] });
  await stop();
  up.close();
  // Boundaries and numbers that are made anew for each call, and ways that are not HTTP/1.
  for (const client of clients.filter((way) => !/http2|grpc|once|at once/.test(way))) {
    await t.test(client, () => compare('http', client));
  }
});

// A stream of HTTP/2 as the server receives it.
async function overHttp2(client, settings, headers) {
  const up = await upstream();
  const app = await launch('app.cjs', up, { args: ['http2'], ...settings });
  const session = http2.connect(`http://127.0.0.1:${app.port}`);
  const answers = [];
  for (let i = 0; i < 3; i += 1) {
    const stream = session.request({ ':path': `/${encodeURIComponent(client)}/7`, ...headers });
    const [answer] = await once(stream, 'response');
    let text = '';
    for await (const chunk of stream) text += chunk;
    delete answer.date;
    answers.push([{ ...answer }, text]);
  }
  session.destroy();
  await app.stop();
  up.close();
  const port = new RegExp(`\\b(${up.port}|${up.h2port})\\b`, 'g');
  return JSON.parse(JSON.stringify({ answers, calls: up.calls.take().map((call) => call.headers) }).replace(port, 'PORT'));
}

for (const client of ['http2 session', 'http2 session of its own', 'grpc-js']) {
  test(`http2 with ${client}`, async () => {
    const trace = { traceparent: traceparent(7), tracestate: 'a=b' };
    const bare = await overHttp2(client, { forwarder: null }, trace);
    const without = await overHttp2(client, {}, {});
    const carrying = await overHttp2(client, {}, trace);
    assert.deepEqual(without, bare);
    const names = new Set(['traceparent', 'tracestate', 'throughline-forwarder']);
    assert.ok(carrying.calls.every((call) => call.filter(([name]) => names.has(name)).length === 3));
    carrying.calls = carrying.calls.map((call) => call.filter(([name]) => !names.has(name)));
    assert.deepEqual(carrying, bare);
  });
}
