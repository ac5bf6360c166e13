'use strict';

// How a function of Node or of a library is replaced: so that the app sees as little of it as the
// language allows, and so that what fails in here fails in here alone.

const channels = require('diagnostics_channel');
const { debug } = require('./settings.cjs');

const FAILURES_BEFORE_STANDING_ASIDE = 3;

// Each hook is guarded on its own.
exports.Hook = class Hook {
  constructor(name) {
    this.name = name;
    this.failures = 0;
  }

  // What `decide` returns, or undefined where it failed or has failed too often.
  guard(decide, first, second, third) {
    if (this.failures >= FAILURES_BEFORE_STANDING_ASIDE) return undefined;
    try {
      return decide(first, second, third);
    } catch (error) {
      this.failures += 1;
      say(`${this.name}: ${error && error.stack}`);
      return undefined;
    }
  }
};

function say(text) {
  if (!debug) return;
  try {
    process.stderr.write(`throughline-forwarder: ${text}\n`);
  } catch {
    // There is nobody left to tell.
  }
}

// Puts `make(original)` in place of a method. Name, length and descriptor stay what they were, so
// that whoever looks finds what was there; a method that was inherited becomes one that is not listed.
exports.replace = (owner, name, make) => {
  const original = owner[name];
  if (typeof original !== 'function') throw new TypeError(`${name} is no method here`);
  const descriptor = Object.getOwnPropertyDescriptor(owner, name) || {
    configurable: true,
    enumerable: false,
    writable: true,
  };
  if (!('writable' in descriptor && descriptor.configurable)) throw new TypeError(`${name} is fixed`);
  const replacement = make(original);
  for (const property of ['name', 'length']) {
    Object.defineProperty(replacement, property, { value: original[property], configurable: true });
  }
  Object.defineProperty(owner, name, { ...descriptor, value: replacement });
};

// Whether the app has loaded this module of Node. Asking must not load it.
exports.isLoaded = (name) => {
  const loaded = process.moduleLoadList;
  return Array.isArray(loaded) && loaded.includes(`NativeModule ${name}`);
};

// The channel is returned to be held: one of Node 16 is forgotten with the last who holds it.
exports.subscribe = (name, what, heard) => {
  const hook = new exports.Hook(what);
  const channel = channels.channel(name);
  channel.subscribe((message) => hook.guard(heard, message));
  return channel;
};

// Node's own class of this name among the prototypes of an object. It is told by a method of its own
// from an app's class below it, and from another class of the same name above.
exports.prototypeNamed = (object, name, method) => {
  const owns = (prototype, property) => Object.prototype.hasOwnProperty.call(prototype, property);
  let prototype = Object.getPrototypeOf(object);
  let found;
  while (prototype !== null) {
    const itself = owns(prototype, 'constructor') && prototype.constructor;
    if (itself && itself.name === name && owns(prototype, method)) found = prototype;
    prototype = Object.getPrototypeOf(prototype);
  }
  return found;
};
