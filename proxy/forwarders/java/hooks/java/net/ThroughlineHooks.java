package java.net;

import java.util.Collection;
import java.util.concurrent.Callable;
import java.util.function.BiConsumer;
import java.util.function.BiFunction;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * What edited classes call. Each hook is guarded on its own: an error in it stays in it. One that only
 * adds headers or takes a request along stands aside for good after a few errors, since without it calls
 * go out as the app made them. One that says where a request ends must not fail even once: without it a
 * call could be taken for another request's, so all hooks stand aside.
 */
public final class ThroughlineHooks {
    private static final int FEW = 3;

    /** The parts as the editing side numbers them. */
    private static final int CORE = 0;
    private static final int SUN = 1;
    private static final int TOMCAT = 2;
    private static final int JETTY = 3;
    private static final int URL_CONNECTION = 4;
    private static final int HTTP_CLIENT = 5;
    private static final int APACHE_4 = 6;
    private static final int APACHE_5 = 7;
    private static final int OKHTTP = 8;
    private static final int OKHTTP_QUEUE = 9;
    private static final int FORK_JOIN = 10;
    private static final int PER_TASK = 11;
    private static final int GUAVA = 12;
    private static final int TASKS = 13;
    private static final int PARTS = 14;

    private static final boolean[] out = new boolean[PARTS];
    private static final int[] errors = new int[PARTS];
    private static volatile boolean aside = true;
    private static boolean debug;

    private ThroughlineHooks() {}

    // What the editing side says.

    /** Reads the variables; the machine's arguments when there is anything to do. */
    public static String[] start(String via, String exclude, String grace, boolean debugging) {
        debug = debugging;
        if (!ThroughlineReach.read(via, exclude, grace)) {
            return null;
        }
        aside = false;
        return jdk.internal.misc.VM.getRuntimeArguments();
    }

    /**
     * A class is not as its edits expect it: the part that it belongs to is left out. Without those that
     * keep requests apart nothing else may go on.
     */
    public static void unsure(int part, String why) {
        if (part < 0) {
            return;
        }
        say("left alone: " + why);
        out[part] = true;
        if (part == CORE || part == GUAVA) {
            aside = true;
        }
    }

    /** Something else in the process does this job. */
    public static void aside(String what) {
        if (!aside) {
            say("stands aside for " + what);
            aside = true;
        }
    }

    private static boolean on(int part) {
        return !aside && !out[part];
    }

    private static void failed(int part, Throwable error) {
        say("part " + part + ": " + error);
        if (++errors[part] >= FEW) {
            out[part] = true;
        }
    }

    private static void failedForAll(Throwable error) {
        say("stands aside: " + error);
        aside = true;
    }

    private static void say(String text) {
        if (debug) {
            try {
                System.err.println("throughline-forwarder: " + text);
            } catch (Throwable unable) {
                // There is nobody left to tell.
            }
        }
    }

    /** Whether the archive of a class names a version that begins so, or none. */
    static boolean isVersion(Class<?> type, String... beginnings) {
        Package in = type.getPackage();
        String version = in == null ? null : in.getImplementationVersion();
        if (version == null) {
            return true;
        }
        for (String beginning : beginnings) {
            if (version.startsWith(beginning)) {
                return true;
            }
        }
        return false;
    }

    // Scopes.

    /** Closes what a hook opened, null for nothing. */
    public static void close(Object scope) {
        if (scope != null) {
            try {
                ((ThroughlineScope) scope).close();
            } catch (Throwable error) {
                failedForAll(error);
            }
        }
    }

    /** From here on other requests' work may run on this thread. */
    public static Object suspend() {
        try {
            return ThroughlineThread.enter(null, false);
        } catch (Throwable error) {
            failedForAll(error);
            return null;
        }
    }

    // Servers.

    /** The JDK's server handles an exchange. */
    public static Object sun(Object exchange) {
        if (!on(SUN)) {
            return suspend();
        }
        try {
            return ThroughlineServers.sun(exchange);
        } catch (Throwable error) {
            failed(SUN, error);
            return suspend();
        }
    }

    /** An exchange of the JDK's server is done. */
    public static void sunEnded(Object exchange) {
        ended(exchange);
    }

    /** Tomcat handles a request. */
    public static Object tomcat(Object request) {
        if (!on(TOMCAT)) {
            return suspend();
        }
        try {
            return ThroughlineServers.tomcat(request);
        } catch (Throwable error) {
            failed(TOMCAT, error);
            return suspend();
        }
    }

    /** Tomcat goes on with a request. */
    public static Object tomcatAgain(Object request) {
        if (!on(TOMCAT)) {
            return suspend();
        }
        try {
            return ThroughlineServers.tomcatAgain(request);
        } catch (Throwable error) {
            failed(TOMCAT, error);
            return suspend();
        }
    }

