package java.net;

import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.util.concurrent.Callable;
import java.util.concurrent.FutureTask;
import java.util.concurrent.RunnableScheduledFuture;

/** Which work that a request hands to a pool is surely the request's. */
final class ThroughlineTasks {
    static final ThroughlineTable TASKS = new ThroughlineTable();

    /** Libraries with queues of their own: what they hand to a pool in a request may be another's. */
    private static final String[] LIBRARIES = {
        "akka.", "com.github.benmanes.caffeine.", "com.google.common.", "com.linecorp.armeria.", "com.zaxxer.",
        "io.grpc.", "io.lettuce.", "io.netty.", "io.reactivex.", "io.undertow.", "io.vertx.", "kotlin.", "kotlinx.",
        "okhttp3.", "org.apache.catalina.", "org.apache.coyote.", "org.apache.hc.", "org.apache.http.",
        "org.apache.kafka.", "org.apache.pekko.", "org.apache.tomcat.", "org.asynchttpclient.", "org.eclipse.jetty.",
        "org.jboss.", "org.redisson.", "org.xnio.", "reactor.", "rx.", "scala.", "zio.", "cats.effect.",
    };

    private static final Infra INFRA = new Infra();
    private static final Fields FIELDS = new Fields();
    private static final String ADAPTER = "java.util.concurrent.Executors$RunnableAdapter";

    private ThroughlineTasks() {}

    /** A pool takes a task. */
    static void submitted(Object task) throws Exception {
        ThroughlineContext context = ThroughlineThread.ownContext();
        if (context == null || task == null) {
            return;
        }
        boolean future = task instanceof FutureTask && task.getClass().getClassLoader() == null;
        if (future ? isApps(work(task)) : ThroughlineServers.holds(context, fields(task))) {
            TASKS.put(task, context);
        }
    }

    /** A pool takes a task for later. */
    static void scheduled(Object task) throws Exception {
        ThroughlineContext context = ThroughlineThread.ownContext();
        if (context == null || !(task instanceof FutureTask) || task.getClass().getClassLoader() != null
                || ((RunnableScheduledFuture<?>) task).isPeriodic()) {
            return;
        }
        // The pool makes such a task of what was merely handed over, too: see executed.
        Object work = work(task);
        if (isApps(work) && (work instanceof Callable || ThroughlineServers.holds(context, fields(work)))) {
            TASKS.put(task, context);
        }
    }

    /** The request to run a function for that was submitted for its result, null when that is not sure. */
    static ThroughlineContext forResult(Object function) throws Exception {
        ThroughlineContext context = ThroughlineThread.ownContext();
        return context != null && function != null && isApps(work(function)) ? context : null;
    }

    /**
     * The request to run a task for that was merely handed over. Queues in front of a pool hand over so,
     * and one of them may have the task of another request in hand. So the task must hold what is of
     * this request alone: its exchange, or its asynchronous context.
     */
    static ThroughlineContext executed(Object task) throws Exception {
        ThroughlineContext context = ThroughlineThread.ownContext();
        return context != null && task != null && ThroughlineServers.holds(context, fields(task)) ? context : null;
    }

    static boolean isApps(Object function) {
        return function != null && !INFRA.get(function.getClass());
    }

    /** The app's own function, out of what the JDK wraps around it. */
    private static Object work(Object function) throws Exception {
        Object work = function;
        for (int depth = 0; work != null && depth < 4; depth++) {
            String field;
            Class<?> owner;
            if (work instanceof FutureTask) {
                if (work.getClass().getClassLoader() != null) {
                    return null;
                }
                field = "callable";
                owner = FutureTask.class;
            } else if (work.getClass().getName().equals(ADAPTER)) {
                field = "task";
                owner = work.getClass();
            } else {
                return work;
            }
            work = FIELDS.of(owner, field).get(work);
        }
        return null;
    }

    private static Object[] fields(Object task) throws Exception {
        Field[] fields = FIELDS.get(task.getClass());
        Object[] values = new Object[fields.length];
        for (int i = 0; i < fields.length; i++) {
            values[i] = fields[i].get(task);
        }
        return values;
    }

    private static final class Infra extends ClassValue<Boolean> {
        @Override
        protected Boolean computeValue(Class<?> type) {
            ClassLoader loader = type.getClassLoader();
            if (loader == null || loader == ClassLoader.getPlatformClassLoader()) {
                return true;
            }
            String name = type.getName();
            for (String library : LIBRARIES) {
                if (name.startsWith(library)) {
                    return true;
                }
            }
            return false;
        }
    }

    /** The references that an object holds itself. */
    private static final class Fields extends ClassValue<Field[]> {
        @Override
        protected Field[] computeValue(Class<?> type) {
            java.util.ArrayList<Field> found = new java.util.ArrayList<>();
            if (!INFRA.get(type)) {
                for (Field field : type.getDeclaredFields()) {
                    if (!Modifier.isStatic(field.getModifiers()) && !field.getType().isPrimitive()) {
                        field.setAccessible(true);
                        found.add(field);
                    }
                }
            }
            return found.toArray(new Field[0]);
        }

        Field of(Class<?> owner, String name) throws NoSuchFieldException {
            Field field = owner.getDeclaredField(name);
            field.setAccessible(true);
            return field;
        }
    }
}
