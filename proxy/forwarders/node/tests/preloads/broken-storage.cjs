// Somebody breaks what a forwarder needs, once it is loaded.
const { AsyncLocalStorage } = require('async_hooks');
AsyncLocalStorage.prototype.run = () => {
  throw new Error('broken');
};
