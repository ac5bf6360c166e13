'use strict';

// Whatever else is in the process, and wherever the variables reach: each call has one header or none,
// and the app works as it does without.

const assert = require('node:assert');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { afterEach, beforeEach, describe, it } = require('node:test');
const { FORWARDER, environment, get, judge, launch, major, nextId, run, traceparent, upstream } = require('./rig.cjs');

const preload = (name) => `--require=${JSON.stringify(path.join(__dirname, 'preloads', `${name}.cjs`))}`;
const load = (file) => `--require=${JSON.stringify(file)}`;

let up;
let app;
beforeEach(async () => {
  up = await upstream();
});
afterEach(async () => {
  if (app) await app.stop();
  app = undefined;
  up.close();
});

const start = async (settings) => {
  app = await launch('neighbours.cjs', up, settings);
};

// The trace headers of the calls that a request leads to, by name.
async function calls(headers) {
  const id = nextId();
  const answer = await get(app.port, `/${id}`, headers || { traceparent: traceparent(id) });
  assert.equal(answer.status, 200, answer.text);
  const made = up.calls.take().filter((call) => call.id === id);
  assert.equal(made.length, 2, 'by http and by fetch');
  return made;
}

const values = (call, name) => call.headers.filter(([it]) => it === name).map(([, value]) => value);

async function forwards() {
  for (let i = 0; i < 3; i += 1) {
    for (const call of await calls()) assert.equal(judge(call, true), 'right', JSON.stringify(call));
    for (const call of await calls({})) assert.equal(judge(call, false), 'empty');
  }
}

async function abstains() {
  for (let i = 0; i < 5; i += 1) {
    for (const call of await calls()) assert.equal(judge(call, true), 'abstained', JSON.stringify(call));
  }
}

describe('what else sets trace headers', () => {
  const both = [
    ['before', { options: preload('opentelemetry') }],
    ['after', { forwarder: null, options: `${load(FORWARDER)} ${preload('opentelemetry')}` }],
  ];
  for (const [when, settings] of both) {
    it(`OpenTelemetry, loaded ${when} us: one header, its own`, { skip: major < 20 }, async () => {
      await start(settings);
      for (let i = 0; i < 5; i += 1) {
        const id = nextId();
        for (const call of await calls({ traceparent: traceparent(id) })) {
          const found = values(call, 'traceparent');
          assert.equal(found.length, 1);
          // The same trace, with a span of its own as the parent.
          assert.equal(found[0].slice(0, 35), traceparent(id).slice(0, 35));
          assert.notEqual(found[0], traceparent(id));
          assert.deepEqual(values(call, 'throughline-forwarder'), []);
        }
      }
    });
  }

  it('the API of OpenTelemetry alone: nothing does the job', async () => {
    await start({ options: '--require=@opentelemetry/api' });
    await forwards();
  });

  it('the X-Ray SDK', async () => {
    for (const XRAY of ['', 'segments']) {
      await start({ options: preload('xray'), env: { XRAY, AWS_XRAY_LOG_LEVEL: 'silent' } });
      for (const headers of [undefined, { 'x-amzn-trace-id': 'Root=1-5759e988-bd862e3fe1be46a994272793' }]) {
        const [byHttp, byFetch] = await calls(headers);
        for (const call of [byHttp, byFetch]) {
          assert.deepEqual(values(call, 'throughline-forwarder'), []);
          assert.deepEqual(values(call, 'traceparent'), []);
        }
        assert.equal(values(byHttp, 'x-amzn-trace-id').length, XRAY ? 1 : 0);
      }
      await app.stop();
    }
  });

  for (const [when, options] of [['before', (us, them) => `${them} ${us}`], ['after', (us, them) => `${us} ${them}`]]) {
    it(`an agent that is not known, loaded ${when} us`, async () => {
      await start({ forwarder: null, options: options(load(FORWARDER), preload('agent')) });
      const [byHttp, byFetch] = await calls();
      assert.deepEqual(values(byHttp, 'traceparent'), ['of-the-agent']);
      assert.deepEqual(values(byHttp, 'throughline-forwarder'), []);
      assert.equal(judge(byFetch, true), 'right');
    });
  }

  it('the forwarder itself, named twice', async () => {
    const copy = fs.mkdtempSync(path.join(os.tmpdir(), 'forward-'));
    for (const file of fs.readdirSync(path.dirname(FORWARDER))) {
      if (file.endsWith('.cjs')) fs.copyFileSync(path.join(path.dirname(FORWARDER), file), path.join(copy, file));
    }
    await start({ options: `${load(FORWARDER)} ${load(path.join(copy, 'forward.cjs'))} ${load(FORWARDER)}` });
    await forwards();
  });
});

