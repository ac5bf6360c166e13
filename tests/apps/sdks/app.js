// The same service as in app.py, with AWS' SDK for X-Ray in JavaScript.

const dgram = require("dgram");
const http = require("http");

const xray = require("aws-xray-sdk-core");
const { openSegment, closeSegment } = require("aws-xray-sdk-express");

// Before anything that makes calls is loaded.
xray.captureHTTPsGlobal(http);

const axios = require("axios");
const express = require("express");

const everything = { host: "*", http_method: "*", fixed_target: 0 };
xray.middleware.disableCentralizedSampling();
xray.middleware.setSamplingRules({
  version: 2,
  rules: [{ ...everything, url_path: "/unsampled/*", rate: 0 }],
  default: { fixed_target: 0, rate: 1 },
});

// The daemon: a header of one line, and a segment.
const documents = [];
const daemon = dgram.createSocket("udp4", (message) => {
  documents.push(JSON.parse(message.toString().split("\n")[1]));
});

const app = express();
app.use(openSegment("xray"));

app.get(["/call", "/unsampled/call"], async (request, response) => {
  const answer = await axios.get(request.query.url);
  const sent = Object.entries(answer.request.getHeaders());
  response.json({ sent, answer: answer.data });
});

app.get("/item", (request, response) => {
  const raw = request.rawHeaders;
  const seen = [];
  for (let i = 0; i < raw.length; i += 2) seen.push([raw[i], raw[i + 1]]);
  response.json({ seen });
});

app.get("/unsampled/spans", (request, response) => {
  response.json(documents.flatMap((segment) => inShort(segment)));
});

function inShort(segment, trace = segment.trace_id, parent = segment.parent_id) {
  const kind = segment.namespace === "remote" ? "client" : "server";
  const children = segment.subsegments || [];
  return [
    { trace, id: segment.id, parent: parent || null, kind },
    ...children.flatMap((child) => inShort(child, trace, segment.id)),
  ];
}

app.use(closeSegment());

daemon.bind(0, "127.0.0.1", () => {
  xray.setDaemonAddress(`127.0.0.1:${daemon.address().port}`);
  app.listen(process.env.PORT, "127.0.0.1");
});
