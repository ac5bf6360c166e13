package forwarding;

import com.google.common.util.concurrent.SettableFuture;
import java.net.http.HttpResponse;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.Timer;
import java.util.TimerTask;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorCompletionService;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.RecursiveTask;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.IntStream;

/** The ways by which a request comes to make a call, and what is to be expected of each. */
final class Ways {
    /** What is expected of calls whose request carried trace headers. None may ever be wrong. */
    enum Expect { RIGHT, NONE, EITHER }

    interface Way {
        void go(Page page, Callable<?> call) throws Exception;
    }

    static final class Named {
        final Way way;
        final Expect expect;

        Named(Way way, Expect expect) {
            this.way = way;
            this.expect = expect;
        }
    }

    final Map<String, Named> all = new LinkedHashMap<>();
    final Clients clients;
    final ExecutorService pool = Executors.newFixedThreadPool(8, Clients::daemon);
    final ScheduledExecutorService scheduler = Executors.newScheduledThreadPool(4, Clients::daemon);
    private final ForkJoinPool forkJoin = new ForkJoinPool(4);
    private final Timer timer = new Timer(true);

    Ways(Clients clients) {
        this.clients = clients;
        add("direct", Expect.RIGHT, (page, call) -> call.call());
        add("submit-callable", Expect.RIGHT, (page, call) -> pool.submit(call).get());
        add("submit-runnable", Expect.RIGHT, (page, call) -> pool.submit(() -> quiet(call)).get());
        add("invoke-all", Expect.RIGHT, (page, call) -> pool.invokeAll(List.of(call(call))).get(0).get());
        add("invoke-any", Expect.RIGHT, (page, call) -> pool.invokeAny(List.of(call(call))));
        add("completion-service", Expect.RIGHT, (page, call) -> {
            ExecutorCompletionService<Object> service = new ExecutorCompletionService<>(pool);
            service.submit(call(call));
            service.take().get();
        });
        add("schedule-callable", Expect.RIGHT, (page, call) -> scheduler.schedule(call, 1, TimeUnit.MILLISECONDS).get());
        add("schedule-runnable", Expect.NONE,
                (page, call) -> scheduler.schedule(() -> { quiet(call); }, 1, TimeUnit.MILLISECONDS).get());
        add("execute", Expect.NONE, (page, call) -> {
            CountDownLatch done = new CountDownLatch(1);
            pool.execute(() -> {
                quiet(call);
                done.countDown();
            });
            done.await();
        });
        add("execute-with-request", Expect.RIGHT, (page, call) -> page.later(pool, call::call));
        add("schedule-with-request", Expect.RIGHT, (page, call) -> page.later(scheduler, call::call));
        add("fork-join-with-request", Expect.RIGHT, (page, call) -> page.later(forkJoin, call::call));
        add("supply-async", Expect.RIGHT, (page, call) -> CompletableFuture.supplyAsync(() -> quiet(call), pool).get());
        add("run-async", Expect.RIGHT, (page, call) -> CompletableFuture.runAsync(() -> quiet(call), pool).get());
        add("supply-async-common", Expect.RIGHT, (page, call) -> CompletableFuture.supplyAsync(() -> quiet(call)).get());
        add("delayed-executor", Expect.RIGHT, (page, call) -> CompletableFuture.supplyAsync(() -> quiet(call),
                CompletableFuture.delayedExecutor(1, TimeUnit.MILLISECONDS, pool)).get());
        add("then-apply", Expect.RIGHT, (page, call) ->
                CompletableFuture.supplyAsync(() -> 1, pool).thenApply(one -> quiet(call)).get());
        add("then-apply-async", Expect.RIGHT, (page, call) ->
                CompletableFuture.supplyAsync(() -> 1, pool).thenApplyAsync(one -> quiet(call), pool).get());
        add("then-run", Expect.RIGHT, (page, call) ->
                CompletableFuture.runAsync(() -> {}, pool).thenRun(() -> quiet(call)).get());
        add("then-combine", Expect.RIGHT, (page, call) -> CompletableFuture.supplyAsync(() -> 1, pool)
                .thenCombine(CompletableFuture.supplyAsync(() -> 2), (one, two) -> quiet(call)).get());
        add("handle", Expect.RIGHT, (page, call) -> CompletableFuture.supplyAsync(() -> 1 / 0, pool)
                .handle((value, error) -> quiet(call)).get());
        add("exceptionally", Expect.RIGHT, (page, call) -> CompletableFuture.<Object>supplyAsync(() -> 1 / 0, pool)
                .exceptionally(error -> quiet(call)).get());
        add("when-complete", Expect.RIGHT, (page, call) -> CompletableFuture.supplyAsync(() -> 1)
                .whenComplete((value, error) -> quiet(call)).get());
        add("either", Expect.RIGHT, (page, call) -> CompletableFuture.supplyAsync(() -> 1, pool)
                .acceptEither(CompletableFuture.supplyAsync(() -> 2), one -> quiet(call)).get());
        add("fork-join-submit", Expect.RIGHT, (page, call) -> forkJoin.submit(call(call)).get());
        add("fork-join-submit-runnable", Expect.RIGHT, (page, call) -> forkJoin.submit(() -> { quiet(call); }).get());
        add("fork-join-invoke-all", Expect.RIGHT, (page, call) -> forkJoin.invokeAll(List.of(call(call))).get(0).get());
        add("fork-join-task", Expect.NONE, (page, call) -> forkJoin.submit(new RecursiveTask<Object>() {
            private static final long serialVersionUID = 1;

            @Override
            protected Object compute() {
                return quiet(call);
            }
        }).get());
        add("parallel-stream", Expect.EITHER, (page, call) ->
                IntStream.range(0, 4).parallel().forEach(i -> {
                    if (i == 3) {
                        quiet(call);
                    }
                }));
        add("new-thread", Expect.NONE, (page, call) -> {
            Thread thread = new Thread(() -> quiet(call));
            thread.start();
            thread.join();
        });
        add("timer", Expect.NONE, (page, call) -> {
            CountDownLatch done = new CountDownLatch(1);
            timer.schedule(new TimerTask() {
                @Override
                public void run() {
                    quiet(call);
                    done.countDown();
                }
            }, 1);
            done.await();
        });
        add("handed-on-twice", Expect.NONE, (page, call) -> pool.submit(() -> scheduler.submit(call).get()).get());
        add("supply-in-supply", Expect.NONE, (page, call) ->
                CompletableFuture.supplyAsync(() -> CompletableFuture.supplyAsync(() -> quiet(call)).join()).get());
        add("call-in-pool-after-wait", Expect.RIGHT, (page, call) -> CompletableFuture.supplyAsync(() -> {
            // A thread of a fork-join pool that waits may run the work of others in between.
            CompletableFuture.supplyAsync(() -> 1).join();
            return quiet(call);
        }).get());
        ExecutorService virtual = virtual();
        if (virtual != null) {
            add("virtual-submit", Expect.RIGHT, (page, call) -> virtual.submit(call).get());
            add("virtual-submit-runnable", Expect.RIGHT, (page, call) -> virtual.submit(() -> quiet(call)).get());
            add("virtual-with-request", Expect.RIGHT, (page, call) -> page.later(virtual, call::call));
            add("virtual-supply-async", Expect.RIGHT,
                    (page, call) -> CompletableFuture.supplyAsync(() -> quiet(call), virtual).get());
            add("virtual-execute", Expect.NONE, (page, call) -> {
                CountDownLatch done = new CountDownLatch(1);
                virtual.execute(() -> {
                    quiet(call);
                    done.countDown();
                });
                done.await();
            });
        }
        queues();
        servlets();
    }

