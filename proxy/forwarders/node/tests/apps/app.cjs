'use strict';

// The app of the matrix: server NAME as the first argument, and the client in the path of a request.

const { clients } = require('./clients.cjs');
const { servers } = require('./servers.cjs');

servers[process.argv[2]]
  .start(async (url) => {
    const [, client, id] = decodeURIComponent(url).split('/');
    return JSON.stringify({ answer: await clients[client].call(id) });
  })
  .then((port) => console.log(JSON.stringify({ port, clients: Object.keys(clients) })));
