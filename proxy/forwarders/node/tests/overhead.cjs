'use strict';

// What the forwarder costs, against nothing and against OpenTelemetry's automatic instrumentation, on one
// small Express app that makes one call a request. Run by hand: node overhead.cjs [rounds] [requests].
// It takes turns, since a machine is never the same twice; read the differences, and the spread.

const { spawn, spawnSync } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const readline = require('node:readline');
const { environment, traceparent } = require('./rig.cjs');

const ROUNDS = Number(process.argv[2] || 3);
const REQUESTS = Number(process.argv[3] || 4000);
const WARM_UP = 1500;
const CONCURRENCY = 8;
const TICKS = Number(spawnSync('getconf', ['CLK_TCK']).stdout);
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
const variants = { none: { forwarder: null }, forwarder: {}, opentelemetry };

// User and system time of a process, in microseconds, and what it holds in memory, in MB.
function spent(pid) {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return ((Number(fields[11]) + Number(fields[12])) / TICKS) * 1e6;
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

async function measure(settings, up) {
  const env = environment(up, settings);
  env.THROUGHLINE_FORWARD_DEBUG = '';
  const begun = process.hrtime.bigint();
  const child = spawn(process.execPath, [APP], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await once(readline.createInterface({ input: child.stdout }), 'line');
  const start = Number(process.hrtime.bigint() - begun) / 1e6;
  const startCpu = spent(child.pid) / 1000;
  const startMemory = memory(child.pid);
  const { port } = JSON.parse(line);
  const agent = new http.Agent({ keepAlive: true });
  await ask(port, agent, WARM_UP);
  const before = spent(child.pid);
  await ask(port, agent, REQUESTS);
  const cpu = (spent(child.pid) - before) / REQUESTS;
  const result = { cpu, start, startCpu, startMemory, memory: memory(child.pid) };
  agent.destroy();
  child.kill('SIGKILL');
  await once(child, 'exit');
  return result;
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
  console.log(`Node ${process.versions.node}, ${REQUESTS} requests a round`);
  console.log('round  variant        CPU us/request  start ms  CPU of start ms  MB at start  MB at end');
  for (let round = 1; round <= ROUNDS; round += 1) {
    for (const [name, settings] of Object.entries(variants)) {
      const { cpu, start, startCpu, startMemory, memory: end } = await measure(settings, up);
      const cells = [[cpu, 14], [start, 10], [startCpu, 17], [startMemory, 13], [end, 11]];
      console.log(`${String(round).padEnd(7)}${name.padEnd(15)}${cells.map(([n, width]) => n.toFixed(0).padStart(width)).join('')}`);
    }
  }
  upstream.closeAllConnections?.();
  upstream.close();
  collector.closeAllConnections?.();
  collector.close();
}

main();
