'use strict';

// The AWS SDK signs a request before the trace headers come, so the signature is as valid with them as
// without, and the sidecar may take them off.

const assert = require('node:assert');
const { createHash, createHmac } = require('node:crypto');
const { once } = require('node:events');
const http = require('node:http');
const test = require('node:test');
const { MARKER, get, launch, major, pairs, traceparent } = require('./rig.cjs');

const SECRET = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY';
const sha256 = (text) => createHash('sha256').update(text).digest('hex');
const hmac = (key, text) => createHmac('sha256', key).update(text).digest();

// Signature version 4 of what arrived, from the headers that it says it signed.
function signature(request, authorization) {
  const [, day, region, service, signed] =
    /Credential=[^/]+\/(\d+)\/([^/]+)\/([^/]+)\/aws4_request, SignedHeaders=([^,]+)/.exec(authorization);
  const [path, query = ''] = request.url.split('?');
  const headers = signed.split(';').map((name) => `${name}:${request.headers[name].trim()}\n`).join('');
  const parameters = query.split('&').filter(Boolean).map((one) => (one.includes('=') ? one : `${one}=`)).sort().join('&');
  const canonical = [request.method, path, parameters, headers, signed, request.headers['x-amz-content-sha256']].join('\n');
  const scope = `${day}/${region}/${service}/aws4_request`;
  const text = ['AWS4-HMAC-SHA256', request.headers['x-amz-date'], scope, sha256(canonical)].join('\n');
  const key = [day, region, service, 'aws4_request'].reduce(hmac, `AWS4${SECRET}`);
  return { signed: signed.split(';'), expected: hmac(key, text).toString('hex') };
}

test('signatures hold, and trace headers are not among what is signed', { skip: major < 18 }, async () => {
  const seen = [];
  const cloud = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const { authorization } = request.headers;
    request.headers['x-amz-content-sha256'] = request.headers['x-amz-content-sha256'] || sha256(Buffer.concat(chunks));
    seen.push({ headers: pairs(request.rawHeaders), authorization, ...signature(request, authorization) });
    response.end(request.headers['x-amz-target'] ? '{}' : '');
  });
  cloud.listen(0, '127.0.0.1');
  await once(cloud, 'listening');
  const { port } = cloud.address();
  const app = await launch('aws.cjs', undefined, {
    env: {
      CLOUD: `http://127.0.0.1:${port}`,
      AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
      AWS_SECRET_ACCESS_KEY: SECRET,
      THROUGHLINE_FORWARD_VIA: `127.0.0.1:${port}`,
    },
  });
  for (let i = 0; i < 10; i += 1) {
    const answer = await get(app.port, '/', i % 2 ? {} : { traceparent: traceparent(7), 'x-amzn-trace-id': 'Root=1-a-b' });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(seen.length, 4);
    for (const { headers, authorization, signed, expected } of seen.splice(0)) {
      assert.equal(/Signature=(\w+)/.exec(authorization)[1], expected);
      const added = headers.filter(([name]) => ['traceparent', 'x-amzn-trace-id', 'throughline-forwarder'].includes(name));
      const due = [['traceparent', traceparent(7)], ['x-amzn-trace-id', 'Root=1-a-b'], ['throughline-forwarder', MARKER]];
      assert.deepEqual(added, i % 2 ? [] : due);
      for (const [name] of due) assert.ok(!signed.includes(name));
    }
  }
  await app.stop();
  cloud.close();
});