    /** Tomcat has its connector do something about a response. */
    public static void tomcatAction(Object response, Object code) {
        if (ThroughlineContext.any) {
            try {
                ThroughlineServers.tomcatAction(response, code);
            } catch (Throwable error) {
                failedForAll(error);
            }
        }
    }

    /** Tomcat makes a request object ready for the next request. */
    public static void tomcatRecycled(Object request) {
        recycled(request);
    }

    /** Jetty handles a request, or goes on with one. */
    public static Object jetty(Object channel) {
        if (!on(JETTY)) {
            return suspend();
        }
        try {
            return ThroughlineServers.jetty(channel);
        } catch (Throwable error) {
            failed(JETTY, error);
            return suspend();
        }
    }

    /** A channel of Jetty is ready for the next request, or has it. */
    public static void jettyRecycled(Object channel) {
        recycled(channel);
    }

    /** A request of Jetty is done. */
    public static void jettyEnded(Object channel) {
        ended(channel);
    }

    /** Jetty sends a part of a response. */
    public static void jettySent(Object channel, boolean last) {
        if (last) {
            ended(channel);
        }
    }

    private static void ended(Object request) {
        if (ThroughlineContext.any) {
            try {
                ThroughlineServers.ended(request);
            } catch (Throwable error) {
                failedForAll(error);
            }
        }
    }

    private static void recycled(Object request) {
        if (ThroughlineContext.any) {
            try {
                ThroughlineServers.recycled(request);
            } catch (Throwable error) {
                failedForAll(error);
            }
        }
    }

    // Clients.

    /** HttpURLConnection writes the head of a request: what to write instead. */
    public static Object urlConnection(Object client, Object head) {
        if (on(URL_CONNECTION)) {
            try {
                return ThroughlineClients.urlConnection(client, head);
            } catch (Throwable error) {
                failed(URL_CONNECTION, error);
            }
        }
        return head;
    }

    /** java.net.http makes a request. */
    public static void httpClient(Object request) {
        if (on(HTTP_CLIENT)) {
            try {
                ThroughlineClients.httpClient(request);
            } catch (Throwable error) {
                failed(HTTP_CLIENT, error);
            }
        }
    }

    /** java.net.http is about to send a request. */
    public static void httpClientTry(Object request, Object exchange) {
        if (on(HTTP_CLIENT)) {
            try {
                ThroughlineClients.httpClientTry(request, exchange);
            } catch (Throwable error) {
                failed(HTTP_CLIENT, error);
            }
        }
    }

    /** Apache's client 4 sends a request. */
    public static Object apache4(Object request, Object context) {
        return apache(APACHE_4, request, context);
    }

    /** Apache's client 5 sends a request. */
    public static Object apache5(Object request, Object context) {
        return apache(APACHE_5, request, context);
    }

    private static Object apache(int part, Object request, Object context) {
        if (on(part)) {
            try {
                return ThroughlineClients.apache(request, context, part == APACHE_5);
            } catch (Throwable error) {
                failed(part, error);
            }
        }
        return null;
    }

    /** OkHttp writes the headers of a request: what to write instead. */
    public static Object okhttp(Object codec, Object headers) {
        if (on(OKHTTP)) {
            try {
                return ThroughlineClients.okhttp(codec, headers);
            } catch (Throwable error) {
                failed(OKHTTP, error);
            }
        }
        return headers;
    }

    /** OkHttp puts a call in its queue. */
    public static void queued(Object call) {
        if (on(OKHTTP_QUEUE)) {
            try {
                ThroughlineClients.queued(call);
            } catch (Throwable error) {
                failed(OKHTTP_QUEUE, error);
            }
        }
    }

    // Pools.

    /** A pool takes a task. */
    public static void submitted(Object task) {
        if (on(TASKS)) {
            try {
                ThroughlineTasks.submitted(task);
            } catch (Throwable error) {
                failed(TASKS, error);
            }
        }
    }

    /** A pool takes a task for later. */
    public static void scheduled(Object task) {
        if (on(TASKS)) {
            try {
                ThroughlineTasks.scheduled(task);
            } catch (Throwable error) {
                failed(TASKS, error);
            }
        }
    }

    /** A thread of a pool runs a task. */
    public static void run(Runnable task) {
        ThroughlineScope scope = null;
        if (ThroughlineContext.any) {
            try {
                scope = ThroughlineThread.enter(ThroughlineTasks.TASKS.remove(task), false);
            } catch (Throwable error) {
                failedForAll(error);
            }
        }
        if (scope == null) {
            task.run();
            return;
        }
        try {
            task.run();
        } finally {
            close(scope);
        }
    }