    private void add(String name, Expect expect, Way way) {
        all.put(name, new Named(way, expect));
    }

    /** Queues that an app puts in front of a pool, in which one request's thread starts another's work. */
    private void queues() {
        Serial serial = new Serial(pool);
        add("queue-serial", Expect.NONE, (page, call) -> waits(call, serial));
        Queue<Runnable> pending = new ConcurrentLinkedQueue<>();
        AtomicBoolean draining = new AtomicBoolean();
        add("queue-drained", Expect.NONE, (page, call) -> waits(call, task -> {
            pending.add(task);
            pool.execute(() -> {
                if (draining.compareAndSet(false, true)) {
                    for (Runnable one = pending.poll(); one != null; one = pending.poll()) {
                        one.run();
                    }
                    draining.set(false);
                }
                // What came in between has its own drain behind it.
                for (Runnable one = pending.poll(); one != null; one = pending.poll()) {
                    one.run();
                }
            });
        }));
        Bounded bounded = new Bounded(pool);
        add("queue-bounded", Expect.NONE, (page, call) -> waits(call, bounded));
        // Four requests wait for one thing, and each goes on in its own way when the last brings it.
        List<CompletableFuture<Integer>> shared = new ArrayList<>();
        int[] waiting = new int[1];
        add("shared-future", Expect.RIGHT, (page, call) -> {
            CompletableFuture<Integer> future;
            CompletableFuture<Object> mine;
            boolean last;
            synchronized (shared) {
                if (waiting[0]++ % 4 == 0) {
                    shared.add(new CompletableFuture<>());
                }
                last = waiting[0] % 4 == 0;
                future = shared.get(shared.size() - 1);
                mine = future.thenApply(one -> quiet(call));
            }
            if (last) {
                future.complete(1);
            }
            mine.get();
        });
        // The same with what hangs on the future not being a request's at all.
        add("shared-future-unattached", Expect.NONE, (page, call) -> {
            CompletableFuture<Integer> future = new CompletableFuture<>();
            CompletableFuture<CompletableFuture<Object>> attached = new CompletableFuture<>();
            Thread thread = new Thread(() -> attached.complete(future.thenApply(one -> quiet(call))));
            thread.start();
            CompletableFuture<Object> mine = attached.get();
            future.complete(1);
            mine.get();
        });
        // The same by Guava, whose listeners run at once where the value is set.
        List<SettableFuture<Integer>> settable = new ArrayList<>();
        int[] listening = new int[1];
        add("shared-guava-future", Expect.NONE, (page, call) -> {
            SettableFuture<Integer> future;
            CountDownLatch done = new CountDownLatch(1);
            boolean last;
            synchronized (settable) {
                if (listening[0]++ % 4 == 0) {
                    settable.add(SettableFuture.create());
                }
                last = listening[0] % 4 == 0;
                future = settable.get(settable.size() - 1);
                future.addListener(() -> {
                    quiet(call);
                    done.countDown();
                }, Runnable::run);
            }
            if (last) {
                future.set(1);
            }
            done.await();
        });
        add("next-call-async", Expect.RIGHT, (page, call) -> {
            String own = page.word("url");
            clients.http.sendAsync(Clients.request(own + "?first"), HttpResponse.BodyHandlers.ofString())
                    .thenCompose(first -> clients.http.sendAsync(Clients.request(own),
                            HttpResponse.BodyHandlers.ofString())).get();
            page.answer("done");
        });
    }

