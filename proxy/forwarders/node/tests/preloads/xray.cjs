// The X-Ray SDK, which takes over http and sends a header of its own.
const xray = require('aws-xray-sdk-core');
xray.setContextMissingStrategy(() => {});
xray.captureHTTPsGlobal(require('http'));
