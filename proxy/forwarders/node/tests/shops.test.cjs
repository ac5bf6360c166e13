'use strict';

// The shops of tests/apps/callers, which write down which request makes which call: all right, at 64
// requests at once.

const assert = require('node:assert');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const test = require('node:test');
const { environment, get, major, pairs, traceparent } = require('./rig.cjs');

const SHOPS = path.join(__dirname, '..', '..', '..', '..', 'tests', 'apps', 'callers');
const COUNT = 320;

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

async function listens(port, child) {
  while (child.exitCode === null) {
    const socket = net.connect(port, '127.0.0.1');
    const there = await new Promise((resolve) => {
      socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
    });
    socket.destroy();
    if (there) return;
  }
  throw new Error('the shop does not start');
}

for (const [shop, since] of [['shop.js', 18], ['express_shop.js', 18], ['fastify_shop.js', 20], ['next_shop.js', 18]]) {
  test(shop, { skip: major < since }, async () => {
    const arrived = new Map();
    const upstream = http.createServer((request, response) => {
      const headers = pairs(request.rawHeaders);
      const all = (name) => headers.filter(([it]) => it === name).map(([, value]) => value);
      arrived.set(all('x-call-number')[0], all('traceparent'));
      request.resume();
      setTimeout(() => response.setHeader('content-type', 'application/json').end('{}'), Math.random() * 4);
    });
    upstream.keepAliveTimeout = 0;
    upstream.listen(0, '127.0.0.1');
    await once(upstream, 'listening');
    const url = `http://127.0.0.1:${upstream.address().port}`;
    const port = await freePort();
    const witness = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'shop-')), 'witness');
    const env = { PORT: port, WITNESS: witness, PAYMENTS_URL: url, STOCK_URL: url, PRICES_URL: url, THROUGHLINE_FORWARD_VIA: url.slice(7) };
    const child = spawn(process.execPath, [path.join(SHOPS, shop)], { env: environment(undefined, { env }), stdio: 'inherit' });
    await listens(port, child);

    const queue = Array.from({ length: COUNT }, (_, at) => at + 1);
    const agent = new http.Agent({ keepAlive: true });
    const one = async () => {
      for (let id = queue.shift(); id !== undefined; id = queue.shift()) {
        const target = ['/checkout', '/browse', '/quote', '/health'][id % 4];
        const { status } = await get(port, target, { traceparent: traceparent(id) }, { agent });
        assert.equal(status, 200);
      }
    };
    await Promise.all(Array.from({ length: 64 }, one));
    agent.destroy();
    child.kill('SIGKILL');
    await once(child, 'exit');
    upstream.closeAllConnections();
    upstream.close();

    const lines = fs.readFileSync(witness, 'utf8').trim().split('\n');
    assert.equal(lines.length, (COUNT / 4) * 5);
    for (const line of lines) {
      const [span, number] = line.split(' ');
      const found = arrived.get(number);
      assert.equal(found.length, 1);
      assert.equal(found[0].split('-')[2], span);
    }
  });
}
