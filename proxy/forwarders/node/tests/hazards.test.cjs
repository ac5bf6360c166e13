'use strict';

// Where the context of a request gets lost, nothing is forwarded, and never that of another request.

const assert = require('node:assert');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');
const tls = require('node:tls');
const { after, afterEach, before, beforeEach, describe, it } = require('node:test');
const { get, judge, launch, load, nextId, traceparent, upstream } = require('./rig.cjs');

const COUNT = Number(process.env.COUNT || 300);

function echo(socket) {
  socket.on('error', () => {});
  socket.on('data', (chunk) => setTimeout(() => socket.write(chunk), Math.random() * 3));
}

const pem = (name) => fs.readFileSync(path.join(__dirname, 'apps', `localhost.${name}`));
const plainEcho = net.createServer(echo);
const tlsEcho = tls.createServer({ key: pem('key'), cert: pem('crt') }, echo);

before(async () => {
  plainEcho.listen(0, '127.0.0.1');
  tlsEcho.listen(0, '127.0.0.1');
  await Promise.all([once(plainEcho, 'listening'), once(tlsEcho, 'listening')]);
});
after(() => {
  plainEcho.close();
  tlsEcho.close();
});

let up;
let app;

async function start(env = {}, settings = {}) {
  up = await upstream();
  app = await launch('hazards.cjs', up, {
    ...settings,
    env: { ECHO: plainEcho.address().port, ECHO_TLS: tlsEcho.address().port, ...env },
  });
}

async function stop() {
  await app.stop();
  up.close();
}

const ask = (hazard, id, headers = { traceparent: traceparent(Number.parseInt(id, 10)) }) =>
  get(app.port, `/${encodeURIComponent(hazard)}/${id}`, headers);
const loaded = (hazard, known) => load(up, (id, headers) => ask(hazard, id, headers), { count: COUNT, known });
const share = { carrying: (COUNT * 4) / 5, not: COUNT / 5 };

describe('what several requests share', () => {
  beforeEach(() => start());
  afterEach(stop);

  for (const hazard of ['pool', 'pool over TLS', 'worker', 'fork']) {
    it(`${hazard}: callbacks that lose the context forward nothing`, async () => {
      const verdicts = await loaded(hazard);
      assert.equal(verdicts.wrong, 0, JSON.stringify(verdicts));
      assert.equal(verdicts.empty, share.not);
      assert.equal(verdicts.right + verdicts.abstained, share.carrying);
    });

    it(`${hazard}: not even while the request that opened it is still there`, async () => {
      const opener = nextId();
      const kept = ask(hazard, `${opener}/hold`);
      await once(app.child.stdout, 'data');
      const verdicts = await loaded(hazard, [opener]);
      assert.equal(verdicts.wrong, 0, JSON.stringify(verdicts));
      await ask('release', nextId());
      await kept;
    });
  }

  it('pool with promises: they bring the right context along', async () => {
    const verdicts = await loaded('pool with promises');
    assert.deepEqual(verdicts, { right: share.carrying, abstained: 0, wrong: 0, empty: share.not });
  });

  it('a server that a request started serves its own requests', async () => {
    const verdicts = await loaded('server');
    // The inner request carries what the outer one did only if it was forwarded, and it goes elsewhere.
    assert.deepEqual(verdicts, { right: 0, abstained: share.carrying, wrong: 0, empty: share.not });
  });
});

