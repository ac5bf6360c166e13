// The shop in Fastify, which calls with undici's own pool.

const { createHash } = require("node:crypto");
const fs = require("node:fs");
const fastify = require("fastify");
const { request: ask } = require("undici");

const payments = process.env.PAYMENTS_URL;
const stock = process.env.STOCK_URL;
const prices = process.env.PRICES_URL;

const witness = fs.openSync(process.env.WITNESS, "a");
let calls = 0;

function work() {
  let digest = "shop";
  const rounds = 100 + Math.floor(Math.random() * 500);
  for (let i = 0; i < rounds; i++) digest = createHash("sha256").update(digest).digest();
}

async function call(request, url, options = {}) {
  calls += 1;
  fs.writeSync(witness, `${request.headers.traceparent.split("-")[2]} ${calls}\n`);
  const headers = { ...options.headers, "x-call-number": String(calls) };
  const { statusCode, body } = await ask(url, { ...options, headers });
  if (statusCode !== 200) throw new Error(`${url} answered ${statusCode}`);
  return body.json();
}

const app = fastify();

app.get("/checkout", async (request) => {
  work();
  const charge = await call(request, `${payments}/charges`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ amount: 1200 }),
  });
  work();
  const items = await call(request, `${stock}/items`);
  work();
  return { charge, items };
});

app.get("/browse", async (request) => {
  work();
  const items = await call(request, `${stock}/items`);
  work();
  return { items };
});

app.get("/quote", async (request) => {
  work();
  const [price, items] = await Promise.all([
    call(request, `${prices}/prices`),
    call(request, `${stock}/items`),
  ]);
  work();
  return { price, items };
});

app.get("/health", async () => ({ healthy: true }));

app.listen({ port: Number(process.env.PORT), host: "127.0.0.1" });