describe('what breaks', () => {
  for (const name of ['broken-storage', 'broken-inbound', 'broken-outbound']) {
    it(`${name}: the app goes on, and nothing is forwarded`, async () => {
      await start({ options: preload(name) });
      await abstains();
    });
    it(`${name} once the forwarder is loaded: the same`, async () => {
      await start({ forwarder: null, options: `${load(FORWARDER)} ${preload(name)}` });
      await abstains();
    });
  }

  it('says so, and stands aside after a few failures', async () => {
    await start({ options: preload('broken-inbound') });
    await abstains();
    assert.equal(app.errors.split('throughline-forwarder: server: Error: broken').length - 1, 3, app.errors);
    await app.stop();
    await start({ options: preload('broken-inbound'), env: { THROUGHLINE_FORWARD_DEBUG: '' } });
    await abstains();
    assert.equal(app.errors, '');
  });

  it('libraries of another shape are left alone', async () => {
    await start({ options: preload('odd-libraries') });
    const [byHttp] = await calls();
    assert.equal(judge(byHttp, true), 'right');
  });

  it('an unknown Node is left alone', async () => {
    await start({ options: preload('unknown-node') });
    await abstains();
  });

  it('other internals of Node are left alone', async () => {
    await start({ options: preload('other-internals') });
    const [byHttp, byFetch] = await calls();
    assert.equal(judge(byHttp, true), 'abstained');
    assert.equal(judge(byFetch, true), 'right');
  });

  it('a forwarder of which a part is missing does not stop the app', async () => {
    const copy = fs.mkdtempSync(path.join(os.tmpdir(), 'forward-'));
    fs.copyFileSync(FORWARDER, path.join(copy, 'forward.cjs'));
    await start({ forwarder: path.join(copy, 'forward.cjs') });
    await abstains();
  });

  it('garbage in the variables', async () => {
    const garbage = ['', ',,;', '\u00e9\u4e2d', '*'.repeat(10_000), '0x10', '-1', '{"a":1}', 'a:b:c:d'];
    for (const text of garbage) {
      const env = { THROUGHLINE_FORWARD: text, THROUGHLINE_FORWARD_VIA: text, THROUGHLINE_FORWARD_EXCLUDE: text, THROUGHLINE_FORWARD_GRACE_MS: text, THROUGHLINE_FORWARD_DEBUG: text };
      await start({ env });
      await calls();
      await app.stop();
      assert.equal(app.errors, '', text);
    }
    await start({ env: { THROUGHLINE_FORWARD_GRACE_MS: 'soon', THROUGHLINE_FORWARD: 'on' } });
    await forwards();
  });
});

describe('where the variables reach', () => {
  for (const role of ['worker', 'fork after load', 'shell', 'cluster']) {
    it(role, async () => {
      await start({ args: [role] });
      const { pid } = app;
      await forwards();
      // The one that serves is a child of what the test started, and goes with it or by itself.
      if (pid && pid !== app.child.pid) process.kill(pid);
    });
  }

  it('a variable that the image had set', async () => {
    await start({ options: `--max-old-space-size=128 --no-warnings ${preload('agent').replace('agent', 'plain')}` });
    await forwards();
  });

  it('an app that is an ES module', async () => {
    const program = `
      import http, { get } from 'node:http';
      const server = http.createServer((request, response) => {
        get(process.env.UPSTREAM + '/items/9', (answer) => answer.resume().on('end', () => response.end()));
      }).listen(0, () => {
        get({ port: server.address().port, headers: { traceparent: '${traceparent(9)}' } }, () => process.exit());
      });`;
    const { code, errors } = await run(['--input-type=module', '-e', program], environment(up));
    assert.equal(code, 0, errors);
    assert.equal(judge(await up.calls.when('9'), true), 'right');
  });
});
