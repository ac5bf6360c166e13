// Something that fails inside of the forwarder where a call goes out, and nowhere else.
const { get } = Map.prototype;
// eslint-disable-next-line no-extend-native
Map.prototype.get = function (key) {
  const [, , caller] = new Error().stack.split('\n');
  if (/node[\\/]settings\.cjs/.test(caller)) throw new Error('broken');
  return get.call(this, key);
};
