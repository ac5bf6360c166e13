'use strict';

// Each server with each client: the header of its own request exactly once on every call, at 64 requests
// at once of which one in five carries nothing.

const assert = require('node:assert');
const http2 = require('node:http2');
const https = require('node:https');
const test = require('node:test');
const { get, launch, load, major, upstream } = require('./rig.cjs');
const { servers } = require('./apps/servers.cjs');

const COUNT = Number(process.env.COUNT || 80);
const tlsAgent = new https.Agent({ keepAlive: true, maxSockets: 64, rejectUnauthorized: false });
const totals = { right: 0, abstained: 0, wrong: 0, empty: 0 };

function overTls(port, target, headers, { method, body }) {
  return new Promise((resolve, reject) => {
    https
      .request({ host: '127.0.0.1', port, path: target, method, headers, agent: tlsAgent }, (response) => {
        let text = '';
        response.on('data', (chunk) => (text += chunk));
        response.on('end', () => resolve({ status: response.statusCode, text }));
      })
      .on('error', reject)
      .end(body);
  });
}

function overHttp2(session, target, headers, { method, body }) {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':path': target, ':method': method, ...headers });
    let status;
    let text = '';
    stream.on('response', (answer) => (status = answer[':status']));
    stream.on('data', (chunk) => (text += chunk));
    stream.on('end', () => resolve({ status, text }));
    stream.on('error', reject);
    stream.end(body);
  });
}

for (const [name, { since = 16, h2 }] of Object.entries(servers)) {
  if (major < since) continue;
  test(name, async (t) => {
    const up = await upstream();
    const app = await launch('app.cjs', up, { args: [name] });
    const scheme = /TLS/.test(name) ? 'https' : 'http';
    const session = h2 && http2.connect(`${scheme}://127.0.0.1:${app.port}`, { rejectUnauthorized: false });
    const send = (target, headers, more) => {
      if (session) return overHttp2(session, target, headers, more);
      return (/https|falls back/.test(name) ? overTls : get)(app.port, target, headers, more);
    };
    for (const client of app.clients) {
      await t.test(client, async () => {
        const ask = async (id, headers) => {
          const more = Number(id) % 2 ? { method: 'GET' } : { method: 'POST', body: 'some text' };
          const { status, text } = await send(`/${encodeURIComponent(client)}/${id}`, headers, more);
          assert.equal(status, 200, text);
        };
        const verdicts = await load(up, ask, { count: COUNT });
        for (const verdict in verdicts) totals[verdict] += verdicts[verdict];
        const hops = verdicts.right + verdicts.empty;
        assert.ok(hops >= COUNT, JSON.stringify(verdicts));
        // Nothing goes out empty but what came in empty.
        assert.deepEqual(verdicts, { right: (hops * 4) / 5, abstained: 0, wrong: 0, empty: hops / 5 });
      });
    }
    if (session) session.destroy();
    await app.stop();
    up.close();
    assert.equal(app.errors.replace(/^.*(Warning|trace-warnings).*$/gm, '').trim(), '');
  });
}

test('all of it', () => {
  console.log(`# hops on Node ${process.versions.node}: ${JSON.stringify(totals)}`);
  assert.ok(totals.right > 0);
});
