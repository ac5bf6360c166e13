package forwarding;

import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;

/** Where a request's headers must not get to: what outlives it, and whoever comes after it on its threads. */
public final class Leaks {
    private final Upstream upstream = Upstream.on(0, false);
    private final String base = "http://127.0.0.1:" + upstream.port;
    private final Clients clients = new Clients(0);
    private final ExecutorService pool = Executors.newFixedThreadPool(2, Clients::daemon);
    private final ScheduledExecutorService scheduler = Executors.newScheduledThreadPool(2, Clients::daemon);
    private final Map<String, CountDownLatch> gates = new ConcurrentHashMap<>();
    private final Map<String, Page> held = new ConcurrentHashMap<>();
    private final Map<String, String> threads = new ConcurrentHashMap<>();
    private final String name;
    private final int port;
    private final boolean grace;

    private Leaks(String server) throws Exception {
        name = server.replaceAll(".*[.]", "");
        grace = System.getenv("THROUGHLINE_FORWARD_GRACE_MS") != null;
        // Two threads: whoever comes next is on the thread of one who was there before.
        port = ((Server) Class.forName(server).getConstructor().newInstance()).start(0, 2, this::handle);
    }

    public static void main(String[] arguments) throws Exception {
        Leaks leaks = new Leaks(arguments[0]);
        if (leaks.grace) {
            leaks.afterTheEnd("callable", true);
        } else {
            leaks.run();
        }
        Check.end();
    }

    private void handle(Page page) throws Exception {
        String kind = page.path().split("/")[1];
        String n = page.word("n");
        threads.put(kind + n, Thread.currentThread().getName());
        switch (kind) {
            case "direct":
                call("direct", n);
                break;
            case "callable":
                pool.submit(() -> call(kind, n, gate(n)));
                break;
            case "runnable":
                pool.submit(() -> {
                    Ways.quiet(() -> call(kind, n, gate(n)));
                });
                break;
            case "future":
                CompletableFuture.supplyAsync(() -> Ways.quiet(() -> call(kind, n, gate(n))), pool);
                break;
            case "common":
                CompletableFuture.supplyAsync(() -> Ways.quiet(() -> call(kind, n, gate(n))));
                break;
            case "stage":
                CompletableFuture.runAsync(() -> Ways.quiet(() -> {
                    gate(n).await();
                    return null;
                }), pool).thenRun(() -> Ways.quiet(() -> call(kind, n)));
                break;
            case "scheduled":
                scheduler.schedule(() -> call(kind, n, gate(n)), 1, TimeUnit.MILLISECONDS);
                break;
            case "periodic":
                CountDownLatch twice = new CountDownLatch(2);
                ScheduledFuture<?> job = scheduler.scheduleAtFixedRate(() -> {
                    Ways.quiet(() -> call(kind, n));
                    twice.countDown();
                }, 0, 1, TimeUnit.MILLISECONDS);
                twice.await();
                job.cancel(false);
                break;
            case "closed":
                page.answer("done");
                page.close();
                call(kind, n);
                return;
            case "open":
                page.hold();
                held.put(n, page);
                return;
            case "open-and-call":
                call(kind, n);
                page.hold();
                held.put(n, page);
                return;
            case "release":
                gate(n).countDown();
                break;
            default:
                throw new IllegalArgumentException(kind);
        }
        page.answer("done");
    }

    private Object call(String kind, String n) throws Exception {
        return clients.get("send").call(base + "/" + kind + "/" + n);
    }

    private Object call(String kind, String n, CountDownLatch gate) throws Exception {
        gate.await();
        return call(kind, n);
    }

    private CountDownLatch gate(String n) {
        return gates.computeIfAbsent(n, key -> new CountDownLatch(1));
    }

