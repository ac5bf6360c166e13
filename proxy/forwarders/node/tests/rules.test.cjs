'use strict';

// The rules of ../../README.md, one by one.

const assert = require('node:assert');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const http2 = require('node:http2');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { after, afterEach, before, describe, it } = require('node:test');
const { MARKER, environment, get, launch, major, nextId, pairs, run, traceparent, upstream } = require('./rig.cjs');

const TRACE_HEADERS = {
  traceparent: traceparent(7),
  tracestate: 'congo=t61rcWkgMzE,rojo=00f067aa0ba902b7',
  'x-amzn-trace-id': 'Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1',
  b3: '80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90',
  'x-b3-traceid': '80f198ee56343ba864fe8b2a57d3eff7',
  'x-b3-spanid': 'e457b5a2e4d86bd1',
  'x-b3-parentspanid': '05e3ac9a4f6e3b90',
  'x-b3-sampled': '1',
  'x-b3-flags': '1',
  'uber-trace-id': '4bf92f3577b34da6a3ce929d0e0e4736:00f067aa0ba902b7:0:1',
  'x-datadog-trace-id': '1234567890',
  'x-datadog-parent-id': '987654321',
  'x-datadog-sampling-priority': '1',
  'x-datadog-origin': 'rum',
  'x-datadog-tags': '_dd.p.tid=4bf92f3577b34da6',
};

const EVERY_WAY = ['http', 'http with an array', 'http with Expect', 'http with setHeader', 'http2', 'undici5'];
if (major >= 18) EVERY_WAY.push('fetch');
if (major >= 20) EVERY_WAY.push('undici');

let up;
let app;
let count = 0;

before(async () => {
  up = await upstream();
});
after(() => up.close());
afterEach(async () => {
  if (app) await app.stop();
  app = undefined;
});

const start = async (env) => {
  app = await launch('calls.cjs', up, { env });
};

// What arrives when a request with these headers asks for this call.
async function call(wish, headers = { traceparent: TRACE_HEADERS.traceparent }) {
  const id = nextId();
  count += 1;
  const port = wish.by === 'http2' ? up.h2port : up.port;
  const full = { url: `http://127.0.0.1:${port}/items/${id}`, ...wish };
  full.url = full.url.replace('ID', id);
  full.headers = { 'x-call': id, ...wish.headers };
  const answer = await get(app.port, '/', headers, { method: 'POST', body: JSON.stringify(full) });
  assert.equal(answer.status, 200, answer.text);
  return (await up.calls.when(id)).headers;
}

const added = (headers) => headers.filter(([name]) => name in TRACE_HEADERS || /baggage|throughline/.test(name));
const forwards = async (wish, message) => {
  assert.deepEqual(
    added(await call(wish)),
    [['traceparent', TRACE_HEADERS.traceparent], ['throughline-forwarder', MARKER]],
    message || JSON.stringify(wish),
  );
};
const abstains = async (wish, message) => assert.deepEqual(added(await call(wish)), [], message || JSON.stringify(wish));

describe('what it copies', () => {
  it('each of the trace headers as it came, and nothing else', async () => {
    await start();
    const others = { baggage: 'user=7', 'x-request-id': '1', 'x-b3-other': '1', authorization: 'secret', cookie: 'a=b' };
    for (const by of EVERY_WAY) {
      const headers = await call({ by }, { ...others, ...TRACE_HEADERS });
      assert.deepEqual(added(headers), [...Object.entries(TRACE_HEADERS), ['throughline-forwarder', MARKER]], by);
      for (const name in others) assert.ok(!headers.some(([there]) => there === name), name);
    }
  });

  const cases = [
    ['whatever the case of its name', { TraceParent: 'a' }, { traceparent: 'a' }],
    ['nothing where nothing came', {}, {}],
    ['no tracestate without a traceparent', { tracestate: 'a=b', b3: '0' }, { b3: '0' }],
    ['nothing where tracestate came alone', { tracestate: 'a=b' }, {}],
    ['not one that came twice', { b3: ['0', '1'], 'x-b3-flags': '1' }, { 'x-b3-flags': '1' }],
    ['no tracestate where the traceparent came twice', { traceparent: ['a', 'b'], tracestate: 'a=b' }, {}],
    ['a value with spaces and of 4096 bytes', { b3: `a ${'b'.repeat(4094)}` }, { b3: `a ${'b'.repeat(4094)}` }],
    ['no longer one', { b3: 'b'.repeat(4097) }, {}],
    ['no value beyond visible ASCII', { b3: 'caf\u00e9', 'x-b3-flags': '\u0080' }, {}],
    ['no value with a tab', { b3: 'a\tb' }, {}],
    ['no empty value', { b3: '' }, {}],
    ['a value that is no valid one', { traceparent: 'anything', tracestate: ',,' }, { traceparent: 'anything', tracestate: ',,' }],
  ];
  for (const [what, came, goes] of cases) {
    it(what, async () => {
      await start();
      const marked = Object.keys(goes).length ? { ...goes, 'throughline-forwarder': MARKER } : {};
      assert.deepEqual(Object.fromEntries(added(await call({ by: 'http' }, came))), marked);
    });
  }
});

