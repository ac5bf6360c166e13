// The shop as route handlers, from a Request to a Response, the way of Next.js and its like: fetch, and
// an adapter to node:http below.

const { createHash } = require("node:crypto");
const fs = require("node:fs");
const http = require("node:http");
const { Readable } = require("node:stream");
const { pipeline } = require("node:stream/promises");

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
  fs.writeSync(witness, `${request.headers.get("traceparent").split("-")[2]} ${calls}\n`);
  const headers = { ...options.headers, "x-call-number": String(calls) };
  const answer = await fetch(url, { ...options, headers });
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}`);
  return answer.json();
}

const routes = {
  "/checkout": {
    async GET(request) {
      work();
      const charge = await call(request, `${payments}/charges`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ amount: 1200 }),
      });
      work();
      const items = await call(request, `${stock}/items`);
      work();
      return Response.json({ charge, items });
    },
  },
  "/browse": {
    async GET(request) {
      work();
      const items = await call(request, `${stock}/items`);
      work();
      return Response.json({ items });
    },
  },
  "/quote": {
    async GET(request) {
      work();
      const [price, items] = await Promise.all([
        call(request, `${prices}/prices`),
        call(request, `${stock}/items`),
      ]);
      work();
      return Response.json({ price, items });
    },
  },
  "/health": {
    async GET() {
      return Response.json({ healthy: true });
    },
  },
};

async function handle(request) {
  const route = routes[new URL(request.url).pathname];
  const handler = route && route[request.method];
  return handler ? handler(request) : new Response(null, { status: 404 });
}

const server = http.createServer(async (incoming, outgoing) => {
  try {
    const { method, url } = incoming;
    const body = method === "GET" || method === "HEAD" ? undefined : Readable.toWeb(incoming);
    const headers = Object.entries(incoming.headersDistinct).flatMap(([name, values]) =>
      values.map((value) => [name, value]),
    );
    const request = new Request(`http://shop${url}`, { method, headers, body, duplex: "half" });
    const response = await handle(request);
    outgoing.writeHead(response.status, Object.fromEntries(response.headers));
    if (response.body) await pipeline(Readable.fromWeb(response.body), outgoing);
    else outgoing.end();
  } catch (error) {
    console.error(error);
    outgoing.writeHead(502).end();
  }
});
server.listen(process.env.PORT, "127.0.0.1");
