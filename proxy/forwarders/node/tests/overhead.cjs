'use strict';

// What the forwarder costs, against nothing and against OpenTelemetry's automatic instrumentation, on one
// small Express app that makes one call a request. Run by hand: node overhead.cjs [rounds] [turns].
// In a round there is an app of each kind, and all of them are there at once. They take short turns, and
// each turn is compared with that of the bare app next to it, since a machine is never the same twice.

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const readline = require('node:readline');
const { environment, traceparent } = require('./rig.cjs');

const ROUNDS = Number(process.argv[2] || 3);
const TURNS = Number(process.argv[3] || 60);
const REQUESTS = 60;
// Twice, so that what is compiled and collected after a first while is behind it.
const WARM_UPS = [2000, 1500];
const CONCURRENCY = 8;
const APP = path.join(__dirname, 'apps', 'small.cjs');

const opentelemetry = {
  forwarder: null,
  options: '--require @opentelemetry/auto-instrumentations-node/register',
  env: {
    OTEL_TRACES_EXPORTER: 'otlp',
    OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf',
    OTEL_METRICS_EXPORTER: 'none',
    OTEL_LOGS_EXPORTER: 'none',
    OTEL_SERVICE_NAME: 'small',
    OTEL_NODE_RESOURCE_DETECTORS: 'none',
  },
};
const storage = { forwarder: path.join(__dirname, 'preloads', 'storage.cjs') };
const variants = { none: { forwarder: null }, storage, forwarder: {}, opentelemetry };

// Time on a processor of all threads of a process, in microseconds, and what it holds in memory, in MB.
function spent(pid) {
  const threads = fs.readdirSync(`/proc/${pid}/task`);
  const nanoseconds = threads.map((thread) => {
    try {
      return Number(fs.readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
    } catch {
      return 0; // It has just ended.
    }
  });
  return nanoseconds.reduce((sum, one) => sum + one, 0) / 1000;
}
const memory = (pid) => Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;

async function ask(port, agent, count) {
  let left = count;
  const one = async () => {
    while (left-- > 0) {
      await new Promise((resolve, reject) => {
        http
          .get({ port, path: '/items', agent, headers: { traceparent: traceparent(left + 1) } }, (response) => response.resume().on('end', resolve))
          .on('error', reject);
      });
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, one));
}

async function start(name, settings, up) {
  const env = environment(up, settings);
  env.THROUGHLINE_FORWARD_DEBUG = '';
  const begun = process.hrtime.bigint();
  const child = spawn(process.execPath, [APP], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await once(readline.createInterface({ input: child.stdout }), 'line');
  const took = Number(process.hrtime.bigint() - begun) / 1e6;
  const { port } = JSON.parse(line);
  const agent = new http.Agent({ keepAlive: true });
  return { name, child, port, agent, took, cpu: spent(child.pid) / 1000, memory: memory(child.pid), turns: [] };
}

async function take(app) {
  const before = spent(app.child.pid);
  await ask(app.port, app.agent, REQUESTS);
  app.turns.push((spent(app.child.pid) - before) / REQUESTS);
}

async function stop({ agent, child }) {
  agent.destroy();
  child.kill('SIGKILL');
  await once(child, 'exit');
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return (sorted[Math.floor((sorted.length - 1) / 2)] + sorted[Math.ceil((sorted.length - 1) / 2)]) / 2;
}

// Each order is as likely as any other, so that none is always next to the same one.
function shuffled(all) {
  const keyed = all.map((one) => ({ one, key: Math.random() }));
  return keyed.sort((a, b) => a.key - b.key).map(({ one }) => one);
}

async function round(up) {
  const apps = [];
  for (const [name, settings] of Object.entries(variants)) apps.push(await start(name, settings, up));
  for (const count of WARM_UPS) for (const app of apps) await ask(app.port, app.agent, count);
  for (let turn = 0; turn < TURNS; turn += 1) {
    for (const app of shuffled(apps)) await take(app);
  }
  for (const app of apps) {
    app.end = memory(app.child.pid);
    app.more = app.turns.map((cpu, at) => cpu - apps[0].turns[at]);
    await stop(app);
  }
  return apps;
}

async function main() {
  const upstream = http.createServer((request, response) => request.resume().on('end', () => response.end('{"fine":true}')));
  upstream.keepAliveTimeout = 0;
  // Where OpenTelemetry sends its spans to.
  const collector = http.createServer((request, response) => request.resume().on('end', () => response.end()));
  upstream.listen(0, '127.0.0.1');
  collector.listen(0, '127.0.0.1');
  await Promise.all([once(upstream, 'listening'), once(collector, 'listening')]);
  opentelemetry.env.OTEL_EXPORTER_OTLP_ENDPOINT = `http://127.0.0.1:${collector.address().port}`;
  const up = { port: upstream.address().port, h2port: 1 };
  console.log(`Node ${process.versions.node}, ${ROUNDS} rounds of ${TURNS} turns of ${REQUESTS} requests`);
  console.log('round  variant        CPU us/request  over none  start ms  CPU of start ms  MB at start  MB at end');
  const print = (round, name, cells) => {
    const widths = [14, 11, 10, 17, 13, 11];
    const text = cells.map((cell, at) => cell.toFixed(0).padStart(widths[at])).join('');
    console.log(`${String(round).padEnd(7)}${name.padEnd(15)}${text}`);
  };
  const all = new Map(Object.keys(variants).map((name) => [name, { turns: [], more: [] }]));
  for (let at = 1; at <= ROUNDS; at += 1) {
    for (const { name, turns, more, took, cpu, memory: begin, end } of await round(up)) {
      print(at, name, [median(turns), median(more), took, cpu, begin, end]);
      all.get(name).turns.push(...turns);
      all.get(name).more.push(...more);
    }
  }
  for (const [name, { turns, more }] of all) print('all', name, [median(turns), median(more)]);
  upstream.closeAllConnections?.();
  upstream.close();
  collector.closeAllConnections?.();
  collector.close();
}

main();