describe('when it copies', () => {
  it('not where a trace header is there already, in any form of call', async () => {
    await start();
    for (const by of EVERY_WAY) {
      for (const name in TRACE_HEADERS) {
        const headers = await call({ by, headers: { [name.toUpperCase().replace(/.*/, by === 'http2' ? name : '$&')]: 'mine' } });
        assert.deepEqual(added(headers), [[name, 'mine']], by);
      }
    }
  });

  it('only to an address of the sidecar', async () => {
    const other = await upstream(up.calls);
    await start();
    for (const by of EVERY_WAY) {
      await forwards({ by });
      const port = by === 'http2' ? other.h2port : other.port;
      await abstains({ by, url: `http://127.0.0.1:${port}/items/ID` });
    }
    other.close();
  });

  it('whatever this host is called', async () => {
    for (const name of ['localhost', '127.0.0.1', 'LOCALHOST', '[::1]']) {
      await start({ THROUGHLINE_FORWARD_VIA: ` nowhere:1 , ${name}:${up.port} ,${name}:${up.h2port}` });
      for (const by of EVERY_WAY) {
        await forwards({ by });
        const port = by === 'http2' ? up.h2port : up.port;
        await forwards({ by, url: `http://localhost:${port}/items/ID` });
      }
      await app.stop();
    }
  });

  it('not where no address is set, or none that can be read', async () => {
    for (const via of [undefined, '', ' ', ',', 'localhost', `:${up.port}`, `http://127.0.0.1:${up.port}`, '[', '127.0.0.1:x']) {
      await start({ THROUGHLINE_FORWARD_VIA: via });
      await abstains({ by: 'http' }, via);
      await app.stop();
    }
  });

  it('not when it is off', async () => {
    await start({ THROUGHLINE_FORWARD: 'off' });
    for (const by of EVERY_WAY) await abstains({ by });
  });

  it('to everywhere where the sidecar takes every plain-text call', async () => {
    await start({ THROUGHLINE_FORWARD_VIA: '*' });
    // The first call of a copy of undici could be one in a tunnel.
    for (const by of EVERY_WAY) await call({ by });
    for (const by of EVERY_WAY) await forwards({ by });
  });

  it('not to a target that is left out', async () => {
    await start({ THROUGHLINE_FORWARD_EXCLUDE: 'partner.example, .internal.example,localhost' });
    for (const by of EVERY_WAY.filter((way) => way !== 'http2')) {
      // fetch sets the host itself.
      if (by !== 'fetch') {
        for (const host of ['partner.example', 'PARTNER.example:80', 'internal.example', 'a.b.internal.example:8080']) {
          await abstains({ by, headers: { host } });
        }
        for (const host of ['www.partner.example', 'notinternal.example', 'example', '[::1]']) {
          await forwards({ by, headers: { host } });
        }
      }
      await abstains({ by, url: `http://localhost:${up.port}/items/ID` });
      await forwards({ by });
    }
    await abstains({ by: 'http2', url: `http://localhost:${up.h2port}/items/ID` });
    await abstains({ by: 'http2', headers: { ':authority': 'partner.example:443' } });
    await forwards({ by: 'http2', headers: { ':authority': 'www.partner.example' } });
    if (major >= 18) await abstains({ by: 'axios', proxy: `http://127.0.0.1:${up.port}`, url: 'http://partner.example/items/ID' });
  });

  it('not over TLS', async () => {
    const file = (name) => fs.readFileSync(path.join(__dirname, 'apps', `localhost.${name}`));
    const tls = { key: file('key'), cert: file('crt') };
    const note = (request, response) => {
      up.calls.note(pairs(request.rawHeaders), request.url);
      response.end('{}');
    };
    const servers = [https.createServer(tls, note), http2.createSecureServer(tls, note)];
    const ports = [];
    for (const server of servers) {
      server.listen(0);
      await once(server, 'listening');
      ports.push(server.address().port);
    }
    after(() => servers.forEach((server) => server.close()));
    for (const via of ['*', ports.map((port) => `localhost:${port}`).join()]) {
      await start({ THROUGHLINE_FORWARD_VIA: via, NODE_TLS_REJECT_UNAUTHORIZED: '0' });
      for (const by of ['http', 'http with an array', ...(major >= 18 ? ['fetch', 'fetch'] : [])]) {
        await abstains({ by, url: `https://localhost:${ports[0]}/items/ID` });
      }
      await abstains({ by: 'http2', url: `https://localhost:${ports[1]}/items/ID` });
      await app.stop();
    }
  });

  it('not to a socket file', async () => {
    const socketPath = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'forward-')), 'socket');
    const server = http.createServer((request, response) => {
      up.calls.note(pairs(request.rawHeaders), request.url);
      response.end('{}');
    });
    server.listen(socketPath);
    await once(server, 'listening');
    for (const via of ['*', `localhost:${up.port}`]) {
      await start({ THROUGHLINE_FORWARD_VIA: via });
      await abstains({ by: 'http on a socket file', socketPath });
      await app.stop();
    }
    server.close();
  });
});

