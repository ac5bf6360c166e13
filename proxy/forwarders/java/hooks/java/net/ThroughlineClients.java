package java.net;

import java.util.Map;
import sun.net.www.MessageHeader;

/** The calls that clients make, at the place where each knows its connection and has written nothing yet. */
final class ThroughlineClients {
    private static final int HTTP_PORT = 80;

    private ThroughlineClients() {}

    // HttpURLConnection. What it shows to the app stays as it is: the headers go into a copy.

    private static final ThroughlineCall PROXY_HOST = new ThroughlineCall("getProxyHostUsed");
    private static final ThroughlineCall PROXY_PORT = new ThroughlineCall("getProxyPortUsed");
    private static final ThroughlineField URL_HOST = new ThroughlineField("host");
    private static final ThroughlineField URL_PORT = new ThroughlineField("port");
    private static final ThroughlineField URL_PROXY = new ThroughlineField("proxy");

    static Object urlConnection(Object client, Object head) throws Exception {
        ThroughlineContext context = ThroughlineThread.context();
        // A subclass is the one for https.
        if (context == null || !client.getClass().getName().equals("sun.net.www.http.HttpClient")) {
            return head;
        }
        String target = (String) URL_HOST.of(client);
        String peer = (String) PROXY_HOST.on(client);
        int port = (Integer) (peer == null ? URL_PORT.of(client) : PROXY_PORT.on(client));
        Proxy proxy = (Proxy) URL_PROXY.of(client);
        if (proxy != null && proxy.type() == Proxy.Type.SOCKS
                || !ThroughlineReach.allows(peer == null ? target : peer, port, target)) {
            return head;
        }
        MessageHeader original = (MessageHeader) head;
        MessageHeader copy = new MessageHeader();
        int i = 0;
        // The first line has a name and no value; after the last there is neither.
        for (String name = original.getKey(0); name != null || original.getValue(i) != null; name = original.getKey(++i)) {
            if (isTrace(name)) {
                return head;
            }
            copy.add(name, original.getValue(i));
        }
        for (i = 0; i < context.headers.length; i += 2) {
            copy.add(context.headers[i], context.headers[i + 1]);
        }
        return copy;
    }

    // java.net.http. The headers go among those that the client itself sets, which the app is not shown.

    /** Requests that were made in a request, from their making to their first try. */
    private static final ThroughlineTable MADE = new ThroughlineTable();
    /** Exchanges, which may try more than once: after a redirect, or on another connection. */
    private static final ThroughlineTable TRIED = new ThroughlineTable();

    private static final ThroughlineCall METHOD = new ThroughlineCall("method");
    private static final ThroughlineCall URI_OF = new ThroughlineCall("uri");
    private static final ThroughlineCall HEADERS = new ThroughlineCall("headers");
    private static final ThroughlineCall MAP = new ThroughlineCall("map");
    private static final ThroughlineCall PROXY = new ThroughlineCall("proxy");
    private static final ThroughlineCall WEB_SOCKET = new ThroughlineCall("isWebSocket");
    private static final ThroughlineCall SET = new ThroughlineCall("setSystemHeader", String.class, String.class);

    static void httpClient(Object request) throws Exception {
        ThroughlineContext context = ThroughlineThread.context();
        if (context != null && !METHOD.on(request).equals("CONNECT") && !(Boolean) WEB_SOCKET.on(request)) {
            MADE.put(request, context);
        }
    }

    static void httpClientTry(Object request, Object exchange) throws Exception {
        // The first try follows its making at once; later ones may be on any thread.
        ThroughlineContext context = MADE.remove(request);
        if (context != null) {
            TRIED.put(exchange, context);
        } else {
            context = TRIED.get(exchange);
        }
        if (context == null || !context.live()) {
            return;
        }
        URI uri = (URI) URI_OF.on(request);
        InetSocketAddress proxy = (InetSocketAddress) PROXY.on(request);
        int port = proxy != null ? proxy.getPort() : uri.getPort() < 0 ? HTTP_PORT : uri.getPort();
        if (!"http".equalsIgnoreCase(uri.getScheme())
                || !ThroughlineReach.allows(proxy != null ? proxy.getHostString() : uri.getHost(), port, uri.getHost())) {
            return;
        }
        for (Object name : ((Map<?, ?>) MAP.on(HEADERS.on(request))).keySet()) {
            if (isTrace((String) name)) {
                return;
            }
        }
        for (int i = 0; i < context.headers.length; i += 2) {
            SET.on(request, context.headers[i], context.headers[i + 1]);
        }
    }

    // Apache HttpClient, 4 and 5. The headers are on the request while it is written, and off it after.

    private static final ThroughlineCall ATTRIBUTE = new ThroughlineCall("getAttribute", String.class);
    private static final ThroughlineCall REQUEST_LINE = new ThroughlineCall("getRequestLine");
    private static final ThroughlineCall METHOD_OF = new ThroughlineCall("getMethod");
    private static final ThroughlineCall CONTAINS = new ThroughlineCall("containsHeader", String.class);
    private static final ThroughlineCall ADD_4 = new ThroughlineCall("addHeader", String.class, String.class);
    private static final ThroughlineCall ADD_5 = new ThroughlineCall("addHeader", String.class, Object.class);
    private static final ThroughlineCall REMOVE = new ThroughlineCall("removeHeaders", String.class);
    private static final ThroughlineCall TARGET = new ThroughlineCall("getTargetHost");
    private static final ThroughlineCall PROXY_OF = new ThroughlineCall("getProxyHost");
    private static final ThroughlineCall SECURE = new ThroughlineCall("isSecure");
    private static final ThroughlineCall HOST_NAME = new ThroughlineCall("getHostName");
    private static final ThroughlineCall PORT = new ThroughlineCall("getPort");
    private static final ThroughlineCall SCHEME_NAME = new ThroughlineCall("getSchemeName");