    private void run() throws Exception {
        for (String kind : new String[] {"callable", "runnable", "future", "common", "stage", "scheduled"}) {
            afterTheEnd(kind, false);
        }
        try (Caller caller = new Caller(port)) {
            caller.get("/periodic?n=1", "traceparent: " + Storm.parent(1));
            upstream.head("/periodic/1");
            empty("a job that comes again and again", "/periodic/1");
            caller.get("/direct?n=2", "traceparent: " + Storm.parent(2));
            right("a request before one without", "/direct/2", 2);
            caller.get("/direct?n=3");
            empty("a request without after one with, on one connection", "/direct/3");
            caller.get("/direct?n=4", "traceparent: " + Storm.parent(4));
            right("a request with after one without", "/direct/4", 4);
        }
        try (Caller caller = new Caller(port)) {
            caller.get("/closed?n=5", "traceparent: " + Storm.parent(5));
            upstream.head("/closed/5");
            empty("the request's own thread after it closed the response", "/closed/5");
        }
        open();
    }

    /** Work that a request leaves behind, at a time when its response has surely ended. */
    private void afterTheEnd(String kind, boolean copied) throws Exception {
        String n = "1" + kind.hashCode() % 100;
        try (Caller caller = new Caller(port)) {
            caller.get("/" + kind + "?n=" + n, "traceparent: " + Storm.parent(1));
            // The next request on the connection is only handled when the one before is done with.
            caller.get("/release?n=" + n, "traceparent: " + Storm.parent(2));
            upstream.head("/" + kind + "/" + n);
            if (copied) {
                right(kind + " after the response, within the grace", "/" + kind + "/" + n, 1);
            } else {
                empty(kind + " after the response", "/" + kind + "/" + n);
            }
        }
    }

    /** Requests that stay open with no thread on them, while others come by on the same threads. */
    private void open() throws Exception {
        Caller[] waiting = new Caller[8];
        for (int i = 0; i < waiting.length; i++) {
            waiting[i] = new Caller(port);
            String kind = i % 2 == 0 ? "open" : "open-and-call";
            waiting[i].send("/" + kind + "?n=" + (100 + i), "traceparent: " + Storm.parent(100 + i));
            while (!held.containsKey("" + (100 + i))) {
                Thread.onSpinWait();
            }
        }
        for (int i = 1; i < waiting.length; i += 2) {
            right("a call before the request was left open " + i, "/open-and-call/" + (100 + i), 100 + i);
        }
        boolean again = false;
        for (int i = 0; i < 16; i++) {
            try (Caller caller = new Caller(port)) {
                int n = 200 + i;
                if (i % 2 == 0) {
                    caller.get("/direct?n=" + n);
                    empty("a request without, while others are open " + i, "/direct/" + n);
                } else {
                    caller.get("/direct?n=" + n, "traceparent: " + Storm.parent(n));
                    right("a request with, while others are open " + i, "/direct/" + n, n);
                }
                for (int o = 0; o < waiting.length; o++) {
                    again |= threads.get("direct" + n).equals(threads.get((o % 2 == 0 ? "open" : "open-and-call") + (100 + o)));
                }
            }
        }
        Check.that(name + ": they were on the same threads", again, threads);
        for (int i = 0; i < waiting.length; i++) {
            Page page = held.get("" + (100 + i));
            page.answer("done");
            page.finish();
            Check.that(name + ": the open request " + i + " is answered", waiting[i].answer().contains("done"), "");
            waiting[i].close();
        }
    }

    private void empty(String claim, String path) {
        boolean none = true;
        for (String head : List.copyOf(upstream.heads(path))) {
            none &= Rules.trace(head).isEmpty();
        }
        Check.that(name + ": " + claim + ": nothing", none && !upstream.heads(path).isEmpty(), upstream.heads(path));
    }

    private void right(String claim, String path, int n) {
        List<String> heads = upstream.heads(path);
        Check.that(name + ": " + claim + ": its own", heads.size() == 1 && Rules.trace(heads.get(0)).contains(
                "traceparent: " + Storm.parent(n)) && Rules.trace(heads.get(0)).size() == 2, heads);
    }
}
