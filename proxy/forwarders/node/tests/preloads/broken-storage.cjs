// Somebody breaks what a forwarder needs, once it is loaded.
const { AsyncLocalStorage } = require('async_hooks');
for (const name of ['run', 'enterWith']) {
  AsyncLocalStorage.prototype[name] = () => {
    throw new Error('broken');
  };
}
