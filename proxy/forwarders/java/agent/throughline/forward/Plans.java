package throughline.forward;

import java.util.HashMap;
import java.util.Map;

/** Which classes are edited, and how. The hooks are told of a class that turned out otherwise. */
final class Plans {
    /** The parts that stand or fall together; numbered as the hooks know them. */
    static final int CORE = 0;
    static final int SUN = 1;
    static final int TOMCAT = 2;
    static final int JETTY = 3;
    static final int URL_CONNECTION = 4;
    static final int HTTP_CLIENT = 5;
    static final int APACHE_4 = 6;
    static final int APACHE_5 = 7;
    static final int OKHTTP = 8;
    static final int OKHTTP_QUEUE = 9;
    static final int FORK_JOIN = 10;
    static final int PER_TASK = 11;
    static final int GUAVA = 12;

    static final class Plan {
        final int part;
        final Edit[] edits;

        Plan(int part, Edit... edits) {
            this.part = part;
            this.edits = edits;
        }
    }

    private static final String CONCURRENT = "java/util/concurrent/";
    private static final String EXECUTOR = "(Ljava/util/concurrent/Executor;";
    private static final String STAGE = EXECUTOR + "Ljava/util/concurrent/CompletionStage;";
    private static final String RUNNABLE = "java/lang/Runnable";
    private static final String CALLABLE = "java/util/concurrent/Callable";
    private static final String FUNCTION = "java/util/function/";

    private Plans() {}

    static Map<String, Plan> all() {
        Map<String, Plan> plans = new HashMap<>(64);
        core(plans);
        listeners(plans);
        pools(plans);
        servers(plans);
        clients(plans);
        return plans;
    }

    private static void core(Map<String, Plan> plans) {
        plans.put(CONCURRENT + "ThreadPoolExecutor", new Plan(CORE,
                Edit.call("execute", "(Ljava/lang/Runnable;)V", "submitted", 1),
                Edit.redirect("runWorker", "(Ljava/util/concurrent/ThreadPoolExecutor$Worker;)V",
                        RUNNABLE, "run", "()V", "run")));
        plans.put(CONCURRENT + "ScheduledThreadPoolExecutor", new Plan(CORE,
                Edit.call("delayedExecute", "(Ljava/util/concurrent/RunnableScheduledFuture;)V", "scheduled", 1)));
        plans.put(CONCURRENT + "CompletableFuture", new Plan(CORE,
                Edit.around("postComplete", "()V", "suspend"),
                stage("uniApplyStage", EXECUTOR, "Function"),
                stage("uniAcceptStage", EXECUTOR, "Consumer"),
                stage("uniRunStage", EXECUTOR, null),
                stage("uniWhenCompleteStage", EXECUTOR, "BiConsumer"),
                stage("uniHandleStage", EXECUTOR, "BiFunction"),
                stage("uniComposeStage", EXECUTOR, "Function"),
                // Java 11 has it without an executor.
                stage("uniExceptionallyStage", EXECUTOR, "Function").ifThere(),
                stage("uniExceptionallyStage", "(", "Function").ifThere(),
                stage("uniComposeExceptionallyStage", EXECUTOR, "Function").ifThere(),
                stage("biApplyStage", STAGE, "BiFunction"),
                stage("biAcceptStage", STAGE, "BiConsumer"),
                stage("biRunStage", STAGE, null),
                stage("orApplyStage", STAGE, "Function"),
                stage("orAcceptStage", STAGE, "Consumer"),
                stage("orRunStage", STAGE, null),
                stage("asyncSupplyStage", EXECUTOR, "Supplier"),
                stage("asyncRunStage", EXECUTOR, null)));
        plans.put(CONCURRENT + "CompletableFuture$AsyncSupply", new Plan(CORE,
                Edit.redirect("run", "()V", FUNCTION + "Supplier", "get", "()Ljava/lang/Object;", "get")));
        plans.put(CONCURRENT + "CompletableFuture$AsyncRun", new Plan(CORE,
                Edit.redirect("run", "()V", RUNNABLE, "run", "()V", "runAsync")));
        // A thread that waits in a pool of this kind may run another's task meanwhile.
        plans.put(CONCURRENT + "ForkJoinTask", new Plan(CORE,
                Edit.around("doExec", "()*", "suspend")));
    }