describe('a context', () => {
  beforeEach(() => start());
  afterEach(stop);

  it('is there until the response has ended', async () => {
    const verdicts = await loaded('before the end');
    assert.deepEqual(verdicts, { right: share.carrying, abstained: 0, wrong: 0, empty: share.not });
  });

  it('ends with the response', async () => {
    for (let i = 0; i < 20; i += 1) {
      const id = nextId();
      await ask('after the end', id);
      await up.calls.when(id);
    }
    const within = nextId();
    await ask('call', within);
    const calls = up.calls.take();
    assert.ok(calls.length > 20);
    for (const call of calls) {
      assert.equal(judge(call, true), call.id === within ? 'right' : 'abstained', JSON.stringify(call));
    }
  });

  it('does not stay with a job that a request started', async () => {
    await ask('job', nextId());
    for (let i = 0; i < 50; i += 1) await ask('call', nextId());
    const calls = up.calls.take();
    const job = calls.filter(({ id }) => id === 'job');
    assert.ok(job.length > 2);
    // Its first call can be made while the request is still being handled.
    for (const call of job.slice(1)) assert.equal(judge(call, true), 'abstained');
    for (const call of calls) if (call.id !== 'job') assert.equal(judge(call, true), 'right');
  });

  it('ends with the connection', async () => {
    const id = nextId();
    const socket = net.connect(app.port, '127.0.0.1');
    socket.write(`GET /gone/${id} HTTP/1.1\r\nhost: shop\r\ntraceparent: ${traceparent(id)}\r\n\r\n`);
    await once(app.child.stdout, 'data');
    socket.destroy();
    assert.equal(judge(await up.calls.when(id), true), 'abstained');
  });

  it('is that of the request that made the call, whoever sends it', async () => {
    for (let i = 0; i < 20; i += 1) {
      const ids = [nextId(), nextId()];
      const carrying = i % 2 === 0;
      await Promise.all([ask('sent by another', ids[0]), ask('sent by another', ids[1], carrying ? undefined : {})]);
      for (const call of up.calls.take()) {
        const carries = carrying || call.id === ids[0];
        assert.equal(judge(call, carries), carries ? 'right' : 'empty');
      }
    }
  });

  it('is not taken over from the request that lets a body flow', async () => {
    for (const whole of [true, false]) {
      const [late, other] = [nextId(), nextId()];
      const socket = net.connect(app.port, '127.0.0.1');
      const head = `POST /body%20for%20later/${late} HTTP/1.1\r\nhost: shop\r\ntraceparent: ${traceparent(late)}\r\n`;
      socket.write(`${head}content-length: 8\r\n\r\n${whole ? 'all of i' : 'half'}`);
      await once(socket, 'data');
      await ask('body of another', other);
      assert.equal(judge(await up.calls.when(late), true), 'abstained');
      assert.equal(judge(await up.calls.when(other), true), 'right');
      socket.destroy();
    }
  });

  it('is not taken over on a connection that is kept', async () => {
    const socket = net.connect(app.port, '127.0.0.1');
    for (let i = 0; i < 10; i += 1) {
      const id = nextId();
      const line = i % 2 ? '' : `traceparent: ${traceparent(id)}\r\n`;
      socket.write(`GET /call/${id} HTTP/1.1\r\nhost: shop\r\n${line}\r\n`);
      const call = await up.calls.when(id);
      assert.equal(judge(call, i % 2 === 0), i % 2 ? 'empty' : 'right');
    }
    socket.destroy();
  });

  it('is each request’s own where they are pipelined with bodies', async () => {
    const socket = net.connect(app.port, '127.0.0.1');
    const ids = Array.from({ length: 30 }, nextId);
    const line = (id, at) => (at % 3 === 2 ? '' : `traceparent: ${traceparent(id)}\r\n`);
    const head = (id, at) => `POST /kept/${id} HTTP/1.1\r\nhost: shop\r\n${line(id, at)}content-length: 4\r\n\r\n`;
    socket.write(ids.map((id, at) => `${head(id, at)}text`).join(''));
    const calls = await Promise.all(ids.map((id) => up.calls.when(id)));
    calls.forEach((call, at) => assert.equal(judge(call, at % 3 !== 2), at % 3 === 2 ? 'empty' : 'right'));
    socket.destroy();
  });

  it('is each request’s own where they are pipelined', async () => {
    const socket = net.connect(app.port, '127.0.0.1');
    const ids = Array.from({ length: 30 }, nextId);
    socket.write(
      ids
        .map((id, at) => {
          const line = at % 3 === 2 ? '' : `traceparent: ${traceparent(id)}\r\n`;
          return `GET /call/${id} HTTP/1.1\r\nhost: shop\r\n${line}\r\n`;
        })
        .join(''),
    );
    const calls = await Promise.all(ids.map((id) => up.calls.when(id)));
    calls.forEach((call, at) => assert.equal(judge(call, at % 3 !== 2), at % 3 === 2 ? 'empty' : 'right'));
    socket.destroy();
  });
});

// As many connections as there are requests, none of which is closed.
async function askAndKeep(count) {
  const agent = new http.Agent({ keepAlive: true });
  const post = { method: 'POST', body: 'text', agent };
  await Promise.all(
    Array.from({ length: count }, async () => {
      const id = nextId();
      await get(app.port, `/kept/${id}`, { traceparent: traceparent(id) }, post);
    }),
  );
  return agent;
}

describe('a request that is over', () => {
  afterEach(stop);

  for (const [name, forwarder] of [['without a forwarder', null], ['with one', undefined]]) {
    it(`is kept neither by its connection nor by its context, ${name}`, async () => {
      await start({}, forwarder === null ? { forwarder } : {});
      const agent = await askAndKeep(20);
      const { text } = await ask('still there', nextId(), {});
      agent.destroy();
      const calls = up.calls.take();
      assert.equal(calls.length, 20);
      for (const call of calls) assert.equal(judge(call, true), forwarder === null ? 'abstained' : 'right');
      assert.equal(text, '0');
    });
  }
});

describe('what is beyond an async context', () => {
  beforeEach(() => start());
  afterEach(stop);

  // Nothing tells such a function from one of the request that runs it.
  const todo = 'a function that waits in a queue of the app is run as part of another request';
  it('a queue of plain functions', { todo }, async () => {
    const verdicts = await loaded('queue');
    assert.equal(verdicts.wrong, 0, JSON.stringify(verdicts));
  });
});

describe('a grace', () => {
  beforeEach(() => start({ THROUGHLINE_FORWARD_GRACE_MS: '60000' }));
  afterEach(stop);

  it('lets a context outlive its response', async () => {
    const id = nextId();
    await ask('after the end', id);
    assert.equal(judge(await up.calls.when(id), true), 'right');
  });
});
