'use strict';

// A request and its response, for as long as they are one: what says which context a request has, and
// whether that has ended.
//
// A note on each request would be simpler. But requests come and go by the thousand, and to put a private
// field on each costs more than all the rest. So the note is put on the connection, once, and is written
// anew for each request that comes on it. Requests that come before the last one is over are few, and have
// a note of their own.

const { stamp } = require('./stamp.cjs');

const notes = stamp();
let notesEnds = false;

// Of a connection, or of one request or stream.
class Exchange {
  constructor() {
    this.message = undefined;
    this.response = undefined;
    this.context = undefined;
    // A context is kept by whatever was begun within it, such as a timer. It must not keep the request
    // with it.
    this.weakly = new WeakRef(this);
  }

  begin(message, response, context) {
    this.message = message;
    this.response = response;
    this.context = context;
    context.exchange = this.weakly;
    return context;
  }

  // Nor must a connection that waits for its next request keep the last one.
  end() {
    this.message = undefined;
    this.response = undefined;
    this.context = undefined;
  }
}

function exchangeOf(message) {
  const { socket } = message;
  if (typeof socket === 'object' && socket !== null) {
    const exchange = notes.get(socket);
    if (exchange !== undefined && exchange.message === message) return exchange;
  }
  return notes.get(message);
}

// The context that this request, or this stream of HTTP/2, began with.
exports.contextOf = (message) => {
  const exchange = exchangeOf(message);
  return exchange && exchange.context;
};

exports.begin = (message, response, context) => {
  return noteFor(message).begin(message, response, context);
};

function noteFor(message) {
  const { socket } = message;
  // Where nothing says that a request has ended, a connection would keep it.
  const lasting = notesEnds && typeof socket === 'object' && socket !== null;
  const holder = lasting ? socket : message;
  const last = notes.get(holder);
  if (last === undefined) {
    const exchange = new Exchange();
    notes.set(holder, exchange);
    return exchange;
  }
  if (last.context === undefined) return last;
  const exchange = new Exchange();
  notes.set(message, exchange);
  return exchange;
}

// Node takes a response off its connection when all of it has been handed over.
exports.detached = (response, socket) => {
  if (typeof socket !== 'object' || socket === null) return;
  const exchange = notes.get(socket);
  if (exchange === undefined || exchange.response !== response) return;
  const { message, context } = exchange;
  exchange.end();
  // Its body is still to be read. If another request's work makes it flow, it is not that one's.
  if (!message.complete || message.readableLength > 0) notes.set(message, { message, context });
};

exports.endsAreNoted = () => {
  notesEnds = true;
};
