// Modules that look like libraries that are hooked, and are not.
const path = require('path');
const odd = (name, exports) => {
  const file = path.join(path.sep, 'app', 'node_modules', name);
  require.cache[file] = { id: file, filename: file, loaded: true, exports };
};
odd('undici/lib/dispatcher/dispatcher-base.js', class DispatcherBase {});
odd('undici5/lib/dispatcher-base.js', null);
odd('@grpc/grpc-js/build/src/resolving-call.js', {});
odd('other/@grpc/grpc-js/build/src/resolving-call.js', { ResolvingCall: class {} });