    private void servlets() {
        add("servlet-start", Expect.RIGHT, (page, call) -> {
            if (!page.start(call::call)) {
                call.call();
            }
        });
        add("servlet-timeout", Expect.EITHER, (page, call) -> {
            if (!page.timeout(20, call::call)) {
                call.call();
            }
        });
        add("servlet-dispatch", Expect.RIGHT, (page, call) -> {
            String again = "/direct/" + page.path().split("/")[2] + "?" + "n=" + page.word("n") + "&url="
                    + page.word("url");
            if (!page.dispatch(again)) {
                call.call();
            }
        });
    }

    private static void waits(Callable<?> call, Executor queue) throws Exception {
        CountDownLatch done = new CountDownLatch(1);
        queue.execute(() -> {
            quiet(call);
            done.countDown();
        });
        done.await();
    }

    /** As the documentation of Executor has it. */
    private static final class Serial implements Executor {
        private final Queue<Runnable> tasks = new ArrayDeque<>();
        private final Executor executor;
        private Runnable active;

        Serial(Executor executor) {
            this.executor = executor;
        }

        @Override
        public synchronized void execute(Runnable task) {
            tasks.add(() -> {
                try {
                    task.run();
                } finally {
                    next();
                }
            });
            if (active == null) {
                next();
            }
        }

        private synchronized void next() {
            active = tasks.poll();
            if (active != null) {
                executor.execute(active);
            }
        }
    }

    /** Has so many at work at once; whoever comes or goes starts those who wait. */
    private static final class Bounded implements Executor {
        private final Queue<Runnable> tasks = new ArrayDeque<>();
        private final Executor executor;
        private int running;

        Bounded(Executor executor) {
            this.executor = executor;
        }

        @Override
        public synchronized void execute(Runnable task) {
            tasks.add(task);
            more();
        }

        private synchronized void more() {
            while (running < 3 && !tasks.isEmpty()) {
                Runnable task = tasks.poll();
                running++;
                executor.execute(() -> {
                    try {
                        task.run();
                    } finally {
                        done();
                    }
                });
            }
        }

        private synchronized void done() {
            running--;
            more();
        }
    }

    private static ExecutorService virtual() {
        try {
            return (ExecutorService) Executors.class.getMethod("newVirtualThreadPerTaskExecutor").invoke(null);
        } catch (ReflectiveOperationException older) {
            return null;
        }
    }

    @SuppressWarnings("unchecked")
    private static Callable<Object> call(Callable<?> call) {
        return (Callable<Object>) call;
    }

    static Object quiet(Callable<?> call) {
        try {
            return call.call();
        } catch (Exception error) {
            throw new IllegalStateException(error);
        }
    }
}