    static ThroughlineScope apache(Object request, Object context, boolean five) throws Exception {
        ThroughlineContext trace = ThroughlineThread.context();
        if (trace == null || !ThroughlineHooks.isVersion(request.getClass(), five ? "5." : "4.")) {
            return null;
        }
        Object method = METHOD_OF.on(five ? request : REQUEST_LINE.on(request));
        Object route = context == null ? null : ATTRIBUTE.on(context, "http.route");
        if (route == null || "CONNECT".equals(method) || (Boolean) SECURE.on(route)) {
            return null;
        }
        Object target = TARGET.on(route);
        Object proxy = PROXY_OF.on(route);
        Object peer = proxy == null ? target : proxy;
        int port = (Integer) PORT.on(peer);
        if (!"http".equalsIgnoreCase((String) SCHEME_NAME.on(target))
                || !"http".equalsIgnoreCase((String) SCHEME_NAME.on(peer))
                || !ThroughlineReach.allows((String) HOST_NAME.on(peer), port < 0 ? HTTP_PORT : port,
                        (String) HOST_NAME.on(target))) {
            return null;
        }
        for (String name : ThroughlineContext.NAMES) {
            if ((Boolean) CONTAINS.on(request, name)) {
                return null;
            }
        }
        if ((Boolean) CONTAINS.on(request, ThroughlineContext.MARKER)) {
            return null;
        }
        Added added = new Added(request, trace.headers);
        try {
            for (int i = 0; i < trace.headers.length; i += 2) {
                (five ? ADD_5 : ADD_4).on(request, trace.headers[i], trace.headers[i + 1]);
            }
        } catch (Exception error) {
            added.close();
            throw error;
        }
        return added;
    }

    /** Headers on a request of the app, for as long as it is being sent. */
    private static final class Added extends ThroughlineScope {
        private final Object request;
        private final String[] headers;

        Added(Object request, String[] headers) {
            super(null);
            this.request = request;
            this.headers = headers;
        }

        @Override
        void close() throws Exception {
            for (int i = 0; i < headers.length; i += 2) {
                REMOVE.on(request, headers[i]);
            }
        }
    }

    // OkHttp. The headers go into a copy at the place where HTTP/1 is written.

    private static final ThroughlineField ALLOCATION = new ThroughlineField("streamAllocation");
    private static final ThroughlineCall CONNECTION = new ThroughlineCall("connection");
    private static final ThroughlineCall ROUTE = new ThroughlineCall("route");
    private static final ThroughlineCall ADDRESS = new ThroughlineCall("address");
    private static final ThroughlineCall URL_OF = new ThroughlineCall("url");
    private static final ThroughlineCall SCHEME = new ThroughlineCall("scheme");
    private static final ThroughlineCall HOST = new ThroughlineCall("host");
    private static final ThroughlineCall PORT_OF = new ThroughlineCall("port");
    private static final ThroughlineCall SIZE = new ThroughlineCall("size");
    private static final ThroughlineCall NAME_AT = new ThroughlineCall("name", int.class);
    private static final ThroughlineCall BUILDER = new ThroughlineCall("newBuilder");
    private static final ThroughlineCall ADD = new ThroughlineCall("add", String.class, String.class);
    private static final ThroughlineCall BUILD = new ThroughlineCall("build");

    static Object okhttp(Object codec, Object headers) throws Exception {
        ThroughlineContext context = ThroughlineThread.context();
        Object allocation = context == null ? null : ALLOCATION.of(codec);
        // There is none while a tunnel to a TLS server is asked for.
        Object connection = allocation == null ? null : CONNECTION.on(allocation);
        if (connection == null) {
            return headers;
        }
        Object route = ROUTE.on(connection);
        Object url = URL_OF.on(ADDRESS.on(route));
        Proxy proxy = (Proxy) PROXY.on(route);
        String target = (String) HOST.on(url);
        String peer = target;
        int port = (Integer) PORT_OF.on(url);
        if (proxy.type() == Proxy.Type.HTTP) {
            InetSocketAddress address = (InetSocketAddress) proxy.address();
            peer = address.getHostString();
            port = address.getPort();
        }
        if (proxy.type() == Proxy.Type.SOCKS || !"http".equals(SCHEME.on(url))
                || !ThroughlineReach.allows(peer, port, target)) {
            return headers;
        }
        int size = (Integer) SIZE.on(headers);
        for (int i = 0; i < size; i++) {
            if (isTrace((String) NAME_AT.on(headers, i))) {
                return headers;
            }
        }
        Object builder = BUILDER.on(headers);
        for (int i = 0; i < context.headers.length; i += 2) {
            ADD.on(builder, context.headers[i], context.headers[i + 1]);
        }
        return BUILD.on(builder);
    }

    /** OkHttp starts a call when another one is done, or begins: what counts is who put it in its queue. */
    static void queued(Object call) {
        ThroughlineContext context = ThroughlineThread.ownContext();
        if (context != null) {
            ThroughlineTasks.TASKS.put(call, context);
        }
    }

    /** Whether a header of this name on a call says that the app sees to it itself. */
    private static boolean isTrace(String name) {
        if (name == null) {
            return false;
        }
        for (String one : ThroughlineContext.NAMES) {
            if (one.equalsIgnoreCase(name)) {
                return true;
            }
        }
        return ThroughlineContext.MARKER.equalsIgnoreCase(name);
    }
}