    /** Futures of a library whose listeners run on whatever thread brings the value. */
    private static void listeners(Map<String, Plan> plans) {
        plans.put("com/google/common/util/concurrent/AbstractFuture", new Plan(GUAVA,
                Edit.around("complete", "(Lcom/google/common/util/concurrent/AbstractFuture;*", "suspend")));
    }

    /** The function that a stage is given is its last parameter. */
    private static Edit stage(String method, String before, String function) {
        String type = function == null ? RUNNABLE : FUNCTION + function;
        String hook = "carry" + (function == null ? "Runnable" : function);
        int parameter = before.equals("(") ? 1 : before.equals(EXECUTOR) ? 2 : 3;
        // The two that start something new are static, where parameters count the same from 1.
        return Edit.replace(method, before + "L" + type + ";)Ljava/util/concurrent/CompletableFuture;",
                parameter, type, hook, parameter);
    }

    private static void pools(Map<String, Plan> plans) {
        String callables = "(Ljava/util/Collection;";
        plans.put(CONCURRENT + "ForkJoinPool", new Plan(FORK_JOIN,
                Edit.replace("submit", "(Ljava/util/concurrent/Callable;)Ljava/util/concurrent/ForkJoinTask;",
                        1, CALLABLE, "carryCallable", 1),
                Edit.replace("submit", "(Ljava/lang/Runnable;)Ljava/util/concurrent/ForkJoinTask;",
                        1, RUNNABLE, "carrySubmitted", 1),
                Edit.replace("submit", "(Ljava/lang/Runnable;Ljava/lang/Object;)Ljava/util/concurrent/ForkJoinTask;",
                        1, RUNNABLE, "carrySubmitted", 1),
                Edit.replace("execute", "(Ljava/lang/Runnable;)V", 1, RUNNABLE, "carryExecuted", 1),
                Edit.replace("invokeAll", callables + ")Ljava/util/List;",
                        1, "java/util/Collection", "carryCallables", 1),
                Edit.replace("invokeAll", callables + "JLjava/util/concurrent/TimeUnit;)Ljava/util/List;",
                        1, "java/util/Collection", "carryCallables", 1).ifThere()));
        plans.put(CONCURRENT + "ThreadPerTaskExecutor", new Plan(PER_TASK,
                Edit.replace("submit", "(Ljava/util/concurrent/Callable;)Ljava/util/concurrent/Future;",
                        1, CALLABLE, "carryCallable", 1),
                Edit.replace("execute", "(Ljava/lang/Runnable;)V", 1, RUNNABLE, "carryExecuted", 1)));
    }

