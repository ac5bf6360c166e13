// The shop as a server of node:http: one thread, one loop, and fetch with its pool of connections.

const { createHash } = require("node:crypto");
const fs = require("node:fs");
const http = require("node:http");

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
  const answer = await fetch(url, { ...options, headers });
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}`);
  return answer.json();
}

const pages = {
  async "/checkout"(request) {
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
  },
  async "/browse"(request) {
    work();
    const items = await call(request, `${stock}/items`);
    work();
    return { items };
  },
  async "/quote"(request) {
    work();
    const [price, items] = await Promise.all([
      call(request, `${prices}/prices`),
      call(request, `${stock}/items`),
    ]);
    work();
    return { price, items };
  },
  async "/health"() {
    return { healthy: true };
  },
};

const server = http.createServer(async (request, response) => {
  const page = pages[request.url];
  try {
    const answer = JSON.stringify(page ? await page(request) : {});
    response.writeHead(page ? 200 : 404, { "content-type": "application/json" }).end(answer);
  } catch (error) {
    console.error(error);
    response.writeHead(502).end();
  }
});
server.listen(process.env.PORT, "127.0.0.1");
