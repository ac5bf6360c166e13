'use strict';

// Something noted on an object that nobody else can see. A WeakMap would do the same, but costs the
// garbage collector more than all the rest of a forwarder costs the processor: requests come and go by
// the thousand. A private field can be put on any object by a constructor that returns it.

class Given {
  constructor(object) {
    return object;
  }
}

// One kind of note; each has a field of its own.
exports.stamp = () => {
  class Stamp extends Given {
    #note;

    static set(object, note) {
      if (!(#note in object)) new Stamp(object);
      object.#note = note;
    }

    static has(object) {
      return #note in object;
    }

    static get(object) {
      return #note in object ? object.#note : undefined;
    }
  }
  return Stamp;
};
