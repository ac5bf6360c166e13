// Stock: a small shop service. It asks the orders service what an item costs.

const axios = require("axios");
const express = require("express");

const pricesUrl = process.env.PRICES_URL || "http://orders:3000";
const app = express();

app.get("/stock/:item", async (request, response) => {
  const { item } = request.params;
  const price = await axios.get(`${pricesUrl}/prices/${item}`);
  response.json({ item, count: 7, price: price.data.price });
});

app.get("/echo-headers", (request, response) => {
  const raw = request.rawHeaders;
  const pairs = [];
  for (let i = 0; i < raw.length; i += 2) pairs.push([raw[i], raw[i + 1]]);
  response.json(pairs);
});

const server = app.listen(process.env.PORT, "127.0.0.1");
process.on("SIGTERM", () => server.close(() => process.exit(0)));
