// The shop as a Fastify app: undici, with one pool of connections for each upstream.

const { createHash } = require("node:crypto");
const fs = require("node:fs");
const fastify = require("fastify");
const { Pool } = require("undici");

const connections = 16;
const payments = new Pool(process.env.PAYMENTS_URL, { connections });
const stock = new Pool(process.env.STOCK_URL, { connections });
const prices = new Pool(process.env.PRICES_URL, { connections });

const witness = fs.openSync(process.env.WITNESS, "a");
let calls = 0;

function work() {
  let digest = "shop";
  const rounds = 100 + Math.floor(Math.random() * 500);
  for (let i = 0; i < rounds; i++) digest = createHash("sha256").update(digest).digest();
}

async function call(request, upstream, options) {
  calls += 1;
  fs.writeSync(witness, `${request.headers.traceparent.split("-")[2]} ${calls}\n`);
  const headers = { ...options.headers, "x-call-number": String(calls) };
  const { statusCode, body } = await upstream.request({ method: "GET", ...options, headers });
  if (statusCode !== 200) throw new Error(`${options.path} answered ${statusCode}`);
  return body.json();
}

const app = fastify();

app.get("/checkout", async (request) => {
  work();
  const charge = await call(request, payments, {
    method: "POST",
    path: "/charges",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ amount: 1200 }),
  });
  work();
  const items = await call(request, stock, { path: "/items" });
  work();
  return { charge, items };
});

app.get("/browse", async (request) => {
  work();
  const items = await call(request, stock, { path: "/items" });
  work();
  return { items };
});

app.get("/quote", async (request) => {
  work();
  const [price, items] = await Promise.all([
    call(request, prices, { path: "/prices" }),
    call(request, stock, { path: "/items" }),
  ]);
  work();
  return { price, items };
});

app.get("/health", async () => ({ healthy: true }));

app.listen({ port: Number(process.env.PORT), host: "127.0.0.1" });
