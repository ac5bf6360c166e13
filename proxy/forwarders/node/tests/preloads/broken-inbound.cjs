// Something that fails inside of the forwarder where a request comes in, and nowhere else.
const { isArray } = Array;
Array.isArray = (value) => {
  const [, , caller] = new Error().stack.split('\n');
  if (/node[\\/]context\.cjs/.test(caller)) throw new Error('broken');
  return isArray(value);
};