    /** A CompletableFuture runs what it was given to start with. */
    public static void runAsync(Runnable task) {
        Object scope = suspend();
        if (scope == null) {
            task.run();
            return;
        }
        try {
            task.run();
        } finally {
            close(scope);
        }
    }

    /** The same with a result. */
    public static Object get(Supplier<?> supplier) {
        Object scope = suspend();
        if (scope == null) {
            return supplier.get();
        }
        try {
            return supplier.get();
        } finally {
            close(scope);
        }
    }

    // Functions that the JDK keeps to itself: each takes its request along.

    private static ThroughlineContext attached(Object function) {
        if (on(TASKS)) {
            try {
                ThroughlineContext context = ThroughlineThread.ownContext();
                return context != null && ThroughlineTasks.isApps(function) ? context : null;
            } catch (Throwable error) {
                failed(TASKS, error);
            }
        }
        return null;
    }

    /** A stage of a CompletableFuture. */
    public static Object carryRunnable(Object function) {
        ThroughlineContext context = attached(function);
        return context == null ? function : new ThroughlineCarriers.Task(context, (Runnable) function);
    }

    /** A stage of a CompletableFuture. */
    public static Object carrySupplier(Object function) {
        ThroughlineContext context = attached(function);
        return context == null ? function : new ThroughlineCarriers.Supplied(context, (Supplier<?>) function);
    }

    /** A stage of a CompletableFuture. */
    @SuppressWarnings("unchecked")
    public static Object carryFunction(Object function) {
        ThroughlineContext context = attached(function);
        return context == null ? function
                : new ThroughlineCarriers.Applied(context, (Function<Object, Object>) function);
    }

    /** A stage of a CompletableFuture. */
    @SuppressWarnings("unchecked")
    public static Object carryConsumer(Object function) {
        ThroughlineContext context = attached(function);
        return context == null ? function : new ThroughlineCarriers.Accepted(context, (Consumer<Object>) function);
    }

    /** A stage of a CompletableFuture. */
    @SuppressWarnings("unchecked")
    public static Object carryBiFunction(Object function) {
        ThroughlineContext context = attached(function);
        return context == null ? function
                : new ThroughlineCarriers.BiApplied(context, (BiFunction<Object, Object, Object>) function);
    }

    /** A stage of a CompletableFuture. */
    @SuppressWarnings("unchecked")
    public static Object carryBiConsumer(Object function) {
        ThroughlineContext context = attached(function);
        return context == null ? function
                : new ThroughlineCarriers.BiAccepted(context, (BiConsumer<Object, Object>) function);
    }

    private static ThroughlineContext forResult(Object function) {
        if (on(TASKS)) {
            try {
                return ThroughlineTasks.forResult(function);
            } catch (Throwable error) {
                failed(TASKS, error);
            }
        }
        return null;
    }

    /** A task is submitted for its result. */
    public static Object carryCallable(Object function) {
        ThroughlineContext context = forResult(function);
        return context == null ? function : new ThroughlineCarriers.Called(context, (Callable<?>) function);
    }

    /** A task is submitted for its end. */
    public static Object carrySubmitted(Object function) {
        ThroughlineContext context = forResult(function);
        return context == null || function instanceof java.util.concurrent.ForkJoinTask ? function
                : new ThroughlineCarriers.Task(context, (Runnable) function);
    }

    /** Tasks are submitted for their results. */
    public static Object carryCallables(Object callables) {
        if (on(TASKS)) {
            try {
                if (callables != null && ThroughlineThread.ownContext() != null) {
                    return ThroughlineCarriers.all((Collection<?>) callables);
                }
            } catch (Throwable error) {
                failed(TASKS, error);
            }
        }
        return callables;
    }

    /** A task is handed over. */
    public static Object carryExecuted(Object function) {
        if (on(TASKS)) {
            try {
                ThroughlineContext context = function instanceof java.util.concurrent.ForkJoinTask ? null
                        : ThroughlineTasks.executed(function);
                if (context != null) {
                    return new ThroughlineCarriers.Task(context, (Runnable) function);
                }
            } catch (Throwable error) {
                failed(TASKS, error);
            }
        }
        return function;
    }

    /** A servlet hands a task to its asynchronous context. */
    public static Object carryStarted(Object function, Object asyncContext) {
        if (on(TASKS)) {
            try {
                ThroughlineContext context = ThroughlineThread.ownContext();
                if (context != null && function != null
                        && ThroughlineServers.holds(context, new Object[] {asyncContext})) {
                    return new ThroughlineCarriers.Task(context, (Runnable) function);
                }
            } catch (Throwable error) {
                failed(TASKS, error);
            }
        }
        return function;
    }
}
