'use strict';

// A small Express app: one call by axios for each request.

const http = require('node:http');
const axios = require('axios');
const express = require('express');

const client = axios.create({ httpAgent: new http.Agent({ keepAlive: true }) });
const app = express();
app.get('/items', async (request, response) => {
  const { data } = await client.get(`${process.env.UPSTREAM}/items`);
  response.json({ data });
});
const server = app.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })));