describe('by way of a proxy', () => {
  let proxy;
  let seen;
  before(async () => {
    // Takes requests in absolute form; what comes in a tunnel arrives at a server of its own.
    const inside = http.createServer((request, response) => {
      seen.push('tunnel');
      up.calls.note(pairs(request.rawHeaders), request.url);
      response.end('{}');
    });
    proxy = http.createServer((request, response) => {
      seen.push(request.url);
      request.resume();
      up.calls.note(pairs(request.rawHeaders), request.url);
      response.end('{}');
    });
    proxy.on('connect', (request, socket) => {
      const names = pairs(request.rawHeaders).map(([name]) => name);
      seen.push('CONNECT', ...names.filter((name) => name in TRACE_HEADERS || name.startsWith('throughline')));
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      inside.emit('connection', socket);
    });
    proxy.listen(0, '127.0.0.1');
    await once(proxy, 'listening');
  });
  after(() => {
    proxy.closeAllConnections?.();
    proxy.close();
  });

  const inTheOpen = ['http-proxy-agent'];
  if (major >= 18) inTheOpen.push('axios', 'axios with HTTP_PROXY');
  if (major >= 20) inTheOpen.push('got with http-proxy-agent', 'undici without a tunnel');
  if (major >= 24) inTheOpen.push('node with its own proxy', 'node with its own proxy and Expect');
  const tunnelled = ['hpagent'];
  if (major >= 20) tunnelled.push('undici with a tunnel');

  const wish = (by, target = 'http://orders.example/items/ID') => ({ by, url: target, proxy: `http://127.0.0.1:${proxy.address().port}` });
  const via = () => ({ THROUGHLINE_FORWARD_VIA: `localhost:${proxy.address().port}` });

  it('copies in absolute form, which the sidecar reads', async () => {
    for (const env of [via(), { THROUGHLINE_FORWARD_VIA: '*' }]) {
      await start(env);
      for (const by of inTheOpen) {
        seen = [];
        await call(wish(by));
        await forwards(wish(by), by);
        assert.match(seen.pop(), /^http:\/\/orders\.example\/items\//, by);
      }
      await app.stop();
    }
  });

  it('copies nothing in absolute form to another proxy', async () => {
    await start();
    for (const by of inTheOpen) {
      await abstains(wish(by));
      // Not even where the target would be reached through the sidecar.
      await abstains(wish(by, `http://127.0.0.1:${up.port}/items/ID`));
    }
  });

  it('copies nothing to a target in absolute form that is left out', async () => {
    await start({ ...via(), THROUGHLINE_FORWARD_EXCLUDE: '.example' });
    for (const by of inTheOpen) await abstains(wish(by));
  });

  it('copies nothing into a tunnel, nor to its beginning', async () => {
    for (const env of [via(), { THROUGHLINE_FORWARD_VIA: '*' }]) {
      await start(env);
      for (const by of tunnelled) {
        seen = [];
        await abstains(wish(by), by);
        await abstains(wish(by), by);
        assert.deepEqual(seen, ['CONNECT', 'tunnel', 'CONNECT', 'tunnel'], by);
      }
      await app.stop();
    }
  });
});

describe('what it must never do', () => {
  const look = path.join(__dirname, 'apps', 'look.cjs');

  it('load or change anything in a process that serves nothing', async () => {
    const program = 'console.log(process.moduleLoadList.filter((m) => /http|net$|undici|tls|worker_threads|child_process/.test(m)).join())';
    const [without, loaded] = await Promise.all([
      run(['-e', program], environment(up, { forwarder: null })),
      run(['-e', program], environment(up)),
    ]);
    assert.deepEqual(loaded, without);
  });

  it('change what the app sees of Node, of its requests and of its errors', async () => {
    const seen = [];
    for (const forwarder of [null, undefined]) {
      const { output, errors, code } = await run([look], environment(up, forwarder === null ? { forwarder } : {}));
      seen.push({ output: JSON.parse(output || 'null'), errors: errors.replace(/^ +at .*\n/gm, ''), code });
    }
    assert.equal(seen[0].code, 1, seen[0].errors);
    assert.deepEqual(seen[1], seen[0]);
  });

  it('print, unless debugging is on', async () => {
    await start({ THROUGHLINE_FORWARD_DEBUG: undefined });
    for (const by of EVERY_WAY) await forwards({ by });
    assert.equal(app.errors.replace(/^.*(Warning|trace-warnings).*$/gm, '').trim(), '');
  });
});

after(() => console.log(`# calls: ${count}`));
