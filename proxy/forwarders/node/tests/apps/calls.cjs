'use strict';

// Makes the call that the body of a request asks for: { by, url, headers, method, proxy }.

const http = require('node:http');
const http2 = require('node:http2');
const https = require('node:https');
const path = require('node:path');
const { pathToFileURL } = require('node:url');
const { listening } = require('./servers.cjs');

const read = (resolve) => (response) => {
  let text = '';
  response.on('data', (chunk) => (text += chunk)).on('end', () => resolve(text));
};
const esm = (name, file) => import(pathToFileURL(path.join(process.env.NODE_PATH, name, file)));

function request(url, options) {
  return new Promise((resolve, reject) => {
    const secure = url.startsWith('https:');
    (secure ? https : http).request(url, { rejectUnauthorized: false, ...options }, read(resolve)).on('error', reject).end();
  });
}

const ways = {
  http: ({ url, headers, method }) => request(url, { headers, method }),
  'http with an array': ({ url, headers, method }) =>
    request(url, { headers: [...Object.entries(headers).flat(), 'Host', headers.host || new URL(url).host], method }),
  'http with Expect': ({ url, headers }) => request(url, { headers: { ...headers, expect: '100-continue' }, method: 'POST' }),
  'http with setHeader': ({ url, headers }) =>
    new Promise((resolve, reject) => {
      const outgoing = http.request(url, read(resolve)).on('error', reject);
      for (const name in headers) outgoing.setHeader(name, headers[name]);
      outgoing.end();
    }),
  'http on a socket file': ({ url, headers, socketPath }) => request(url, { headers, socketPath }),
  fetch: async ({ url, headers, method }) => (await fetch(url, { headers, method })).text(),
  undici: async ({ url, headers, method }) => (await require('undici').request(url, { headers, method })).body.text(),
  undici5: async ({ url, headers, method }) => (await require('undici5').request(url, { headers, method })).body.text(),
  http2: ({ url, headers }) =>
    new Promise((resolve, reject) => {
      const { origin, pathname } = new URL(url);
      const session = http2.connect(origin, { rejectUnauthorized: false }).on('error', reject);
      const stream = session.request({ ':path': pathname, ...headers });
      stream.on('error', reject);
      read((text) => session.close() || resolve(text))(stream);
    }),
  // By way of a proxy.
  axios: async ({ url, headers, proxy }) => {
    const { hostname, port } = new URL(proxy);
    const answer = await require('axios').get(url, { headers, proxy: { protocol: 'http', host: hostname, port } });
    return JSON.stringify(answer.data);
  },
  'axios with HTTP_PROXY': async ({ url, headers, proxy }) => {
    process.env.HTTP_PROXY = proxy;
    try {
      return JSON.stringify((await require('axios').get(url, { headers })).data);
    } finally {
      delete process.env.HTTP_PROXY;
    }
  },
  'http-proxy-agent': ({ url, headers, proxy }) => {
    const { HttpProxyAgent } = require('http-proxy-agent');
    return request(url, { headers, agent: new HttpProxyAgent(proxy) });
  },
  'got with http-proxy-agent': async ({ url, headers, proxy }) => {
    const { HttpProxyAgent } = require('http-proxy-agent');
    const { got } = await esm('got', 'dist/source/index.js');
    return got(url, { headers, agent: { http: new HttpProxyAgent(proxy) } }).text();
  },
  // Its tunnel holds a plain request, which the sidecar does not read.
  hpagent: ({ url, headers, proxy }) => {
    const { HttpProxyAgent } = require('hpagent');
    return request(url, { headers, agent: new HttpProxyAgent({ proxy }) });
  },
  'undici with a tunnel': async ({ url, headers, proxy }) => {
    const { ProxyAgent, request: call } = require('undici');
    const dispatcher = new ProxyAgent({ uri: proxy, proxyTunnel: true });
    return (await call(url, { headers, dispatcher })).body.text();
  },
  'undici without a tunnel': async ({ url, headers, proxy }) => {
    const { ProxyAgent, request: call } = require('undici');
    const dispatcher = new ProxyAgent({ uri: proxy, proxyTunnel: false });
    return (await call(url, { headers, dispatcher })).body.text();
  },
  'node with its own proxy': ({ url, headers, proxy }) =>
    request(url, { headers, agent: new http.Agent({ proxyEnv: { HTTP_PROXY: proxy } }) }),
  'node with its own proxy and Expect': ({ url, headers, proxy }) =>
    request(url, { headers: { ...headers, expect: '100-continue' }, agent: new http.Agent({ proxyEnv: { HTTP_PROXY: proxy } }) }),
};

const server = http.createServer(async (incoming, outgoing) => {
  try {
    let body = '';
    for await (const chunk of incoming) body += chunk;
    const wish = JSON.parse(body);
    outgoing.end(await ways[wish.by](wish));
  } catch (error) {
    outgoing.statusCode = 500;
    outgoing.end(String(error && error.stack));
  }
});
listening(server).then((port) => console.log(JSON.stringify({ port })));
