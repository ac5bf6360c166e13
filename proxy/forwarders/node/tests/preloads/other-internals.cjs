// A Node whose internals have moved on.
const http = require('http');
http.OutgoingMessage.prototype._storeHeader = ((storeHeader) =>
  function (firstLine, headers, more) {
    return storeHeader.call(this, firstLine, headers, more);
  })(http.OutgoingMessage.prototype._storeHeader);
