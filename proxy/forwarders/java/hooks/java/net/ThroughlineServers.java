package java.net;

import java.lang.ref.WeakReference;
import java.util.List;
import java.util.Map;

/** The requests that servers are handling, by the object that stands for a request in each of them. */
final class ThroughlineServers {
    /** Open requests that came with trace headers. Those without are not in it. */
    private static final ThroughlineTable REQUESTS = new ThroughlineTable();

    private static final String SUN_EXCHANGE = "sun.net.httpserver.HttpExchangeImpl";
    private static final String SUN_TLS_EXCHANGE = "sun.net.httpserver.HttpsExchangeImpl";
    private static final ThroughlineCall EXCHANGE_IMPL = new ThroughlineCall("getExchangeImpl");
    private static final ThroughlineCall REQUEST_HEADERS = new ThroughlineCall("getRequestHeaders");

    private static final ThroughlineCall MIME_HEADERS = new ThroughlineCall("getMimeHeaders");
    private static final ThroughlineCall FIND_HEADER = new ThroughlineCall("findHeader", String.class, int.class);
    private static final ThroughlineCall VALUE_AT = new ThroughlineCall("getValue", int.class);
    private static final ThroughlineCall NOTE = new ThroughlineCall("getNote", int.class);
    private static final ThroughlineCall ASYNC_CONTEXT_INTERNAL = new ThroughlineCall("getAsyncContextInternal");

    private static final ThroughlineCall REQUEST = new ThroughlineCall("getRequest");
    private static final ThroughlineCall HTTP_FIELDS = new ThroughlineCall("getHttpFields");
    private static final ThroughlineCall FIELD = new ThroughlineCall("getField", String.class);
    private static final ThroughlineCall VALUES = new ThroughlineCall("getValuesList", String.class);
    private static final ThroughlineCall ASYNC_STARTED = new ThroughlineCall("isAsyncStarted");
    private static final ThroughlineCall ASYNC_CONTEXT = new ThroughlineCall("getAsyncContext");

    /** Where Tomcat's adapter keeps its own request in that of the connector. */
    private static final int CATALINA_NOTE = 1;

    private static final Known KNOWN = new Known();

    private ThroughlineServers() {}

    private static void keep(Object request, ThroughlineContext context) {
        context.request = new WeakReference<>(request);
        REQUESTS.put(request, context);
    }

    // The JDK's own server. An exchange is one request and is never used again.

    static ThroughlineScope sun(Object exchange) throws Exception {
        if (!isSun(exchange)) {
            return null; // A filter of the app put something around it: nothing changes.
        }
        Object request = EXCHANGE_IMPL.on(exchange);
        ThroughlineContext context = REQUESTS.get(request);
        if (context == null) {
            Map<?, ?> headers = (Map<?, ?>) REQUEST_HEADERS.on(request);
            String[] values = new String[ThroughlineContext.NAMES.length];
            for (int i = 0; i < values.length; i++) {
                Object list = headers.get(ThroughlineContext.NAMES[i]);
                if (list != null && ((List<?>) list).size() == 1) {
                    values[i] = (String) ((List<?>) list).get(0);
                }
            }
            context = ThroughlineContext.of(values);
            if (context != null) {
                keep(request, context);
            }
        }
        return ThroughlineThread.enter(context, true);
    }

    private static boolean isSun(Object exchange) {
        String name = exchange.getClass().getName();
        return name.equals(SUN_EXCHANGE) || name.equals(SUN_TLS_EXCHANGE);
    }

    // Tomcat. Its request objects are used again, for another request, once they are recycled.