    private static void servers(Map<String, Plan> plans) {
        plans.put("com/sun/net/httpserver/Filter$Chain", new Plan(SUN,
                Edit.around("doFilter", "(Lcom/sun/net/httpserver/HttpExchange;)V", "sun", 1)));
        Plan finished = new Plan(SUN, Edit.call("<init>", "(Lsun/net/httpserver/ExchangeImpl;)V", "sunEnded", 1));
        plans.put("sun/net/httpserver/WriteFinishedEvent", finished);
        plans.put("sun/net/httpserver/Event$WriteFinished", finished);
        plans.put("sun/net/httpserver/ExchangeImpl", new Plan(SUN, Edit.call("close", "()V", "sunEnded", 0)));

        String coyote = "(Lorg/apache/coyote/Request;Lorg/apache/coyote/Response;";
        plans.put("org/apache/catalina/connector/CoyoteAdapter", new Plan(TOMCAT,
                Edit.around("service", coyote + ")V", "tomcat", 1),
                Edit.around("asyncDispatch", coyote + "Lorg/apache/tomcat/util/net/SocketEvent;)Z", "tomcatAgain", 1)));
        plans.put("org/apache/coyote/Request", new Plan(TOMCAT, Edit.call("recycle", "()V", "tomcatRecycled", 0)));
        plans.put("org/apache/coyote/Response", new Plan(TOMCAT,
                Edit.call("action", "(Lorg/apache/coyote/ActionCode;Ljava/lang/Object;)V", "tomcatAction", 0, 1)));
        plans.put("org/apache/catalina/core/AsyncContextImpl", new Plan(TOMCAT,
                Edit.replace("start", "(Ljava/lang/Runnable;)V", 1, RUNNABLE, "carryStarted", 1, 0)));

        plans.put("org/eclipse/jetty/server/HttpChannel", new Plan(JETTY,
                Edit.around("handle", "()Z", "jetty", 0),
                Edit.call("onRequest", "(Lorg/eclipse/jetty/http/MetaData$Request;)V", "jettyRecycled", 0),
                Edit.call("recycle", "()V", "jettyRecycled", 0),
                Edit.call("onCompleted", "()V", "jettyEnded", 0),
                Edit.call("sendResponse", "(Lorg/eclipse/jetty/http/MetaData$Response;Ljava/nio/ByteBuffer;"
                        + "ZLorg/eclipse/jetty/util/Callback;)Z", "jettySent", 0, 3)));
        plans.put("org/eclipse/jetty/server/AsyncContextState", new Plan(JETTY,
                Edit.replace("start", "(Ljava/lang/Runnable;)V", 1, RUNNABLE, "carryStarted", 1, 0)));
    }

    private static void clients(Map<String, Plan> plans) {
        plans.put("sun/net/www/http/HttpClient", new Plan(URL_CONNECTION,
                Edit.replace("writeRequests",
                        "(Lsun/net/www/MessageHeader;Lsun/net/www/http/PosterOutputStream;Z)V",
                        1, "sun/net/www/MessageHeader", "urlConnection", 0, 1)));

        String request = "Ljdk/internal/net/http/HttpRequestImpl;";
        plans.put("jdk/internal/net/http/MultiExchange", new Plan(HTTP_CLIENT,
                Edit.call("<init>", "(Ljava/net/http/HttpRequest;" + request + "*", "httpClient", 2)));
        plans.put("jdk/internal/net/http/Exchange", new Plan(HTTP_CLIENT,
                Edit.call("<init>", "(" + request + "Ljdk/internal/net/http/MultiExchange;*", "httpClientTry", 1, 2)));

        plans.put("org/apache/http/protocol/HttpRequestExecutor", new Plan(APACHE_4,
                Edit.around("execute", "(Lorg/apache/http/HttpRequest;Lorg/apache/http/HttpClientConnection;"
                        + "Lorg/apache/http/protocol/HttpContext;)Lorg/apache/http/HttpResponse;",
                        "apache4", 1, 3)));
        plans.put("org/apache/hc/core5/http/impl/io/HttpRequestExecutor", new Plan(APACHE_5,
                Edit.around("execute", "(Lorg/apache/hc/core5/http/ClassicHttpRequest;"
                        + "Lorg/apache/hc/core5/http/io/HttpClientConnection;"
                        + "Lorg/apache/hc/core5/http/io/HttpResponseInformationCallback;"
                        + "Lorg/apache/hc/core5/http/protocol/HttpContext;)"
                        + "Lorg/apache/hc/core5/http/ClassicHttpResponse;",
                        "apache5", 1, 4)));

        plans.put("okhttp3/internal/http1/Http1Codec", new Plan(OKHTTP,
                Edit.replace("writeRequest", "(Lokhttp3/Headers;Ljava/lang/String;)V",
                        1, "okhttp3/Headers", "okhttp", 0, 1)));
        plans.put("okhttp3/Dispatcher", new Plan(OKHTTP_QUEUE,
                Edit.call("enqueue", "(Lokhttp3/RealCall$AsyncCall;)V", "queued", 1)));
    }
}
