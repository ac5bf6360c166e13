package java.net;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.function.BiConsumer;
import java.util.function.BiFunction;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Supplier;

/** Functions of the app that take the request along to where they run. Used where none is shown to the app. */
final class ThroughlineCarriers {
    private ThroughlineCarriers() {}

    static List<Object> all(Collection<?> callables) {
        List<Object> carried = new ArrayList<>();
        for (Object callable : callables) {
            carried.add(ThroughlineHooks.carryCallable(callable));
        }
        return carried;
    }

    abstract static class Carrier {
        final ThroughlineContext context;
        private final Object function;

        Carrier(ThroughlineContext context, Object function) {
            this.context = context;
            this.function = function;
        }

        final ThroughlineScope enter() {
            return ThroughlineThread.enterTask(context);
        }

        static void leave(ThroughlineScope scope) {
            ThroughlineHooks.close(scope);
        }

        @Override
        public final String toString() {
            return function.toString();
        }
    }

    static final class Task extends Carrier implements Runnable {
        private final Runnable function;

        Task(ThroughlineContext context, Runnable function) {
            super(context, function);
            this.function = function;
        }

        @Override
        public void run() {
            ThroughlineScope scope = enter();
            try {
                function.run();
            } finally {
                leave(scope);
            }
        }
    }

    static final class Called extends Carrier implements Callable<Object> {
        private final Callable<?> function;

        Called(ThroughlineContext context, Callable<?> function) {
            super(context, function);
            this.function = function;
        }

        @Override
        public Object call() throws Exception {
            ThroughlineScope scope = enter();
            try {
                return function.call();
            } finally {
                leave(scope);
            }
        }
    }

    static final class Supplied extends Carrier implements Supplier<Object> {
        private final Supplier<?> function;

        Supplied(ThroughlineContext context, Supplier<?> function) {
            super(context, function);
            this.function = function;
        }

        @Override
        public Object get() {
            ThroughlineScope scope = enter();
            try {
                return function.get();
            } finally {
                leave(scope);
            }
        }
    }

    static final class Applied extends Carrier implements Function<Object, Object> {
        private final Function<Object, Object> function;

        Applied(ThroughlineContext context, Function<Object, Object> function) {
            super(context, function);
            this.function = function;
        }

        @Override
        public Object apply(Object value) {
            ThroughlineScope scope = enter();
            try {
                return function.apply(value);
            } finally {
                leave(scope);
            }
        }
    }

    static final class Accepted extends Carrier implements Consumer<Object> {
        private final Consumer<Object> function;

        Accepted(ThroughlineContext context, Consumer<Object> function) {
            super(context, function);
            this.function = function;
        }

        @Override
        public void accept(Object value) {
            ThroughlineScope scope = enter();
            try {
                function.accept(value);
            } finally {
                leave(scope);
            }
        }
    }

    static final class BiApplied extends Carrier implements BiFunction<Object, Object, Object> {
        private final BiFunction<Object, Object, Object> function;

        BiApplied(ThroughlineContext context, BiFunction<Object, Object, Object> function) {
            super(context, function);
            this.function = function;
        }

        @Override
        public Object apply(Object first, Object second) {
            ThroughlineScope scope = enter();
            try {
                return function.apply(first, second);
            } finally {
                leave(scope);
            }
        }
    }

    static final class BiAccepted extends Carrier implements BiConsumer<Object, Object> {
        private final BiConsumer<Object, Object> function;

        BiAccepted(ThroughlineContext context, BiConsumer<Object, Object> function) {
            super(context, function);
            this.function = function;
        }

        @Override
        public void accept(Object first, Object second) {
            ThroughlineScope scope = enter();
            try {
                function.accept(first, second);
            } finally {
                leave(scope);
            }
        }
    }
}
