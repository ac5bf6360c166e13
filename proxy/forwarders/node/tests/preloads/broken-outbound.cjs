// Something that fails inside of the forwarder where a call goes out, and nowhere else.
const { some } = Array.prototype;
// eslint-disable-next-line no-extend-native
Object.defineProperty(Array.prototype, 'some', {
  value: function (...args) {
    const [, , caller] = new Error().stack.split('\n');
    if (/node[\\/](others|http|undici|http2)\.cjs/.test(caller)) throw new Error('broken');
    return some.apply(this, args);
  },
});
