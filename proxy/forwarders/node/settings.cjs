'use strict';

// What the variables say, read once at start. `settings` is undefined where nothing is to be copied.

const NAME_AND_VERSION = 'node/0.1.0';
const MOST_ANSWERS = 256;

exports.settings = read(process.env);
exports.NAME_AND_VERSION = NAME_AND_VERSION;
exports.debug = process.env.THROUGHLINE_FORWARD_DEBUG === '1';

function read(env) {
  if (words(env.THROUGHLINE_FORWARD)[0] === 'off') return undefined;
  const via = words(env.THROUGHLINE_FORWARD_VIA);
  const everywhere = via.includes('*');
  const addresses = new Set(via.map(address).filter(Boolean));
  if (!everywhere && addresses.size === 0) return undefined;
  const grace = Number(env.THROUGHLINE_FORWARD_GRACE_MS);
  return {
    everywhere,
    addresses,
    excluded: words(env.THROUGHLINE_FORWARD_EXCLUDE),
    grace: grace > 0 && grace < Infinity ? grace : 0,
  };
}

function words(text) {
  const all = (text || '').split(',').map((word) => word.trim().toLowerCase());
  return all.filter(Boolean);
}

function address(text) {
  const [, host, port] = /^(\[[0-9a-f:.]+\]|[^:/@[\]]+):(\d{1,5})$/.exec(text) || [];
  return host && key(host, port);
}

// One spelling for each address. The names of this host are the same host.
function key(host, port) {
  const name = String(host).toLowerCase().replace(/^\[|\]$|\.$/g, '');
  const here = name === 'localhost' || name === '127.0.0.1' || name === '::1';
  return `${here ? 'localhost' : name}:${Number(port)}`;
}

// Whether the sidecar takes a plain-text call to this address. An app calls few, again and again, so the
// answers are kept, and the last one is at hand.
const answers = new Map();
let last = { host: undefined, port: undefined, answer: false };
exports.goesToSidecar = (host, port) => {
  const { everywhere, addresses } = exports.settings;
  if (everywhere) return true;
  if (host === last.host && port === last.port) return last.answer;
  const address = `${host}:${port}`;
  let answer = answers.get(address);
  if (answer === undefined) {
    answer = addresses.has(key(host, port));
    if (answers.size >= MOST_ANSWERS) answers.clear();
    answers.set(address, answer);
  }
  last = { host, port, answer };
  return answer;
};

// Whether the operator left out this target, given as `host` or `host:port`.
exports.excluded = (authority) => {
  const { excluded } = exports.settings;
  if (excluded.length === 0) return false;
  // A target that is not known could be one of those left out.
  if (typeof authority !== 'string' || authority === '') return true;
  const host = authority
    .replace(/^.*@/, '')
    .replace(/:\d*$/, '')
    .replace(/^\[|\]$|\.$/g, '')
    .toLowerCase();
  return excluded.some((name) =>
    name.startsWith('.') ? host === name.slice(1) || host.endsWith(name) : host === name,
  );
};