    static ThroughlineScope tomcat(Object request) throws Exception {
        ThroughlineContext before = REQUESTS.get(request);
        ThroughlineThread here = ThroughlineThread.here();
        if (before != null && here != null && here.context == before && here.own) {
            return null; // Inside already.
        }
        end(before);
        ThroughlineContext context = null;
        if (KNOWN.get(request.getClass())) {
            Object headers = MIME_HEADERS.on(request);
            String[] values = new String[ThroughlineContext.NAMES.length];
            for (int i = 0; i < values.length; i++) {
                String name = ThroughlineContext.NAMES[i];
                int at = (Integer) FIND_HEADER.on(headers, name, 0);
                if (at >= 0 && (Integer) FIND_HEADER.on(headers, name, at + 1) < 0) {
                    values[i] = VALUE_AT.on(headers, at).toString();
                }
            }
            context = ThroughlineContext.of(values);
        }
        if (context == null) {
            REQUESTS.remove(request);
        } else {
            keep(request, context);
        }
        return ThroughlineThread.enter(context, true);
    }

    /** A request that went on without a thread, such as one of an async servlet, gets one again. */
    static ThroughlineScope tomcatAgain(Object request) {
        return ThroughlineThread.enter(REQUESTS.get(request), true);
    }

    static void tomcatAction(Object response, Object code) throws Exception {
        if (((Enum<?>) code).name().equals("CLOSE")) {
            Object request = REQUEST.on(response);
            if (request != null) {
                ended(request);
            }
        }
    }

    // Jetty. A channel takes one request after the other.

    static ThroughlineScope jetty(Object channel) throws Exception {
        ThroughlineContext context = REQUESTS.get(channel);
        if (context == null && KNOWN.get(channel.getClass())) {
            Object headers = HTTP_FIELDS.on(REQUEST.on(channel));
            if (headers != null) {
                String[] values = new String[ThroughlineContext.NAMES.length];
                for (int i = 0; i < values.length; i++) {
                    String name = ThroughlineContext.NAMES[i];
                    if (FIELD.on(headers, name) != null) {
                        List<?> list = (List<?>) VALUES.on(headers, name);
                        values[i] = list.size() == 1 ? (String) list.get(0) : null;
                    }
                }
                context = ThroughlineContext.of(values);
            }
            if (context != null) {
                keep(channel, context);
            }
        }
        return ThroughlineThread.enter(context, true);
    }

    /** What stands for a request will stand for the next one. */
    static void recycled(Object request) {
        end(REQUESTS.remove(request));
    }

    /** The response of what stands for a request has ended. */
    static void ended(Object request) {
        end(REQUESTS.get(request));
    }

    private static void end(ThroughlineContext context) {
        if (context != null) {
            context.end();
        }
    }

    // Objects of the app that belong to one request.

    /** Whether one of the objects is the exchange or the asynchronous context of {@code context}'s request. */
    static boolean holds(ThroughlineContext context, Object[] objects) throws Exception {
        Object request = context.request.get();
        if (objects.length == 0 || request == null || REQUESTS.get(request) != context) {
            return false;
        }
        String name = request.getClass().getName();
        if (name.startsWith("sun.net.httpserver.")) {
            for (Object object : objects) {
                if (object != null && isSun(object) && EXCHANGE_IMPL.on(object) == request) {
                    return true;
                }
            }
            return false;
        }
        // Of what a servlet holds only this is made anew for each request.
        Object async = name.startsWith("org.apache.coyote.") ? ofTomcat(request) : ofJetty(request);
        for (Object object : objects) {
            if (object != null && object == async) {
                return true;
            }
        }
        return false;
    }

    private static Object ofTomcat(Object request) throws Exception {
        return ASYNC_CONTEXT_INTERNAL.on(NOTE.on(request, CATALINA_NOTE));
    }

    private static Object ofJetty(Object channel) throws Exception {
        Object request = REQUEST.on(channel);
        return (Boolean) ASYNC_STARTED.on(request) ? ASYNC_CONTEXT.on(request) : null;
    }

    /** Whether a server is of a version that the hooks know, where its archive names one. */
    private static final class Known extends ClassValue<Boolean> {
        @Override
        protected Boolean computeValue(Class<?> type) {
            return type.getName().startsWith("org.apache.coyote.")
                    ? ThroughlineHooks.isVersion(type, "9.0.", "10.1.")
                    : ThroughlineHooks.isVersion(type, "9.4.");
        }
    }
}
