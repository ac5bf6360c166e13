package java.net;

import java.lang.ref.Reference;
import java.lang.ref.ReferenceQueue;
import java.lang.ref.WeakReference;
import java.util.concurrent.ConcurrentHashMap;

/** What is known of objects that have no room for it, by identity, and for no longer than they live. */
final class ThroughlineTable {
    private final ConcurrentHashMap<Object, ThroughlineContext> held = new ConcurrentHashMap<>();
    private final ReferenceQueue<Object> gone = new ReferenceQueue<>();

    ThroughlineContext get(Object object) {
        return held.isEmpty() ? null : held.get(new Asked(object));
    }

    void put(Object object, ThroughlineContext context) {
        for (Reference<?> reference = gone.poll(); reference != null; reference = gone.poll()) {
            held.remove(reference);
        }
        held.put(new Held(object, gone), context);
    }

    ThroughlineContext remove(Object object) {
        return held.isEmpty() ? null : held.remove(new Asked(object));
    }

    private static final class Held extends WeakReference<Object> {
        private final int hash;

        Held(Object object, ReferenceQueue<Object> gone) {
            super(object, gone);
            hash = System.identityHashCode(object);
        }

        @Override
        public int hashCode() {
            return hash;
        }

        @Override
        public boolean equals(Object other) {
            if (this == other) {
                return true;
            }
            Object object = get();
            return object != null && other instanceof Held && ((Held) other).get() == object;
        }
    }

    private static final class Asked {
        private final Object object;

        Asked(Object object) {
            this.object = object;
        }

        @Override
        public int hashCode() {
            return System.identityHashCode(object);
        }

        @Override
        public boolean equals(Object other) {
            return other instanceof Held && ((Held) other).get() == object;
        }
    }
}
