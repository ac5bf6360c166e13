// The shop as an Express app: axios, with one agent that keeps its connections.

const { createHash } = require("node:crypto");
const fs = require("node:fs");
const http = require("node:http");
const axios = require("axios");
const express = require("express");

const payments = process.env.PAYMENTS_URL;
const stock = process.env.STOCK_URL;
const prices = process.env.PRICES_URL;

const client = axios.create({ httpAgent: new http.Agent({ keepAlive: true }) });
const witness = fs.openSync(process.env.WITNESS, "a");
let calls = 0;

function work() {
  let digest = "shop";
  const rounds = 100 + Math.floor(Math.random() * 500);
  for (let i = 0; i < rounds; i++) digest = createHash("sha256").update(digest).digest();
}

async function call(request, method, url, data) {
  calls += 1;
  fs.writeSync(witness, `${request.get("traceparent").split("-")[2]} ${calls}\n`);
  const answer = await client.request({ method, url, data, headers: { "x-call-number": calls } });
  return answer.data;
}

const app = express();

app.get("/checkout", async (request, response) => {
  work();
  const charge = await call(request, "post", `${payments}/charges`, { amount: 1200 });
  work();
  const items = await call(request, "get", `${stock}/items`);
  work();
  response.json({ charge, items });
});

app.get("/browse", async (request, response) => {
  work();
  const items = await call(request, "get", `${stock}/items`);
  work();
  response.json({ items });
});

app.get("/quote", async (request, response) => {
  work();
  const [price, items] = await Promise.all([
    call(request, "get", `${prices}/prices`),
    call(request, "get", `${stock}/items`),
  ]);
  work();
  response.json({ price, items });
});

app.get("/health", (request, response) => {
  response.json({ healthy: true });
});

app.listen(process.env.PORT, "127.0.0.1");
