'use strict';

// Whether something else in the process sets trace headers. It knows more than a forwarder does, and
// two that do the same job would set a header twice.

const AGENTS = new RegExp(
  '[\\\\/]node_modules[\\\\/](' +
    [
      'dd-trace',
      'newrelic',
      'elastic-apm-node',
      'aws-xray-sdk-core',
      'appdynamics',
      'skywalking-backend-js',
      'applicationinsights',
      '@google-cloud[\\\\/]trace-agent',
      '@instana[\\\\/]core',
      '@dynatrace[\\\\/]oneagent',
    ].join('|') +
    ')[\\\\/]',
);
const OPENTELEMETRY = Symbol.for('opentelemetry.js.api.1');
const DATADOG = Symbol.for('dd-trace');
const DATADOG_ITSELF = Symbol.for('_ddtrace');

let found = false;

// A look at the modules costs what there are modules, so it is done once and not at each call.
exports.lookAround = () => {
  found = found || Object.keys(require.cache).some((path) => AGENTS.test(path));
};

// One can come at any time, so it is looked for at each call. Each name has a line of its own, which V8
// remembers the place of; a loop it looks up anew each time.
exports.doTheJob = () => {
  if (found) return true;
  const api = globalThis[OPENTELEMETRY];
  found =
    // The API alone, which libraries bring along, does nothing. A registered SDK does.
    Boolean(api && (api.trace || api.propagation || api.context)) ||
    globalThis[DATADOG] !== undefined ||
    globalThis[DATADOG_ITSELF] !== undefined ||
    globalThis._ddtrace !== undefined;
  return found;
};
